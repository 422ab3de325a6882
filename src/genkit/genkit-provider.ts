import {
  dynamicTool,
  type Genkit,
  type MessageData,
  type ModelArgument,
  type Part,
  type ToolArgument,
  type z,
} from 'genkit';
import { v4 as uuid } from 'uuid';
import type { Usage } from '../../schemas/index.js';
import { BackendError } from '../backends/backend-error.js';
import { failure } from '../backends/failure.js';
import { untilAborted } from '../backends/until-aborted.js';
import { toUsage } from '../backends/usage.js';
import type {
  EventPeek,
  Message,
  ProviderTurn,
  RequestResponseProvider,
  ToolResult,
  ToolUse,
} from '../providers/provider.js';
import { EventQueue } from './event-queue.js';
import { genkitFailure } from './genkit-failure.js';
import { systemMessages, textOf, userMessage } from './model-messages.js';

/** A tool the model may call; the loop's handler runs it. */
export interface ToolDefinition {
  readonly name: string;
  readonly description: string;
  /** Zod 3, Genkit's own. */
  readonly inputSchema?: z.ZodTypeAny;
  /** JSON Schema, where there is no `inputSchema`. @default anything */
  readonly inputJsonSchema?: object;
}

/** Options of {@link genkitProvider}. */
export interface GenkitProviderOptions {
  /** A model's name or reference, as for `ai.generate`. */
  readonly model: ModelArgument;
  /** Told to the model before everything else, unless a session says otherwise. */
  readonly system?: string;
  /** Definitions, or tools of Genkit's own, of which only the definition is used: the loop's handler runs the calls. */
  readonly tools?: readonly (ToolDefinition | ToolArgument)[];
  /** The model's own configuration: `temperature`, `maxOutputTokens` and the like. */
  readonly config?: Record<string, unknown>;
  /** @default 'genkit' */
  readonly name?: string;
}

/** The whole of a model's answer. */
export interface GenkitAnswer {
  /** Made here: Genkit has none. */
  readonly eventId: string;
  readonly type: 'response';
  /** Every call in it has a `ref` that no other call of the session has. */
  readonly message: MessageData;
  /** Genkit's own word: `stop`, `length`, `blocked`. `stop` where the model says none. */
  readonly finishReason: string;
  /** Of this one model call; `undefined` when the model does not tell. */
  readonly usage: Usage | undefined;
}

/** What a Genkit model tells: pieces of its answer, then the whole of it. */
export type GenkitProviderEvent =
  | { readonly eventId: string; readonly type: 'chunk'; readonly content: readonly Part[] }
  | GenkitAnswer;

/** A session of {@link genkitProvider}: the conversation, kept in this process. */
export interface GenkitProviderSession {
  readonly id: string;
  /** What the model is told before everything else; `undefined`: nothing. */
  readonly system: string | undefined;
  /** Oldest first; an input joins it together with its answer. */
  readonly messages: MessageData[];
  /** The model's newest answer. */
  last: GenkitAnswer | undefined;
  /** Ids of the calls so far. */
  readonly refs: Set<string>;
}

/**
 * Any Genkit model as a provider: every turn is one model call, and the tools it asks for are handed back to the loop.
 *
 * A session is taken up with its conversation, `messages`, which `SessionResult.transcript` has told; calls at its end
 * that nobody has answered are run first.
 */
export function genkitProvider(
  ai: Genkit,
  options: GenkitProviderOptions,
): RequestResponseProvider<GenkitProviderSession, GenkitProviderEvent, MessageData> {
  const { name = 'genkit', tools = [] } = options;
  const model = new GenkitModel(ai, { ...options, name }, tools.map(asTool));
  return {
    name,
    mode: 'request_response',
    async open({ sessionId = `genkit-${uuid()}`, system = options.system, messages = [] }) {
      const conversation = structuredClone(messages) as MessageData[];
      const session: GenkitProviderSession = {
        id: sessionId,
        system,
        messages: conversation,
        last: undefined,
        refs: new Set(),
      };
      const newest = conversation.at(-1);
      for (const { content } of conversation.slice(0, -1))
        for (const { toolRequest } of content) if (toolRequest?.ref !== undefined) session.refs.add(toolRequest.ref);
      if (newest?.role === 'model') session.last = answerOf(session, newest, 'stop', undefined);
      return session;
    },
    sessionId: ({ id }) => id,
    userInput: userMessage,
    resumeInput: (uses, results) => ({ role: 'tool', content: uses.map((use) => resultPart(use, results)) }),
    request: (session, input, { signal }) => model.turn(session, input, signal),
    peek,
    normalize,
    // A turn that fails leaves nothing behind, so there is never more than the newest answer to go on from.
    history: async ({ last }) => (last === undefined ? [] : [last]),
    pending: (events) => usesOf(events.at(-1)),
    transcript: ({ messages }) => structuredClone(messages) as Message[],
  };
}

/** Calls the model, once for each turn. */
class GenkitModel {
  readonly #ai: Genkit;
  readonly #options: GenkitProviderOptions & { readonly name: string };
  readonly #tools: readonly ToolArgument[];

  constructor(ai: Genkit, options: GenkitProviderOptions & { readonly name: string }, tools: readonly ToolArgument[]) {
    this.#ai = ai;
    this.#options = options;
    this.#tools = tools;
  }

