/**
 * Anthropic's Messages API, streamed, with tools, through the official SDK: it knows every way to authenticate (keys,
 * OAuth, Bedrock, Vertex), and decodes the stream as its vendor means it. The caller passes the client, so that this
 * package needs no version of it.
 */
import { v4 as uuid } from 'uuid';
import { AgentFlowError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import type { RequestResponseProvider } from '../providers/provider.js';
import {
  type AnthropicMessage,
  conversationOf,
  promptBlocks,
  startOfUnanswered,
  tellable,
  transcriptOf,
} from './anthropic/content.js';
import { type AnthropicEvent, normalizeAnthropic, peekAnthropic, streamedMessages } from './anthropic/events.js';
import { anthropicFailure } from './anthropic/failures.js';
import type { Backend, BackendSessionOptions } from './backend.js';
import { BackendError } from './backend-error.js';
import { Conversation, systemText } from './conversation.js';
import { failure } from './failure.js';
import { type BackendTool, type ModelSession, modelBackend } from './model-backend.js';
import type { TelemetryOptions } from './telemetry.js';
import { wholeAnswer } from './whole-answer.js';

export type { AnthropicEvent, BackendTool };

/** The part of `new Anthropic()` from `@anthropic-ai/sdk` that is used. */
export interface AnthropicClient {
  readonly messages: {
    /** Asks, and answers the stream. `maxRetries` is how often the SDK may ask again by itself. */
    create(
      body: AnthropicRequest,
      options: { readonly signal: AbortSignal; readonly maxRetries: number },
    ): PromiseLike<AsyncIterable<unknown>>;
  };
}

/** What is asked; members of `request` are added. */
export interface AnthropicRequest {
  readonly model: string;
  /** `maxTokens` of the options. */
  readonly max_tokens: number;
  readonly stream: true;
  // The SDK's own types of messages and tools are narrower than what is known here.
  readonly messages: never[];
  /** Anthropic's own tools from `request`, then those of the options; absent when there are none. */
  readonly tools?: never[];
  readonly system?: string;
}

/** Options of {@link anthropicBackend}. */
export interface AnthropicBackendOptions {
  /** `new Anthropic()`, or any client of the SDK's: Bedrock's, Vertex'. */
  readonly client: AnthropicClient;
  /** As the client's endpoint names it: Bedrock and Vertex have names of their own. */
  readonly model: string;
  /** The longest answer, in tokens. @default 4_096 */
  readonly maxTokens?: number;
  /** What every session is told first; a session's own `system` comes after it. */
  readonly system?: string;
  /** @default none */
  readonly tools?: readonly BackendTool[];
  /** Further members of the request: `thinking`, `temperature`, `tool_choice`, `metadata`, Anthropic's own tools. */
  readonly request?: Readonly<Record<string, unknown>>;
  /** Model turns in one turn; beyond it the turn fails with the kind `limit`. @default 50 */
  readonly maxTurns?: number;
  /** Attempts of the SDK after the first, before anything was streamed. @default 0: the failure says whether to retry */
  readonly maxRetries?: number;
  /** Only `content` is heeded: what was said is written on the spans. */
  readonly telemetry?: TelemetryOptions;
  /** For a `retry-after` that is a date. @default the machine's */
  readonly clock?: Clock;
}

/** A conversation with Anthropic's model, which is kept on this side. */
export type AnthropicConversation = Conversation<AnthropicMessage>;

const name = 'anthropic';

/**
 * A backend that keeps the conversation itself: it is told whole in every turn, and a turn that failed is no part of it.
 * `resumeSession` needs the `messages` so far; without them it throws `BACKEND_CANNOT_RESUME`.
 *
 * Throws `INVALID_VALUE` for a `maxTurns` that is no number from 1.
 */
export function anthropicBackend(options: AnthropicBackendOptions): Backend<ModelSession<AnthropicConversation>> & {
  resumeSession(sessionId: string, options?: BackendSessionOptions): Promise<ModelSession<AnthropicConversation>>;
} {
  const { model, tools = [], maxTurns = 50, clock, telemetry } = options;
  return modelBackend({
    provider: anthropicProvider(options),
    model,
    telemetry,
    tools,
    maxTurns,
    clock,
    failureOf: anthropicFailure,
    stopKinds: { max_tokens: 'incomplete', model_context_window_exceeded: 'incomplete', refusal: 'refused' },
  });
}

/** The same model as a provider: each request is one model turn, and hands tool calls back. */
export function anthropicProvider(
  options: AnthropicBackendOptions,
): RequestResponseProvider<AnthropicConversation, AnthropicEvent, AnthropicMessage> {
  const { client, maxRetries = 0, maxTurns = 50, clock = systemClock } = options;

  async function* ask(conversation: AnthropicConversation, signal: AbortSignal): AsyncGenerator<AnthropicEvent> {
    for (let asked = 0; asked < maxTurns; asked++) {
      const events: AnthropicEvent[] = [];
      const create = (hangUp: AbortSignal) =>
        client.messages.create(requestOf(options, conversation), { signal: hangUp, maxRetries });
      for await (const event of wholeAnswer<AnthropicEvent>({ ask: create, isEnd, signal, clock })) {
        events.push(event);
        yield event;
      }
      // The SDK ends the stream in silence when it is aborted, and when the connection is closed too early.
      signal.throwIfAborted();
      const [message] = streamedMessages(events);
      if (message?.stopReason === undefined || events.at(-1)?.type !== 'message_stop') throw brokenOff();
      const { content, stopReason } = message;
      if (content.length > 0) conversation.add({ role: 'assistant', content: content.map(tellable) });
      if (stopReason === 'end_turn' || stopReason === 'stop_sequence') conversation.commit();
      if (stopReason !== 'pause_turn') return;
    }
    throw new BackendError(failure(name, 'limit', `The model paused more than ${maxTurns} times`));
  }

  return {
    name,
    mode: 'request_response',
    async open({ sessionId, system, messages }) {
      if (sessionId !== undefined && messages === undefined) throw cannotResume();
      const given = conversationOf(messages ?? []);
      const id = sessionId ?? `${name}-${uuid()}`;
      const left = startOfUnanswered(given.messages);
      return new Conversation(id, systemText(options.system, system, given.system), given.messages, left);
    },
    sessionId: ({ id }) => id,
    userInput: (prompt) => ({ role: 'user', content: promptBlocks(prompt) }),
    resumeInput: (_, results) => ({
      role: 'user',
      content: results.map(({ toolUseId, text, isError }) => ({
        type: 'tool_result',
        tool_use_id: toolUseId,
        content: text,
        is_error: isError,
      })),
    }),
    async *request(conversation, input, { signal }) {
      const isAnswer = input.content.some(({ type }) => type === 'tool_result');
      if (isAnswer) conversation.add(input);
      else conversation.begin(input);
      yield* ask(conversation, signal);
    },
    peek: peekAnthropic,
    normalize: normalizeAnthropic,
    transcript: ({ answered }) => transcriptOf(answered),
  };
}

function requestOf(
  { model, maxTokens = 4_096, tools = [], request = {} }: AnthropicBackendOptions,
  { system, items }: AnthropicConversation,
): AnthropicRequest {
  const own = Array.isArray(request.tools) ? (request.tools as unknown[]) : [];
  const wireTools = tools.map((tool) => ({
    name: tool.name,
    ...(tool.description === undefined ? {} : { description: tool.description }),
    input_schema: tool.inputSchema,
  }));
  const all = [...own, ...wireTools];
  return {
    ...request,
    ...(all.length === 0 ? {} : { tools: all as never[] }),
    model,
    max_tokens: maxTokens,
    ...(system === undefined ? {} : { system }),
    messages: [...items] as never[],
    stream: true,
  };
}

function isEnd({ type }: AnthropicEvent): boolean {
  return type === 'message_stop';
}

function brokenOff(): BackendError {
  return new BackendError(failure(name, 'network', 'The stream ended in the middle of the message'));
}

function cannotResume(): AgentFlowError {
  return new AgentFlowError('BACKEND_CANNOT_RESUME', 'Anthropic keeps no conversation: give its messages so far');
}
