/**
 * Any agent as a backend: its session is the agent's session, a prompt is an input, its chunks are texts, the end of its
 * turn is the result. So a host, another agent or a test can have an agent where a model is expected.
 */
import { v4 as uuid } from 'uuid';
import type { Backend, BackendEvent, BackendSessionOptions, Prompt } from '../backends/backend.js';
import type { Connection } from '../connection/connection.js';

/** As much of an agent as is needed to prompt it. */
export interface PromptableAgent<Stream, Init, Sent> {
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
}

/** One session of an agent, as a backend's session. */
export interface AgentBackendSession {
  /** The agent's session id, which is the backend's too. */
  readonly id: string;
  readonly options: BackendSessionOptions;
}

/**
 * Makes a backend of an agent. One connection stays open from prompt to prompt, so an agent without a store remembers.
 *
 * A turn can only be cancelled with its run. The next prompt opens another run on the same session: with a store it goes
 * on from what was saved, without one it begins anew.
 */
export function agentBackend<Stream, Init, Sent>(
  agent: PromptableAgent<Stream, Init, Sent>,
  options: AgentBackendOptions<Stream, Init, Sent> = {},
): Backend<AgentBackendSession> {
  const { init, toInit, context, toInput = textInput, toText = chunkText } = options;
  const connections = new WeakMap<AgentBackendSession, AgentConnection<Sent, Stream>>();
  let firstId = options.sessionId;
  const connect = (session: AgentBackendSession): AgentConnection<Sent, Stream> => {
    const open = connections.get(session);
    if (open !== undefined && !open.hasEnded) return open;
    const state = toInit?.(session.options) ?? init;
    const opened = new AgentConnection(
      agent.streamBidi({
        sessionId: session.id,
        ...(state === undefined ? {} : { init: state }),
        ...(context === undefined ? {} : { context }),
      }),
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
      async function* events(): AsyncGenerator<BackendEvent> {
        yield { type: 'session', sessionId: session.id };
        signal.throwIfAborted();
        for await (const chunk of connect(session).turn(input, signal)) {
          const text = toText(chunk);
          if (text !== undefined && text !== '') yield { type: 'text', text };
        }
        yield { type: 'result', sessionId: session.id, stopReason: 'end_turn' };
      }
      return { session, events: events() };
    },
    async terminateSession(session) {
      await connections.get(session)?.end();
    },
  };
}

/** A connection to an agent that is used for one turn after another. */
class AgentConnection<Sent, Stream> {
  readonly #connection: Connection<Sent, Stream, unknown>;
  #hasEnded = false;
  #isBusy = false;

  constructor(connection: Connection<Sent, Stream, unknown>) {
    this.#connection = connection;
    void connection.done.then(() => {
      this.#hasEnded = true;
    });
  }

  /** The run is over: another prompt needs another one. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Sends one input and reads to the end of its turn. A reader that leaves earlier, or a signal, ends the run. */
  async *turn(input: Sent, signal: AbortSignal): AsyncGenerator<Stream, void, undefined> {
    const abort = () => this.#abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    this.#isBusy = true;
    try {
      const taken = this.#connection.send(input);
      taken.catch(() => {});
      yield* this.#connection.receive();
      await taken;
      this.#isBusy = false;
    } catch (error) {
      // A turn that threw under `turns()` leaves its run open.
      this.#isBusy = false;
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
      if (this.#isBusy) this.#abort('the turn is read no further');
    }
  }

  async end(): Promise<void> {
    if (this.#isBusy) this.#abort('the session was terminated');
    this.#connection.close();
    this.#connection.output().catch(() => {});
    await this.#connection.done;
  }

  #abort(reason: unknown): void {
    this.#isBusy = false;
    this.#connection.abort(reason);
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