  async *turn(
    session: GenkitProviderSession,
    input: MessageData,
    signal: AbortSignal,
  ): AsyncGenerator<GenkitProviderEvent> {
    const left = new AbortController();
    const stop = AbortSignal.any([signal, left.signal]);
    const queue = new EventQueue<GenkitProviderEvent>();
    try {
      signal.throwIfAborted();
      this.#generate(session, input, stop, queue).then(
        () => queue.end(),
        (error) => queue.end({ error }),
      );
      yield* queue;
    } finally {
      left.abort();
    }
  }

  /** The conversation changes when the model has answered, and not before: a turn that fails was never asked. */
  async #generate(
    session: GenkitProviderSession,
    input: MessageData,
    signal: AbortSignal,
    queue: EventQueue<GenkitProviderEvent>,
  ): Promise<void> {
    const { model, config, name } = this.#options;
    const { system, messages } = session;
    let isSpeaking = false;
    const onChunk = ({ content }: { readonly content: Part[] }) => {
      isSpeaking = true;
      queue.push({ eventId: uuid(), type: 'chunk', content });
    };
    const generated = this.#ai.generate({
      model,
      messages: [...systemMessages(system), ...messages, input],
      tools: [...this.#tools],
      returnToolRequests: true,
      onChunk,
      abortSignal: signal,
      ...(config === undefined ? {} : { config }),
    });
    try {
      const { message, finishReason, usage } = await untilAborted(signal, generated);
      if (message === undefined) throw new BackendError(failure(name, 'incomplete', 'The model gave no answer'));
      const answer = answerOf(session, message.toJSON(), finishReason ?? 'stop', toUsage(usage));
      messages.push(input, answer.message);
      session.last = answer;
      queue.push(answer);
    } catch (error) {
      throw signal.aborted
        ? error
        : new BackendError(genkitFailure(error, { provider: name, signal, isModelCall: true, isSpeaking }));
    }
  }
}

/**
 * The model's answer. Calls are known by their ids for as long as the session lives, so one that comes without a ref, or
 * with one that was there before (some models count from 0 in every answer), gets another, which its result will name.
 */
function answerOf(
  { refs }: GenkitProviderSession,
  message: MessageData,
  finishReason: string,
  usage: Usage | undefined,
): GenkitAnswer {
  const eventId = uuid();
  const content = message.content.map((part, index) => {
    if (part.toolRequest === undefined) return part;
    const { ref } = part.toolRequest;
    const id = ref === undefined || refs.has(ref) ? `${eventId}.${index}` : ref;
    refs.add(id);
    return { ...part, toolRequest: { ...part.toolRequest, ref: id } };
  });
  return { eventId, type: 'response', message: { ...message, content }, finishReason, usage };
}

function peek(event: GenkitProviderEvent): EventPeek {
  const { eventId: id } = event;
  if (event.type === 'chunk') return { id, text: textOf(event.content) };
  return { id, ends: true, ...(event.usage === undefined ? {} : { usage: event.usage }) };
}

function normalize(events: readonly GenkitProviderEvent[]): ProviderTurn {
  const last = events.at(-1);
  if (last?.type !== 'response')
    return {
      terminal: 'terminated',
      stopReason: 'no_response',
      text: '',
      toolUses: [],
      serverToolUses: [],
      usage: undefined,
    };
  const toolUses = usesOf(last);
  const isDone = last.finishReason === 'stop' || last.finishReason === 'unknown' || last.finishReason === 'other';
  return {
    terminal: toolUses.length > 0 ? 'requires_action' : isDone ? 'end_turn' : 'terminated',
    stopReason: toolUses.length > 0 ? 'tool_use' : last.finishReason === 'stop' ? 'end_turn' : last.finishReason,
    text: textOf(last.message.content),
    toolUses,
    serverToolUses: [],
    usage: last.usage,
  };
}

function usesOf(event: GenkitProviderEvent | undefined): ToolUse[] {
  if (event?.type !== 'response') return [];
  return event.message.content.flatMap(({ toolRequest }) =>
    toolRequest === undefined ? [] : [{ id: toolRequest.ref ?? '', name: toolRequest.name, input: toolRequest.input }],
  );
}

/** The result as Genkit's own tools would give it: an object where it is one, else the text. */
function resultPart({ id, name }: ToolUse, results: readonly ToolResult[]): Part {
  const { text = '', isError = true } = results.find(({ toolUseId }) => toolUseId === id) ?? {};
  return { toolResponse: { name, ref: id, output: isError ? { error: text } : asValue(text) } };
}

function asValue(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : text;
  } catch {
    return text;
  }
}

/** Genkit wants a function with every tool; this one is never called, because requests are returned. */
function asTool(tool: ToolDefinition | ToolArgument): ToolArgument {
  if (typeof tool !== 'object' || '__action' in tool || !('description' in tool)) return tool as ToolArgument;
  const { name, description, inputSchema, inputJsonSchema } = tool as ToolDefinition;
  const schema = inputSchema === undefined ? { inputJsonSchema: inputJsonSchema ?? {} } : { inputSchema };
  return dynamicTool({ name, description, ...schema }, async () => ({}));
}
