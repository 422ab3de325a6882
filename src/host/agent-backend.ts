/**
 * Any agent as a backend: its session is the agent's session, a prompt is an input, its chunks are texts, the end of its
 * turn is the result. So a host, another agent or a test can have an agent where a model is expected.
 */
import { v4 as uuid } from 'uuid';
import type { Backend, BackendEvent, BackendFailure, BackendSessionOptions, Prompt } from '../backends/backend.js';
import type { Connection } from '../connection/connection.js';
import { type Clock, systemClock } from '../internal/clock.js';
import { Deferred } from '../internal/deferred.js';

/** As much of an agent as is needed to prompt it. */
export interface PromptableAgent<Stream, Init, Sent> {
  /** Names the backend in errors and telemetry. */
  readonly name: string;
  // A method, so that an agent of any types fits.
  streamBidi(options?: {
    readonly sessionId?: string;
    readonly init?: Init;
    readonly context?: Record<string, unknown>;
  }): Connection<Sent, Stream, unknown>;
}

/** Any agent, whatever its types: what `defineAgent` returns. */
export type AnyAgent = PromptableAgent<unknown, unknown, never>;

/** How an agent is prompted. */
export interface AgentBackendOptions<Stream = unknown, Init = unknown, Sent = unknown> {
  /** The agent's session that the first session of the backend goes on with. @default a new one */
  readonly sessionId?: string | undefined;
  /** State of a new session. */
  readonly init?: Init | undefined;
  /** State of a new session, by what it was started with; goes before `init`. */
  readonly toInit?: ((options: BackendSessionOptions) => Init | undefined) | undefined;
  /** Genkit's action context. */
  readonly context?: Record<string, unknown> | undefined;
  /** Makes an input of a prompt. @default its text, or the prompt itself where it has other parts */
  readonly toInput?: ((prompt: Prompt) => Sent) | undefined;
  /** The text of a chunk; `undefined` for none. @default a chunk that is a string, or the texts of Genkit's chunks */
  readonly toText?: ((chunk: Stream) => string | undefined) | undefined;
  /** How long a cancelled turn may take to end, in milliseconds; its whole run is ended after that. @default 500 */
  readonly cancelGraceMs?: number | undefined;
  /** @default the machine's */
  readonly clock?: Clock | undefined;
}

/** One session of an agent, as a backend's session. */
export interface AgentBackendSession {
  /** The agent's session id, which is the backend's too. */
  readonly id: string;
  /** What the session was started with; `toInit` is given it. */
  readonly options: BackendSessionOptions;
}

/**
 * Makes a backend of an agent. One connection stays open from prompt to prompt, so an agent without a store remembers.
 *
 * A turn that is cancelled is cut short alone: the run and what it remembers stay. Where that cannot be done (the agent
 * does not work with `turns()`, or its turn does not heed its signal in time) the run ends with it. The next prompt then
 * opens another run on the same session: with a store it goes on from what was saved, without one it begins anew.
 */
export function agentBackend<Stream, Init, Sent>(
  agent: PromptableAgent<Stream, Init, Sent>,
  options: AgentBackendOptions<Stream, Init, Sent> = {},
): Backend<AgentBackendSession> {
  const { init, toInit, context, toInput = textInput, toText = chunkText } = options;
  const { cancelGraceMs = 500, clock = systemClock } = options;
  const connections = new WeakMap<AgentBackendSession, AgentConnection<Sent, Stream>>();
  let firstId = options.sessionId;
  const connect = async (session: AgentBackendSession): Promise<AgentConnection<Sent, Stream>> => {
    const open = connections.get(session);
    await open?.free;
    if (open !== undefined && !open.hasEnded) return open;
    const state = toInit?.(session.options) ?? init;
    const opened = new AgentConnection(
      agent.streamBidi({
        sessionId: session.id,
        ...(state === undefined ? {} : { init: state }),
        ...(context === undefined ? {} : { context }),
      }),
      { cancelGraceMs, clock },
    );
    connections.set(session, opened);
    return opened;
  };
  return {
    name: agent.name,
    startSession(given = {}) {
      // A session that is reset is another one.
      const id = firstId ?? uuid();
      firstId = undefined;
      return { id, options: given };
    },
    resumeSession: (id, given = {}) => ({ id, options: given }),
    prompt(session, prompt, { signal }) {
      signal.throwIfAborted();
      const input = toInput(prompt) as Sent;
      async function* texts(): AsyncGenerator<BackendEvent> {
        const connection = await connect(session);
        signal.throwIfAborted();
        for await (const chunk of connection.turn(input, signal)) {
          const text = toText(chunk);
          if (text !== undefined && text !== '') yield { type: 'text', text };
        }
      }
      async function* events(): AsyncGenerator<BackendEvent> {
        yield { type: 'session', sessionId: session.id };
        try {
          yield* texts();
        } catch (error) {
          if (!signal.aborted) throw error;
        }
        if (signal.aborted) yield { type: 'error', error: cancelled(agent.name, signal.reason) };
        else yield { type: 'result', sessionId: session.id, stopReason: 'end_turn' };
      }
      return { session, events: events() };
    },
    async terminateSession(session) {
      await connections.get(session)?.end();
    },
  };
}

