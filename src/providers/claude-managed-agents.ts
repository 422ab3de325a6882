/**
 * Claude Managed Agents as a provider: an agent that runs at Anthropic, and hands calls of custom tools back.
 *
 * The official SDK's client is passed in (`new Anthropic()`, its `beta.sessions`): it authenticates, and knows paths,
 * beta headers and pages. Only the event stream is decoded here: the SDK passes over frames that have no event name, and
 * ends the stream at one frame that is no JSON.
 *
 * Source: ReqManagedAgents' `ClaudeManagedAgents` provider.
 */
import { AgentFlowError, InvalidValueError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import {
  hasArrived,
  type ManagedAgentEvent,
  normalizeManagedAgent,
  pendingCalls,
  unconfirmedCalls,
} from './claude-managed-agents/events.js';
import { customToolResult, definedOutcome, toolConfirmation, userMessage } from './claude-managed-agents/inputs.js';
import { listed } from './claude-managed-agents/pages.js';
import { Previews } from './claude-managed-agents/previews.js';
import {
  type AgentProvisioningClient,
  type ManagedAgentDescription,
  type ManagedEnvironmentDescription,
  type ProvisionedManagedAgent,
  type ProvisionManagedAgentOptions,
  type PruneManagedAgentsOptions,
  provisionManagedAgent,
  pruneManagedAgents,
} from './claude-managed-agents/provision.js';
import { eventsOf } from './claude-managed-agents/stream.js';
import type { StreamingProvider } from './provider.js';

export {
  type AgentProvisioningClient,
  type ManagedAgentDescription,
  type ManagedAgentEvent,
  type ManagedEnvironmentDescription,
  type ProvisionedManagedAgent,
  type ProvisionManagedAgentOptions,
  type PruneManagedAgentsOptions,
  provisionManagedAgent,
  pruneManagedAgents,
};

interface RequestOptions {
  readonly signal: AbortSignal;
  readonly maxRetries?: number;
}

/** The part of `new Anthropic()` from `@anthropic-ai/sdk` that is used. */
export interface ManagedAgentsClient {
  readonly beta: {
    readonly sessions: {
      create(params: never, options: RequestOptions): PromiseLike<{ readonly id: string }>;
      readonly events: {
        send(sessionId: string, params: { events: never[] }, options: RequestOptions): PromiseLike<unknown>;
        list(sessionId: string, params: { limit: number }, options: RequestOptions): AsyncIterable<unknown>;
        stream(sessionId: string, params: object, options: RequestOptions): { asResponse(): Promise<Response> };
      };
    };
  };
}

/** Options of {@link claudeManagedAgentsProvider}. */
export interface ClaudeManagedAgentsOptions {
  /** `new Anthropic()`. Whatever it says of retries, what changes a session is sent once. */
  readonly client: ManagedAgentsClient;
  /** The agent's id, or what `sessions.create` takes in its place: a version of it, or overrides. */
  readonly agent: string | Readonly<Record<string, unknown>>;
  /** The environment that new sessions run in, as `provisionManagedAgent` answers it. */
  readonly environmentId: string;
  /** Further members of a new session: `title`, `metadata`, `resources`, `vault_ids`. */
  readonly session?: Readonly<Record<string, unknown>>;
  /** A stream that says nothing for so long counts as dropped, in milliseconds. @default 1_800_000 */
  readonly idleTimeoutMs?: number;
  /** Longer events are dropped, in UTF-16 units. @default 16_777_216 */
  readonly maxEventLength?: number;
  /** Asks for messages piece by piece, while they are made, and not only as a whole. @default false */
  readonly previews?: boolean;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** A session at Anthropic. */
export interface ManagedAgentSession {
  readonly id: string;
}

/** Anthropic's page size. */
const pageSize = 100;

/**
 * What is sent is sent once: nothing that changes the session is retried, neither here nor by the SDK. `system` and
 * `messages` of a session cannot be set, for the agent has its own: `open` throws `INVALID_VALUE` for a `system`.
 */
export function claudeManagedAgentsProvider({
  client,
  agent,
  environmentId,
  session: more = {},
  idleTimeoutMs = 1_800_000,
  maxEventLength = 2 ** 24,
  previews: hasPreviews = false,
  clock = systemClock,
}: ClaudeManagedAgentsOptions): StreamingProvider<
  ManagedAgentSession,
  ManagedAgentEvent,
  readonly ManagedAgentEvent[]
> {
  const { sessions } = client.beta;
  const previews = new Previews();
  const send = async ({ id }: ManagedAgentSession, events: readonly ManagedAgentEvent[], signal: AbortSignal) => {
    await sessions.events.send(id, { events: [...events] as never[] }, { signal, maxRetries: 0 });
  };

  return {
    name: 'claude-managed-agents',
    mode: 'streaming',
    async open({ sessionId, system }, { signal }) {
      if (system !== undefined && system !== '') throw noSystem();
      if (sessionId !== undefined) return { id: sessionId };
      const params = { ...more, agent, environment_id: environmentId } as never;
      const { id } = await sessions.create(params, { signal, maxRetries: 0 });
      if (typeof id === 'string' && id !== '') return { id };
      throw new AgentFlowError('BACKEND_FAILED', 'The session that was made has no id', { status: 'DATA_LOSS' });
    },
    sessionId: ({ id }) => id,
    userInput: userMessage,
    outcomeInput: definedOutcome,
    resumeInput: (_, results, decisions = []) => [...results.map(customToolResult), ...decisions.map(toolConfirmation)],
    async connect({ id }, { signal }) {
      const params = hasPreviews ? { event_deltas: ['agent.message'] } : {};
      const response = await sessions.events.stream(id, params, { signal, maxRetries: 0 }).asResponse();
      const onEvent = (event: ManagedAgentEvent) => previews.note(event);
      return eventsOf(response, { signal, idleTimeoutMs, maxEventLength, clock, onEvent });
    },
    send: (session, input, { signal }) => send(session, input, signal),
    peek: (event) => previews.peek(event),
    normalize: normalizeManagedAgent,
    history: ({ id }, { signal }) =>
      listed<ManagedAgentEvent>(sessions.events.list(id, { limit: pageSize }, { signal })),
    pending: pendingCalls,
    unconfirmed: unconfirmedCalls,
    arrived: hasArrived,
    interrupt: (session) => send(session, [{ type: 'user.interrupt' }], new AbortController().signal),
  };
}

function noSystem(): InvalidValueError {
  const expected = 'no system prompt: a managed agent brings its own';
  return new InvalidValueError('option', [{ path: 'system', expected, received: 'a text' }]);
}
