/**
 * OpenAI's Responses API, streamed, with tools, through the official SDK: it knows every way to authenticate (keys, Azure,
 * gateways), and decodes the stream as its vendor means it. The caller passes the client, so that this package needs no
 * version of it.
 */
import { v4 as uuid } from 'uuid';
import { AgentFlowError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import type { RequestResponseProvider } from '../providers/provider.js';
import type { Backend, BackendSessionOptions } from './backend.js';
import { BackendError } from './backend-error.js';
import { Conversation } from './conversation.js';
import { failure } from './failure.js';
import { type BackendTool, type ModelSession, modelBackend } from './model-backend.js';
import { conversationOf, type OpenAIItem, promptItem, replayed, transcriptOf } from './openai/content.js';
import { endOf, normalizeOpenAI, type OpenAIEvent, outputOf, peekOpenAI } from './openai/events.js';
import { failedResponse, openaiFailure } from './openai/failures.js';

export type { BackendTool, OpenAIEvent };

/** The part of `new OpenAI()` from `openai` that is used. */
export interface OpenAIClient {
  readonly responses: {
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
  readonly instructions?: string;
  readonly max_output_tokens?: number;
}

/** Options of {@link openaiBackend}. */
export interface OpenAIBackendOptions {
  readonly client: OpenAIClient;
  readonly model: string;
  /** The longest answer, in tokens, reasoning included. @default the model's own */
  readonly maxOutputTokens?: number;
  /** What every session is told first, as `instructions`; a session's own `system` comes after it. */
  readonly system?: string;
  /** @default none */
  readonly tools?: readonly BackendTool[];
  /** Further members of the request: `reasoning`, `temperature`, `tool_choice`, `metadata`, OpenAI's own tools. */
  readonly request?: Readonly<Record<string, unknown>>;
  /** Model turns in one turn; beyond it the turn fails with the kind `limit`. @default 50 */
  readonly maxTurns?: number;
  /** Attempts of the SDK after the first, before anything was streamed. @default 0: the failure says whether to retry */
  readonly maxRetries?: number;
  /** For a `retry-after` that is a date. @default the machine's */
  readonly clock?: Clock;
}

/** A conversation with OpenAI's model, which is kept on this side. */
export type OpenAIConversation = Conversation<OpenAIItem>;

const name = 'openai';

/**
 * A backend that keeps the conversation itself (`store: false`; reasoning is carried along encrypted): it is told whole in
 * every turn, and a turn that failed is no part of it. `resumeSession` needs the `messages` so far; without them it throws
 * `BACKEND_CANNOT_RESUME`.
 */
export function openaiBackend(options: OpenAIBackendOptions): Backend<ModelSession<OpenAIConversation>> & {
  resumeSession(sessionId: string, options?: BackendSessionOptions): Promise<ModelSession<OpenAIConversation>>;
} {
  const { tools = [], maxTurns = 50, clock } = options;
  return modelBackend({
    provider: openaiProvider(options),
    tools,
    maxTurns,
    ...(clock === undefined ? {} : { clock }),
    failureOf: openaiFailure,
    stopKinds: {
      max_output_tokens: 'incomplete',
      incomplete: 'incomplete',
      content_filter: 'refused',
      refusal: 'refused',
    },
  });
}

/** The same model as a provider: each request is one model turn, and hands tool calls back. */
export function openaiProvider(
  options: OpenAIBackendOptions,
): RequestResponseProvider<OpenAIConversation, OpenAIEvent, readonly OpenAIItem[]> {
  const { client, maxRetries = 0 } = options;

  return {
    name,
    mode: 'request_response',
    async open({ sessionId, system, messages }) {
      if (sessionId !== undefined && messages === undefined) throw cannotResume();
      const given = conversationOf(messages ?? []);
      const told = [options.system, system, given.system].filter((text) => text !== undefined && text !== '');
      const id = sessionId ?? `${name}-${uuid()}`;
      return new Conversation(id, told.length === 0 ? undefined : told.join('\n\n'), given.items);
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
      if (input.every(({ type }) => type === 'function_call_output')) conversation.add(...input);
      else conversation.begin(...input);
      const events: OpenAIEvent[] = [];
      for await (const raw of await client.responses.create(requestOf(options, conversation), { signal, maxRetries })) {
        const event = raw as OpenAIEvent;
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
  conversation.add(...outputOf(events).flatMap(replayed));
  if (normalizeOpenAI(events).terminal === 'end_turn') conversation.commit();
}

function requestOf(
  { model, maxOutputTokens, tools = [], request = {} }: OpenAIBackendOptions,
  { system, items }: OpenAIConversation,
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
    ...{ store: false, include: ['reasoning.encrypted_content'] },
    ...request,
    ...(all.length === 0 ? {} : { tools: all as never[] }),
    ...(maxOutputTokens === undefined ? {} : { max_output_tokens: maxOutputTokens }),
    ...(system === undefined ? {} : { instructions: system }),
    model,
    input: [...items] as never[],
    stream: true,
  };
}

function cannotResume(): AgentFlowError {
  return new AgentFlowError(
    'BACKEND_CANNOT_RESUME',
    'The conversation is not kept at OpenAI: give its messages so far',
  );
}