function cancelled(provider: string, raw: unknown): BackendFailure {
  return { provider, kind: 'cancelled', retryable: false, message: 'The turn was cancelled', raw };
}

/** A connection to an agent that is used for one turn after another. */
class AgentConnection<Sent, Stream> {
  readonly #connection: Connection<Sent, Stream, unknown>;
  readonly #clock: Clock;
  readonly #cancelGraceMs: number;
  #hasEnded = false;
  #isStopping = false;
  #endGrace = () => {};
  #over: Deferred<void> | undefined;

  constructor(
    connection: Connection<Sent, Stream, unknown>,
    { clock, cancelGraceMs }: { readonly clock: Clock; readonly cancelGraceMs: number },
  ) {
    this.#connection = connection;
    this.#clock = clock;
    this.#cancelGraceMs = cancelGraceMs;
    void connection.done.then(() => {
      this.#hasEnded = true;
    });
  }

  /** The run is over: another prompt needs another one. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Resolves when nothing is left of the turn before. */
  get free(): Promise<void> | undefined {
    return this.#over?.promise;
  }

  /** Sends one input and reads to the end of its turn. A reader that leaves earlier, or a signal, cuts it short. */
  async *turn(input: Sent, signal: AbortSignal): AsyncGenerator<Stream, void, undefined> {
    const stop = () => void this.#stop(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    this.#over = new Deferred();
    this.#isStopping = false;
    try {
      const taken = this.#connection.send(input);
      taken.catch(() => {});
      // What a turn says while it is being cut short is nobody's.
      for await (const chunk of this.#connection.receive()) if (!signal.aborted) yield chunk;
      await taken;
      this.#finish();
    } catch (error) {
      // A turn that threw under `turns()` leaves its run open.
      this.#finish();
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
      if (this.#over !== undefined) {
        void this.#stop('the turn is read no further');
        void this.#drain();
      }
    }
  }

  async end(): Promise<void> {
    if (this.#over !== undefined) this.#abort('the session was terminated');
    this.#connection.close();
    this.#connection.output().catch(() => {});
    await this.#connection.done;
  }

  /** Cuts the turn short; ends the run where that cannot be done, or takes too long. */
  async #stop(reason: unknown): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const turn = this.#over;
    const isCut = await this.#connection.interrupt(reason);
    if (turn === undefined || this.#over !== turn) return;
    // A turn that is over already needs no more than its rest to be read.
    const graceMs = isCut ? this.#cancelGraceMs : 0;
    this.#endGrace = this.#clock.after(graceMs, () => this.#abort(reason), { keepAlive: true });
  }

  /** What nobody reads any more must not be there when the next turn is read. */
  async #drain(): Promise<void> {
    try {
      for await (const _ of this.#connection.receive());
    } catch {
      // Nobody is left to be told.
    }
    this.#finish();
  }

  #abort(reason: unknown): void {
    this.#hasEnded = true;
    this.#connection.abort(reason);
    this.#finish();
  }

  #finish(): void {
    this.#endGrace();
    this.#endGrace = () => {};
    this.#over?.resolve();
    this.#over = undefined;
  }
}

/** Text where it is nothing else: what an agent that takes text can be sent. */
function textInput(prompt: Prompt): unknown {
  if (typeof prompt === 'string') return prompt;
  return prompt.every(({ text }) => text !== undefined) ? prompt.map(({ text }) => text).join('') : prompt;
}

/** What a chunk says, where it is text: a string, or a chunk of a Genkit model. */
function chunkText(chunk: unknown): string | undefined {
  if (typeof chunk === 'string') return chunk;
  if (typeof chunk !== 'object' || chunk === null) return undefined;
  if ('text' in chunk && typeof chunk.text === 'string') return chunk.text;
  return 'content' in chunk && Array.isArray(chunk.content) ? chunk.content.map(partText).join('') : undefined;
}

function partText(part: unknown): string {
  return typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string' ? part.text : '';
}
