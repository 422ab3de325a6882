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
  peekManagedAgent,
  pendingCalls,
} from './claude-managed-agents/events.js';
import { JsonEventDecoder } from './claude-managed-agents/sse.js';
import type { Prompt, StreamingProvider } from './provider.js';
import { untilIdle } from './until-idle.js';

export type { ManagedAgentEvent };

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
  readonly client: ManagedAgentsClient;
  /** The agent's id, or what `sessions.create` takes in its place: a version of it, or overrides. */
  readonly agent: string | Readonly<Record<string, unknown>>;
  readonly environmentId: string;
  /** Further members of a new session: `title`, `metadata`, `resources`, `vault_ids`. */
  readonly session?: Readonly<Record<string, unknown>>;
  /** A stream that says nothing for so long counts as dropped, in milliseconds. @default 1_800_000 */
  readonly idleTimeoutMs?: number;
  /** Longer events are dropped, in UTF-16 units. @default 16_777_216 */
  readonly maxEventLength?: number;
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
  clock = systemClock,
}: ClaudeManagedAgentsOptions): StreamingProvider<
  ManagedAgentSession,
  ManagedAgentEvent,
  readonly ManagedAgentEvent[]
> {
  const { sessions } = client.beta;
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
    userInput: (prompt) => [{ type: 'user.message', content: contentOf(prompt) }],
    resumeInput: (_, results) =>
      results.map(({ toolUseId, text, isError }) => ({
        type: 'user.custom_tool_result',
        custom_tool_use_id: toolUseId,
        content: [{ type: 'text', text }],
        is_error: isError,
      })),
    async connect({ id }, { signal }) {
      const response = await sessions.events.stream(id, {}, { signal, maxRetries: 0 }).asResponse();
      return eventsOf(response, { signal, idleTimeoutMs, maxEventLength, clock });
    },
    send: (session, input, { signal }) => send(session, input, signal),
    peek: peekManagedAgent,
    normalize: normalizeManagedAgent,
    async history({ id }, { signal }) {
      const events: ManagedAgentEvent[] = [];
      const known = new Set<unknown>();
      for await (const raw of sessions.events.list(id, { limit: pageSize }, { signal })) {
        const event = raw as ManagedAgentEvent;
        // A cursor that leads back would list the same events for ever.
        if (known.has(event.id)) break;
        if (event.id !== undefined) known.add(event.id);
        events.push(event);
      }
      return events;
    },
    pending: pendingCalls,
    arrived: hasArrived,
    interrupt: (session) => send(session, [{ type: 'user.interrupt' }], new AbortController().signal),
  };
}

interface StreamOptions {
  readonly signal: AbortSignal;
  readonly idleTimeoutMs: number;
  readonly maxEventLength: number;
  readonly clock: Clock;
}

/** The events of a stream until it ends, falls silent or is aborted. */
async function* eventsOf(
  { body }: Response,
  { signal, idleTimeoutMs, maxEventLength, clock }: StreamOptions,
): AsyncGenerator<ManagedAgentEvent> {
  if (body === null) return;
  const reader = body.getReader();
  const hangUp = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener('abort', hangUp, { once: true });
  const decoder = new JsonEventDecoder(maxEventLength);
  try {
    if (signal.aborted) return;
    for await (const chunk of untilIdle(chunksOf(reader), idleTimeoutMs, clock)) yield* decoder.push(chunk);
  } finally {
    signal.removeEventListener('abort', hangUp);
    hangUp();
  }
}

async function* chunksOf(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}

function contentOf(prompt: Prompt): ManagedAgentEvent[] {
  if (typeof prompt === 'string') return [{ type: 'text', text: prompt }];
  return prompt.map(({ text, media, ...part }, index) => {
    if (text !== undefined) return { type: 'text', text };
    if (media === undefined) {
      const received = Object.keys(part)[0] ?? 'nothing';
      throw new InvalidValueError('input', [{ path: `prompt.${index}`, expected: 'text or media', received }]);
    }
    const [, inlineType, data] = /^data:([^;,]+);base64,(.*)$/s.exec(media.url) ?? [];
    const mediaType = media.contentType ?? inlineType;
    const source =
      data === undefined ? { type: 'url', url: media.url } : { type: 'base64', media_type: mediaType, data };
    return { type: mediaType === 'application/pdf' ? 'document' : 'image', source };
  });
}

function noSystem(): InvalidValueError {
  const expected = 'no system prompt: a managed agent brings its own';
  return new InvalidValueError('option', [{ path: 'system', expected, received: 'a text' }]);
}
