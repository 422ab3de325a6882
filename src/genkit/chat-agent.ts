/**
 * The chat face of an agent: the same agent as Genkit's own kind of agent, so that the Dev UI's chat, `chat()` and the
 * HTTP client `remoteAgent` work with it unchanged.
 *
 * - A snapshot is one version of a session; its id holds the session's id and the version. `parentId` is the version saved
 *   before it. Going on from an old snapshot makes a new version out of it: history stays one line, and `sessionId` alone
 *   always means the newest.
 * - `messages` are the state's own, where it keeps Genkit messages in `messages`; `custom` is the rest of the state.
 * - The answer of a turn is the message of the model that the state now ends with, else what was streamed, else what the
 *   handler returned.
 * - A turn that fails is an outcome (`finishReason: 'failed'`) and the client goes on from before it; what the handler had
 *   saved until then stays in the history. An `init` that cannot be meant for this agent, and an input that is none, throw.
 * - `abort` ends whatever runs on the snapshot's session: in another process by the store's feed, or else by taking its lease.
 * - `detach` sends the turn that runs and those behind it to the background; the snapshot id it answers with says what
 *   becomes of them, also in another process, and `expired` when the process that ran them has died.
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
import type { Launch, RunScope } from '../agent/launch.js';
import type { RunConnection } from '../connection/run-connection.js';
import { AgentFlowError, InvalidValueError, toAgentFlowError } from '../errors.js';
import type { Sessions } from '../session/sessions.js';
import { mendCalls } from './action-calls.js';
import { defineBareFlow, type SideChannel } from './bare-flow.js';
import { wireError } from './chat/answer.js';
import { assertMeantFor, openingOf } from './chat/init.js';
import { observedContext } from './chat/observed-run.js';
import { ChatRun, type ChatRunParts } from './chat/run.js';
import { type ChatShape, chatShape } from './chat/shape.js';
import { type AbortableRuns, ChatSnapshots } from './chat/snapshots.js';
import { ChatTasks } from './chat/tasks.js';
import { scopeIn, withTurnSpans } from './spans.js';

/** The part of a state that is not the conversation: what Genkit calls `custom`. */
export type ChatCustom<State> = State extends { messages?: readonly MessageData[] } ? Omit<State, 'messages'> : State;

/**
 * An agent as Genkit defines its own with `ai.defineAgent`: Genkit's documentation of `chat`, `loadChat`, `getSnapshot`,
 * `abort`, `getSnapshotDataAction` and `abortAgentAction` applies.
 */
export type ChatAgent<State> = GenkitOwnAgent<ChatCustom<State>>;

/** What the chat face needs of an agent's runs. */
export interface ChatRuns extends AbortableRuns {
  readonly sessions: Sessions<unknown>;
  open(
    options: StreamBidiOptions<unknown>,
    launch: Launch,
  ): RunConnection<unknown, unknown, OwnOutput<unknown, unknown>>;
}

/** The chat face of one agent. */
interface Face {
  readonly name: string;
  readonly shape: ChatShape;
  readonly runs: ChatRuns;
  readonly server: ChatRunParts['server'];
}

/**
 * Registers an agent a second time, as a Genkit agent with its two companion actions. An agent that cannot be one is left
 * alone; the answer is then an error that says why.
 */
export function defineChatAgent<State>(
  ai: Genkit,
  definition: AgentDefinition,
  config: AgentConfig,
  runs: ChatRuns,
): ChatAgent<State> | AgentFlowError {
  const { name, store, clock, leaseTtlMs } = definition;
  const shape = chatShape(config, definition.stateSchema);
  if (shape instanceof InvalidValueError) return shape;
  const tasks = store && new ChatTasks({ store, clock, leaseTtlMs });
  const server = store &&
    tasks && { tasks, snapshots: new ChatSnapshots({ shape, sessions: runs.sessions, store, tasks, runs }) };
  const face: Face = { name, shape, runs, server };
  // Genkit makes the agent, in a registry aside; its runs are ours. So its companions and its chat() are Genkit's own.
  const registry = Registry.withParent(ai.registry);
  const agent = genkitAgent(Object.create(ai, { registry: { value: registry } }), face, config.description);
  if (agent instanceof AgentFlowError) return agent;
  agent.run = carrierOf(ai, registry, face);
  register(ai, 'agent', agent);
  register(ai, 'agent-snapshot', agent.getSnapshotDataAction);
  register(ai, 'agent-abort', agent.abortAgentAction);
  return agent as unknown as ChatAgent<State>;
}

function genkitAgent(ai: Genkit, { name, shape, server }: Face, description?: string): GenkitOwnAgent | AgentFlowError {
  const own = { name, stateSchema: shape.customSchema, store: server?.snapshots, ...(description && { description }) };
  try {
    // `genkit()` of the stable entry has everything an agent needs but this method.
    return GenkitBeta.prototype.defineCustomAgent.call(ai, own, async () => ({}));
  } catch (cause) {
    // Inside of a running action Genkit defines flows, but no agents.
    return new AgentFlowError('MISSING_DEPENDENCY', 'Genkit could not define the chat of this agent', { cause });
  }
}

/** What carries a chat's runs: their span and their context are a Genkit action's. */
function carrierOf(ai: Genkit, registry: Registry, face: Face): GenkitOwnAgent['run'] {
  const { name } = face;
  const aside: Genkit = Object.create(ai, { registry: { value: registry }, flows: { value: [] } });
  const flow = defineBareFlow(aside, { name }, (side) => {
    setCustomMetadataAttributes({ subtype: 'agent' });
    return withTurnSpans(name, side.context, (scope) => serve(face, side, scope), 'action');
  });
  // Genkit writes the key on a run's span, and adds what the application's registry has of context.
  flow.__action.key = `/agent/${name}`;
  flow.__registry = ai.registry;
  return (input, options) => {
    // A span begins with the labels and ends with what was set inside: in both it says flow, where nobody says otherwise.
    const telemetryLabels = { 'genkit:metadata:subtype': 'agent', ...options?.telemetryLabels };
    return flow.run(input, { ...options, telemetryLabels });
  };
}

function register(ai: Genkit, type: ActionType, action: Action): void {
  mendCalls(ai, action);
  // It is in the registry aside, and Genkit logs an error of an action that is in another one already.
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
    version: options.version,
    sendChunk: side.sendChunk,
    open: (observer) => {
      const context = observedContext(side.context, observer);
      const { signal: abortSignal } = controller;
      return face.runs.open({ ...options, context, abortSignal }, (run) => run.begin(scopeIn(context, scope)));
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
