/**
 * The chat face of an agent: the same agent as Genkit's own kind of agent, so that the Dev UI's chat, `chat()` and the
 * HTTP client `remoteAgent` work with it unchanged.
 */
import type { Action, Genkit, MessageData } from 'genkit';
import {
  type AgentInit,
  AgentInitSchema,
  type AgentOutput,
  GenkitBeta,
  type Agent as GenkitOwnAgent,
} from 'genkit/beta';
import { type ActionType, Registry } from 'genkit/registry';
import { setCustomMetadataAttributes } from 'genkit/tracing';
import type { AgentConfig, AgentOutput as OwnOutput, StreamBidiOptions } from '../agent/agent.js';
import { checked } from '../agent/checks.js';
import type { AgentDefinition } from '../agent/definition.js';
import type { Launch, RunScope } from '../agent/runtime.js';
import type { RunConnection } from '../connection/run-connection.js';
import { InvalidValueError, toAgentFlowError } from '../errors.js';
import type { Sessions } from '../session/sessions.js';
import { wireError } from './chat/answer.js';
import { assertMeantFor, openingOf } from './chat/init.js';
import { observedContext } from './chat/observed-run.js';
import { ChatRun, type ChatRunParts } from './chat/run.js';
import { type ChatShape, chatShape } from './chat/shape.js';
import { ChatSnapshots } from './chat/snapshots.js';
import { ChatTasks } from './chat/tasks.js';
import { withTurnSpans } from './spans.js';

/** The part of a state that is not the conversation: what Genkit calls `custom`. */
export type ChatCustom<State> = State extends { messages?: readonly MessageData[] } ? Omit<State, 'messages'> : State;

/**
 * An agent as Genkit defines its own with `ai.defineAgent`: Genkit's documentation of `chat`, `loadChat`, `getSnapshot`,
 * `abort`, `getSnapshotDataAction` and `abortAgentAction` applies.
 */
export type ChatAgent<State> = GenkitOwnAgent<ChatCustom<State>>;

/** What the chat face needs of an agent's runs. */
export interface ChatRuns {
  readonly sessions: Sessions<unknown>;
  open(
    options: StreamBidiOptions<unknown>,
    launch: Launch,
  ): RunConnection<unknown, unknown, OwnOutput<unknown, unknown>>;
  isRunning(sessionId: string): boolean;
  abort(sessionId: string, reason?: unknown): boolean;
}

/** What a run of the chat action is given beside its input. */
interface SideChannel {
  readonly inputStream: AsyncIterable<unknown>;
  readonly init: unknown;
  readonly context: Record<string, unknown>;
  readonly abortSignal: AbortSignal;
  readonly sendChunk: ChatRunParts['sendChunk'];
}

/** The chat face of one agent. */
interface Face {
  readonly name: string;
  readonly shape: ChatShape;
  readonly runs: ChatRuns;
  readonly server: ChatRunParts['server'];
}

/**
 * Registers an agent a second time, as a Genkit agent with its two companion actions. An agent whose inputs and chunks are
 * no chat is left alone; the answer says what it lacks.
 */
export function defineChatAgent<State>(
  ai: Genkit,
  definition: AgentDefinition,
  config: AgentConfig,
  runs: ChatRuns,
): ChatAgent<State> | InvalidValueError {
  const { name, store, clock, leaseTtlMs } = definition;
  const shape = chatShape(config, definition.stateSchema);
  if (shape instanceof InvalidValueError) return shape;
  const tasks = store && new ChatTasks({ store, clock, leaseTtlMs });
  const server = store &&
    tasks && { tasks, snapshots: new ChatSnapshots({ shape, sessions: runs.sessions, store, tasks, runs }) };
  const face: Face = { name, shape, runs, server };
  // Genkit makes the agent, in a registry aside; its runs are ours. So its companions and its chat() are Genkit's own.
  const registry = Registry.withParent(ai.registry);
  const { description } = config;
  const own = { name, stateSchema: shape.customSchema, store: server?.snapshots, ...(description && { description }) };
  const agent = GenkitBeta.prototype.defineCustomAgent.call(
    Object.create(ai, { registry: { value: registry } }),
    own,
    async () => ({}),
  );
  agent.run = carrierOf(ai, registry, face);
  register(ai, 'agent', agent);
  register(ai, 'agent-snapshot', agent.getSnapshotDataAction);
  register(ai, 'agent-abort', agent.abortAgentAction);
  return agent as unknown as ChatAgent<State>;
}

/** What carries a chat's runs: their span and their context are a Genkit action's. */
function carrierOf(ai: Genkit, registry: Registry, face: Face): GenkitOwnAgent['run'] {
  const { name } = face;
  const aside: Genkit = Object.create(ai, { registry: { value: registry }, flows: { value: [] } });
  // Without schemas, for the same reasons as the agent's flow: init may be missing, and we check with Zod.
  const flow = aside.defineFlow({ name }, (_input, { inputStream, init, context, abortSignal, sendChunk }) => {
    setCustomMetadataAttributes({ subtype: 'agent' });
    const side = { inputStream, init, context: context ?? {}, abortSignal, sendChunk };
    return withTurnSpans(name, side.context, (scope) => serve(face, side, scope));
  });
  flow.__action.key = `/agent/${name}`;
  flow.__registry = ai.registry;
  return (input, options) => {
    const telemetryLabels = { 'genkit:metadata:subtype': 'agent', ...options?.telemetryLabels };
    return flow.run(input, { ...options, telemetryLabels });
  };
}

function register(ai: Genkit, type: ActionType, action: Action): void {
  action.__registry = undefined;
  ai.registry.registerAction(type, action);
}

/** One run of the chat action: one HTTP request, one run in the Dev UI. */
async function serve(face: Face, side: SideChannel, scope: RunScope): Promise<AgentOutput> {
  const init: AgentInit = checked(AgentInitSchema, side.init ?? {}, 'init');
  assertMeantFor(face, init);
  const clientState = init.state as ChatRunParts['clientState'];
  let options: StreamBidiOptions<unknown>;
  try {
    options = await openingOf(face, init);
  } catch (error) {
    return { finishReason: 'failed', error: wireError(toAgentFlowError(error)) };
  }
  const controller = new AbortController();
  const run: ChatRun = new ChatRun({
    shape: face.shape,
    server: face.server,
    clientState,
    sendChunk: side.sendChunk,
    open: (observer) => {
      const context = observedContext(side.context, observer);
      const { signal: abortSignal } = controller;
      return face.runs.open({ ...options, context, abortSignal }, (body) => body({ ...scope, context }));
    },
  });
  const abort = () => {
    if (!run.isDetached) controller.abort(side.abortSignal.reason);
  };
  if (side.abortSignal.aborted) abort();
  side.abortSignal.addEventListener('abort', abort, { once: true });
  try {
    return await run.run(side.inputStream);
  } finally {
    side.abortSignal.removeEventListener('abort', abort);
  }
}
