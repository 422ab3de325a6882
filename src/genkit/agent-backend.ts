/** Any agent as a backend: so a host, another agent or a test can have it where a model is expected. */
import { v4 as uuid } from 'uuid';
import type { Agent, AgentOutput, StreamBidiOptions } from '../agent/agent.js';
import type { Backend, BackendEvent, BackendSessionOptions, Prompt } from '../backends/backend.js';
import { failureOf } from '../backends/failure.js';
import { promptText } from '../backends/prompt-text.js';
import type { Connection } from '../connection/connection.js';
import { InvalidValueError } from '../errors.js';

/** Options of {@link agentBackend}. */
export interface AgentBackendOptions<Stream, Init, Sent> {
  /** @default the agent's name */
  readonly name?: string;
  /** The agent's input for a prompt. @default the prompt's text */
  readonly toInput?: (prompt: Prompt) => Sent;
  /** The text of a chunk; `undefined` for none. @default a chunk that is a string, or the text of Genkit's parts */
  readonly toText?: (chunk: Stream) => string | undefined;
  /** State of a new session of the agent. */
  readonly toInit?: (options: BackendSessionOptions) => Init | undefined;
  /** How the agent's connections are opened. */
  readonly connection?: Omit<StreamBidiOptions<Init>, 'sessionId' | 'init' | 'version' | 'abortSignal'>;
}

/** A session of {@link agentBackend}: one session of the agent, with a connection that stays open between prompts. */
export interface AgentBackendSession {
  /** The agent's session id, which is the backend's too. */
  readonly id: string;
  readonly options: BackendSessionOptions;
}

/**
 * An agent as a backend; a prompt is one turn. Turns that fail leave the session as the agent left it.
 *
 * A turn can only be cancelled with its run. The next prompt opens another run on the same session: with a store it goes
 * on from what was saved, without one it begins anew.
 */
export function agentBackend<State, In, Out, Stream, Init, Sent>(
  agent: Agent<State, In, Out, Stream, Init, Sent>,
  options: AgentBackendOptions<Stream, Init, Sent> = {},
): Backend<AgentBackendSession> {
  const { name = agent.name, toInput = textInput, toText = chunkText, toInit, connection: how = {} } = options;
  const connections = new WeakMap<AgentBackendSession, AgentConnection<Sent, Stream, AgentOutput<State, Out>>>();
  const connect = (session: AgentBackendSession) => {
    const open = connections.get(session);
    if (open !== undefined && !open.hasEnded) return open;
    const init = toInit?.(session.options);
    const opened = new AgentConnection(
      agent.streamBidi({ ...how, sessionId: session.id, ...(init === undefined ? {} : { init }) }),
    );
    connections.set(session, opened);
    return opened;
  };
  return {
    name,
    startSession: (given = {}) => ({ id: uuid(), options: given }),
    resumeSession: (id, given = {}) => ({ id, options: given }),
    prompt(session, prompt, { signal }) {
      signal.throwIfAborted();
      const input = toInput(prompt) as Sent;
      async function* events(): AsyncGenerator<BackendEvent> {
        yield { type: 'session', sessionId: session.id };
        try {
          signal.throwIfAborted();
          for await (const chunk of connect(session).turn(input, signal)) {
            const text = toText(chunk);
            if (text !== undefined && text !== '') yield { type: 'text', text };
          }
          yield { type: 'result', sessionId: session.id, stopReason: 'end_turn' };
        } catch (error) {
          yield { type: 'error', error: failureOf(error, { provider: name, signal }) };
        }
      }
      return { session, events: events() };
    },
    async terminateSession(session) {
      await connections.get(session)?.end();
    },
  };
}

/** A connection to the agent that is used for one turn after another. */
class AgentConnection<Sent, Stream, Output> {
  readonly #connection: Connection<Sent, Stream, Output>;
  #hasEnded = false;
  #isBusy = false;

  constructor(connection: Connection<Sent, Stream, Output>) {
    this.#connection = connection;
    void connection.done.then(() => {
      this.#hasEnded = true;
    });
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Sends one input and reads to the end of its turn. A reader that leaves earlier, or a signal, ends the run. */
  async *turn(input: Sent, signal: AbortSignal): AsyncGenerator<Stream, void, undefined> {
    const abort = () => this.#connection.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    this.#isBusy = true;
    try {
      const taken = this.#connection.send(input);
      taken.catch(() => {});
      yield* this.#connection.receive();
      await taken;
      this.#isBusy = false;
    } catch (error) {
      this.#isBusy = false;
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
      if (this.#isBusy) this.#connection.abort('the turn is read no further');
      this.#isBusy = false;
    }
  }

  async end(): Promise<void> {
    if (this.#isBusy) this.#connection.abort('the session was terminated');
    this.#connection.close();
    this.#connection.output().catch(() => {});
    await this.#connection.done;
  }
}

function textInput(prompt: Prompt): unknown {
  return promptText(prompt);
}

function chunkText(chunk: unknown): string {
  if (typeof chunk === 'string') return chunk;
  const content: unknown =
    typeof chunk === 'object' && chunk !== null && 'content' in chunk ? chunk.content : undefined;
  if (Array.isArray(content))
    return content.map((part: { text?: unknown }) => (typeof part?.text === 'string' ? part.text : '')).join('');
  throw new InvalidValueError('chunk', [
    { path: '', expected: 'text or Genkit content, because agentBackend has no toText', received: typeof chunk },
  ]);
}
