/** Genkit's messages as Anthropic's. */
import type { Part } from '../../../schemas/index.js';
import { InvalidValueError } from '../../errors.js';
import type { Message, Prompt } from '../backend.js';

/** One block of a message, as the Messages API writes it. */
export type AnthropicBlock = Readonly<Record<string, unknown>> & { readonly type: string };

/** One message, as the Messages API writes it. */
export interface AnthropicMessage {
  readonly role: 'user' | 'assistant';
  readonly content: readonly AnthropicBlock[];
}

/** What a user says. Throws `INVALID_VALUE` for a part that Anthropic has no block for. */
export function promptBlocks(prompt: Prompt): AnthropicBlock[] {
  if (typeof prompt === 'string') return [{ type: 'text', text: prompt }];
  return prompt.flatMap((part, index) => blocksOf(part, `prompt.${index}`));
}

/** The system messages of a conversation as one text, and the rest as Anthropic's messages. */
export function conversationOf(messages: readonly Message[]): {
  system: string | undefined;
  messages: AnthropicMessage[];
} {
  const system = messages
    .filter(({ role }) => role === 'system')
    .flatMap(({ content }) => content.map(({ text = '' }) => text))
    .join('');
  const others = messages
    .map(({ role, content }, index) => ({
      role: role === 'model' ? ('assistant' as const) : ('user' as const),
      content: content.flatMap((part, place) => blocksOf(part, `messages.${index}.content.${place}`)),
      isSystem: role === 'system',
    }))
    // The API refuses a message without content.
    .filter(({ isSystem, content }) => !isSystem && content.length > 0)
    .map(({ role, content }) => ({ role, content }));
  return { system: system === '' ? undefined : system, messages: others };
}

/** Where the turn begins that ends with calls nobody has answered; the end where there is none. */
export function startOfUnanswered(messages: readonly AnthropicMessage[]): number {
  const has = (message: AnthropicMessage | undefined, kind: string) =>
    message?.content.some(({ type }) => type === kind) ?? false;
  if (!has(messages.at(-1), 'tool_use')) return messages.length;
  const isPrompt = messages.map((message) => message.role === 'user' && !has(message, 'tool_result'));
  return Math.max(0, isPrompt.lastIndexOf(true));
}

/** A conversation as Genkit writes it. */
export function transcriptOf(messages: readonly AnthropicMessage[]): Message[] {
  return messages.map(({ role, content }) => {
    const parts = content.flatMap(partsOf);
    const isTool = parts.some(({ toolResponse }) => toolResponse !== undefined);
    return { role: role === 'assistant' ? 'model' : isTool ? 'tool' : 'user', content: parts };
  });
}

function blocksOf(part: Part, path: string): AnthropicBlock[] {
  const { text, media, toolRequest, toolResponse, reasoning, metadata } = part;
  if (text !== undefined) return text === '' ? [] : [{ type: 'text', text }];
  if (media !== undefined) return [mediaBlock(media.url, media.contentType)];
  if (toolRequest !== undefined) {
    const { ref, name, input } = toolRequest;
    return [tellable({ type: 'tool_use', id: ref ?? name, name, input: input ?? {} })];
  }
  if (toolResponse !== undefined) {
    const { ref, name, output } = toolResponse;
    const content = typeof output === 'string' ? output : (JSON.stringify(output) ?? '');
    return [{ type: 'tool_result', tool_use_id: ref ?? name, content }];
  }
  if (reasoning !== undefined) {
    const signature = metadata?.thoughtSignature;
    return typeof signature === 'string' ? [{ type: 'thinking', thinking: reasoning, signature }] : [];
  }
  throw new InvalidValueError('input', [
    { path, expected: 'text, media, a tool request or a tool response', received: Object.keys(part)[0] ?? 'nothing' },
  ]);
}

/** A block of an answer, as it is told again: the API refuses a call whose input is no object, and the model may make one. */
export function tellable({ input, ...block }: AnthropicBlock): AnthropicBlock {
  if (input === undefined) return { ...block, type: block.type };
  const isObject = typeof input === 'object' && input !== null && !Array.isArray(input);
  return { ...block, type: block.type, input: isObject ? input : { INVALID_JSON: input } };
}

function mediaBlock(url: string, contentType?: string): AnthropicBlock {
  const [, mediaType, data] = /^data:([^;,]+);base64,(.*)$/s.exec(url) ?? [];
  const source =
    data === undefined ? { type: 'url', url } : { type: 'base64', media_type: contentType ?? mediaType, data };
  const isDocument = (contentType ?? mediaType) === 'application/pdf';
  return { type: isDocument ? 'document' : 'image', source };
}

function partsOf(block: AnthropicBlock): Part[] {
  const { type, text, id, name, input, tool_use_id: useId, content, thinking, signature } = block;
  if (type === 'text') return [{ text: String(text) }];
  if (type === 'tool_use') return [{ toolRequest: { ref: String(id), name: String(name), input } }];
  if (type === 'tool_result') return [{ toolResponse: { ref: String(useId), name: String(useId), output: content } }];
  if (type === 'thinking') return [{ reasoning: String(thinking), metadata: { thoughtSignature: signature } }];
  return [{ data: block }];
}
