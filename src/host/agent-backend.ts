/**
 * An agent of `defineAgent` as the backend of a named agent: its session is the agent's session, a prompt is an input, its
 * chunks are texts, the end of its turn is the result.
 */
import type { Agent } from '../agent/agent.js';
import type { Backend, BackendEvent, BackendTurn, Prompt } from '../backends/backend.js';
import type { Connection } from '../connection/connection.js';

/** Any agent, whatever its types: what `defineAgent` returns. */
export type AnyAgent = Pick<Agent<unknown, unknown, unknown, unknown>, 'name'> & {
  // Methods, so that an agent of any types fits.
  streamBidi(options?: {
    readonly sessionId?: string;
    readonly init?: unknown;
    readonly context?: Record<string, unknown>;
  }): Connection<never, unknown, unknown>;
};

/** How an agent is prompted. */
export interface AgentBackendOptions {
  /** The agent's session to go on with. Default: a new one. */
  readonly sessionId?: string | undefined;
  /** State of a new session. */
  readonly init?: unknown;
  /** Genkit's action context. */
  readonly context?: Record<string, unknown> | undefined;
  /** Makes an input of a prompt. Default: the prompt itself. */
  readonly toInput?: ((prompt: Prompt) => unknown) | undefined;
  /** The text of a chunk, `undefined`: it has none. Default: strings, and the texts of Genkit's chunks. */
  readonly toText?: ((chunk: unknown) => string | undefined) | undefined;
}

/** One conversation with the agent; opened when it is first prompted, and again after a turn was cut. */
interface AgentSession {
  sessionId: string | undefined;
  connection: Connection<unknown, unknown, unknown> | undefined;
}

/** Makes a backend of an agent. Cutting a turn aborts the run: with a store the session goes on from its last saved state. */
export function agentBackend(agent: AnyAgent, options: AgentBackendOptions = {}): Backend<AgentSession> {
  const { sessionId, init, context, toInput = (prompt) => prompt, toText = textOf } = options;
  let isFirst = true;
  const connect = (session: AgentSession): Connection<unknown, unknown, unknown> => {
    if (session.connection !== undefined) return session.connection;
    const connection = agent.streamBidi({
      ...(session.sessionId === undefined ? {} : { sessionId: session.sessionId }),
      ...(init === undefined ? {} : { init }),
      ...(context === undefined ? {} : { context }),
    }) as Connection<unknown, unknown, unknown>;
    session.connection = connection;
    session.sessionId = connection.sessionId;
    // A run that has ended is followed by another one, on the same session.
    void connection.done.then(() => {
      if (session.connection === connection) session.connection = undefined;
    });
    return connection;
  };
  return {
    name: agent.name,
    startSession() {
      // A session that is reset is another one.
      const own = isFirst ? sessionId : undefined;
      isFirst = false;
      return { sessionId: own, connection: undefined };
    },
    resumeSession: (id) => ({ sessionId: id, connection: undefined }),
    prompt(session, prompt, { signal }): BackendTurn<AgentSession> {
      return { session, events: answer(session, connect(session), toInput(prompt), toText, signal) };
    },
    async terminateSession({ connection }) {
      if (connection === undefined) return;
      connection.close();
      connection.output().catch(() => {});
      await connection.done;
    },
  };
}

async function* answer(
  session: AgentSession,
  connection: Connection<unknown, unknown, unknown>,
  input: unknown,
  toText: (chunk: unknown) => string | undefined,
  signal: AbortSignal,
): AsyncGenerator<BackendEvent> {
  const hangUp = () => {
    session.connection = undefined;
    connection.abort(signal.reason);
  };
  if (signal.aborted) hangUp();
  signal.addEventListener('abort', hangUp, { once: true });
  let isOver = false;
  try {
    yield { type: 'session', sessionId: connection.sessionId };
    void connection.send(input);
    for await (const chunk of connection.receive()) {
      const text = toText(chunk);
      if (text !== undefined) yield { type: 'text', text };
    }
    isOver = true;
    yield { type: 'result', sessionId: connection.sessionId, stopReason: 'end_turn' };
  } catch (error) {
    // A turn that threw under `turns()` leaves its run open.
    isOver = true;
    throw error;
  } finally {
    signal.removeEventListener('abort', hangUp);
    if (!isOver) hangUp();
  }
}

/** What a chunk says, where it is text: a string, or a chunk of a Genkit model. */
function textOf(chunk: unknown): string | undefined {
  if (typeof chunk === 'string') return chunk;
  if (typeof chunk !== 'object' || chunk === null) return undefined;
  if ('text' in chunk && typeof chunk.text === 'string') return chunk.text;
  if (!('content' in chunk) || !Array.isArray(chunk.content)) return undefined;
  const texts = chunk.content.map((part: unknown) => (isText(part) ? part.text : ''));
  return texts.join('');
}

function isText(part: unknown): part is { readonly text: string } {
  return typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string';
}
