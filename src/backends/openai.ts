/**
 * OpenAI's Responses API, streamed, with tools, through the official SDK: it knows every way to authenticate (keys, Azure,
 * gateways), and decodes the stream as its vendor means it. The caller passes the client, so that this package needs no
 * version of it.
 */
import { AgentFlowError, InvalidValueError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import type { RequestResponseProvider } from '../providers/provider.js';
import type { Backend, BackendSessionOptions } from './backend.js';
import { BackendError } from './backend-error.js';
import { systemText } from './conversation.js';
import { failure } from './failure.js';
import { type BackendTool, type ModelSession, modelBackend } from './model-backend.js';
import { conversationOf, type OpenAIItem, promptItem, transcriptOf } from './openai/content.js';
import {
  histories,
  KeptConversation,
  type OpenAIConversation,
  type OpenAIHistory,
  StoredConversation,
} from './openai/conversations.js';
import { endOf, normalizeOpenAI, type OpenAIEvent, outputOf, peekOpenAI } from './openai/events.js';
import { failedResponse, isLostResponse, openaiFailure } from './openai/failures.js';
import type { TelemetryOptions } from './telemetry.js';
import { wholeAnswer } from './whole-answer.js';

export type { BackendTool, OpenAIConversation, OpenAIEvent, OpenAIHistory };

/** The part of `new OpenAI()` from `openai` that is used. */
export interface OpenAIClient {
  readonly responses: {
    /** Asks, and answers the stream. `maxRetries` is how often the SDK may ask again by itself. */
    create(
      body: OpenAIRequest,
      options: { readonly signal: AbortSignal; readonly maxRetries: number },
    ): PromiseLike<AsyncIterable<unknown>>;
  };
}

/** What is asked; members of `request` are added. */
export interface OpenAIRequest {
  readonly model: string;
  readonly stream: true;
  // The SDK's own types of items and tools are narrower than what is known here.
  readonly input: never[];
  readonly tools?: never[];
  /** What the model is told before everything else. */
  readonly instructions?: string;
  /** `maxOutputTokens` of the options. */
  readonly max_output_tokens?: number;
  /** The response this goes on from; only with `history: 'server'`, once there is one. */
  readonly previous_response_id?: string;
}

/** Options of {@link openaiBackend}. */
export interface OpenAIBackendOptions {
  /** `new OpenAI()`, or any client of the SDK's, such as Azure's. */
  readonly client: OpenAIClient;
  /** As OpenAI names it; at Azure the name of the deployment. */
  readonly model: string;
  /** The longest answer, in tokens, reasoning included. @default the model's own */
  readonly maxOutputTokens?: number;
  /** What every session is told first, as `instructions`; a session's own `system` comes after it. */
  readonly system?: string;
  /** @default none */
  readonly tools?: readonly BackendTool[];
  /** Further members of the request: `reasoning`, `temperature`, `tool_choice`, `metadata`, OpenAI's own tools. */
  readonly request?: Readonly<Record<string, unknown>>;
  /**
   * Who keeps the conversation. On this side (`client`) it is told whole in every turn, and OpenAI stores nothing. There
   * (`server`) every turn goes on from the response before, by `previous_response_id`; OpenAI stores responses for 30 days
   * by default. @default 'client'
   */
  readonly history?: OpenAIHistory;
  /** Model turns in one turn; beyond it the turn fails with the kind `limit`. @default 50 */
  readonly maxTurns?: number;
  /** Attempts of the SDK after the first, before anything was streamed. @default 0: the failure says whether to retry */
  readonly maxRetries?: number;
  /** Only `content` is heeded: what was said is written on the spans. */
  readonly telemetry?: TelemetryOptions;
  /** For a `retry-after` that is a date. @default the machine's */
  readonly clock?: Clock;
}

const name = 'openai';

/**
 * A backend on OpenAI's models. A turn that failed is no part of the conversation, whoever keeps it (`history`).
 *
 * Kept on this side, the conversation is told whole in every turn (`store: false`; reasoning is carried along encrypted),
 * and `resumeSession` needs the `messages` so far; without them it throws `BACKEND_CANNOT_RESUME`.
 *
 * Kept at OpenAI, `resumeSession` needs the id alone. It is that of the newest response that answered a turn, so there is
 * none before the first answer, and every turn tells another. When OpenAI has lost the response, a session that was given
 * its `messages` tells them anew; any other fails with the kind `not_found`.
 *
 * Throws `INVALID_VALUE` for a `maxTurns` that is no number from 1, for a `history` there is none of, and for one at OpenAI
 * with `request.store` switched off.
 */
export function openaiBackend(options: OpenAIBackendOptions): Backend<ModelSession<OpenAIConversation>> & {
  resumeSession(sessionId: string, options?: BackendSessionOptions): Promise<ModelSession<OpenAIConversation>>;
} {
  const { model, tools = [], maxTurns = 50, clock, telemetry } = options;
  checkHistory(options);
  return modelBackend({
    provider: newProvider(options),
    resumeId: ({ resumeId }) => resumeId,
    model,
    telemetry,
    tools,
    maxTurns,
    clock,
    failureOf: openaiFailure,
    stopKinds: {
      max_output_tokens: 'incomplete',
      incomplete: 'incomplete',
      content_filter: 'refused',
      refusal: 'refused',
    },
  });
}

/**
 * The same model as a provider: each request is one model turn, and hands tool calls back. The conversation is kept on this
 * side, because the tool loop knows a session by one id for as long as it lives.
 */
export function openaiProvider(
  options: Omit<OpenAIBackendOptions, 'history'>,
): RequestResponseProvider<OpenAIConversation, OpenAIEvent, readonly OpenAIItem[]> {
  return newProvider({ ...options, history: 'client' });
}

function newProvider(
  options: OpenAIBackendOptions,
): RequestResponseProvider<OpenAIConversation, OpenAIEvent, readonly OpenAIItem[]> {
  const { history = 'client', clock = systemClock } = options;
  return {
    name,
    mode: 'request_response',
    async open({ sessionId, system, messages }) {
      if (history === 'client' && sessionId !== undefined && messages === undefined) throw cannotResume();
      const given = conversationOf(messages ?? []);
      const told = systemText(options.system, system, given.system);
      const start = { id: sessionId, system: told, items: given.items };
      return history === 'client' ? new KeptConversation(start) : new StoredConversation(start);
    },
    sessionId: ({ id }) => id,
    userInput: (prompt) => [promptItem(prompt)],
    resumeInput: (_, results) =>
      results.map(({ toolUseId, text, isError }) => ({
        type: 'function_call_output',
        call_id: toolUseId,
        // The API has no member for it.
        output: isError ? JSON.stringify({ error: text }) : text,
      })),
    async *request(conversation, input, { signal }) {
      if (input.every(({ type }) => type === 'function_call_output')) conversation.add(input);
      else conversation.begin(input);
      const events: OpenAIEvent[] = [];
      const create = (hangUp: AbortSignal) => ask(options, conversation, hangUp);
      for await (const event of wholeAnswer<OpenAIEvent>({ ask: create, isEnd, signal, clock })) {
        events.push(event);
        yield event;
      }
      // The SDK ends the stream in silence when it is aborted, and when the connection is closed too early.
      signal.throwIfAborted();
      close(conversation, events);
    },
    peek: peekOpenAI,
    normalize: normalizeOpenAI,
    transcript: ({ answered }) => transcriptOf(answered),
  };
}

async function ask(
  options: OpenAIBackendOptions,
  conversation: OpenAIConversation,
  signal: AbortSignal,
): Promise<AsyncIterable<unknown>> {
  const { client, maxRetries = 0 } = options;
  const create = async () => client.responses.create(requestOf(options, conversation), { signal, maxRetries });
  try {
    return await create();
  } catch (error) {
    if (!isLostResponse(error) || !conversation.recover()) throw error;
    return create();
  }
}

function isEnd(event: OpenAIEvent): boolean {
  return endOf([event]) !== undefined;
}

/** A response has ended: it becomes a part of the conversation, or an error. */
function close(conversation: OpenAIConversation, events: readonly OpenAIEvent[]): void {
  const end = endOf(events);
  if (end === undefined) {
    throw new BackendError(failure(name, 'network', 'The stream ended in the middle of the response'));
  }
  if (end.type === 'error') throw new BackendError(failedResponse(name, end));
  if (end.type === 'response.failed') {
    const { error } = end.response as { readonly error?: Readonly<Record<string, unknown>> | null };
    throw new BackendError(failedResponse(name, error ?? {}));
  }
  const { id } = (end.response ?? {}) as { readonly id?: unknown };
  conversation.heard(id, outputOf(events));
  if (normalizeOpenAI(events).terminal === 'end_turn') conversation.commit();
}

function requestOf(
  { model, maxOutputTokens, tools = [], request = {} }: OpenAIBackendOptions,
  { system, keeping, request: told }: OpenAIConversation,
): OpenAIRequest {
  const own = Array.isArray(request.tools) ? (request.tools as unknown[]) : [];
  const wireTools = tools.map(({ name: toolName, description, inputSchema }) => ({
    type: 'function',
    name: toolName,
    ...(description === undefined ? {} : { description }),
    parameters: inputSchema,
    // Schemas come as their authors wrote them; the strict mode refuses most.
    strict: false,
  }));
  const all = [...own, ...wireTools];
  return {
    ...keeping,
    ...request,
    ...(all.length === 0 ? {} : { tools: all as never[] }),
    ...(maxOutputTokens === undefined ? {} : { max_output_tokens: maxOutputTokens }),
    ...(system === undefined ? {} : { instructions: system }),
    model,
    ...told,
    input: [...told.input] as never[],
    stream: true,
  };
}

function checkHistory({ history = 'client', request = {} }: OpenAIBackendOptions): void {
  const issues: { path: string; expected: string; received: string }[] = [];
  if (!histories.includes(history)) {
    issues.push({ path: 'history', expected: histories.join(' | '), received: String(history) });
  }
  if (history === 'server' && request.store === false) {
    issues.push({ path: 'request.store', expected: 'true, because OpenAI is to keep the history', received: 'false' });
  }
  if (issues.length > 0) throw new InvalidValueError('option', issues);
}

function cannotResume(): AgentFlowError {
  return new AgentFlowError(
    'BACKEND_CANNOT_RESUME',
    'The conversation is not kept at OpenAI: give its messages so far',
  );
}
