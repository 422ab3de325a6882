/** Genkit's messages as items of the Responses API. */
import type { Part } from '../../../schemas/index.js';
import { InvalidValueError } from '../../errors.js';
import type { Message, Prompt } from '../backend.js';

/** One item of a response's input or output, as the Responses API writes it. */
export type OpenAIItem = Readonly<Record<string, unknown>> & { readonly type: string };

/** What a user says. Throws `INVALID_VALUE` for a part that OpenAI has no content for. */
export function promptItem(prompt: Prompt): OpenAIItem {
  const content =
    typeof prompt === 'string'
      ? [{ type: 'input_text', text: prompt }]
      : prompt.flatMap((part, index) => userContent(part, `prompt.${index}`));
  return { type: 'message', role: 'user', content };
}

/** The system messages of a conversation as one text, and the rest as items. */
export function conversationOf(messages: readonly Message[]): { system: string | undefined; items: OpenAIItem[] } {
  const system = messages
    .filter(({ role }) => role === 'system')
    .flatMap(({ content }) => content.map(({ text = '' }) => text))
    .join('');
  const items = messages.flatMap(({ role, content }, index) => {
    const at = (place: number) => `messages.${index}.content.${place}`;
    if (role === 'system') return [];
    if (role !== 'user') return content.flatMap((part, place) => modelItems(part, at(place)));
    const said = content.flatMap((part, place) => userContent(part, at(place)));
    return said.length === 0 ? [] : [{ type: 'message', role: 'user', content: said }];
  });
  return { system: system === '' ? undefined : system, items };
}

/** What is told again of an output item: without the ids of a store that does not keep it. */
export function replayed({ id: _, status: __, ...item }: OpenAIItem): OpenAIItem[] {
  if (item.type === 'reasoning' && typeof item.encrypted_content !== 'string') return [];
  return [{ ...item, type: String(item.type) }];
}

/** A conversation as Genkit writes it. */
export function transcriptOf(items: readonly OpenAIItem[]): Message[] {
  return items.flatMap((item): Message[] => {
    const { type, role, content, call_id: ref, name, arguments: json, output } = item;
    if (type === 'function_call') {
      const toolRequest = { ref: String(ref), name: String(name), input: parsedArguments(json) };
      return [{ role: 'model', content: [{ toolRequest }] }];
    }
    if (type === 'function_call_output') {
      return [{ role: 'tool', content: [{ toolResponse: { ref: String(ref), name: String(ref), output } }] }];
    }
    if (type !== 'message' || !Array.isArray(content)) return [];
    const parts = content.map((part: Readonly<Record<string, unknown>>) =>
      typeof part.text === 'string' ? { text: part.text } : { data: part },
    );
    return [{ role: role === 'user' ? 'user' : 'model', content: parts }];
  });
}

/** Arguments that are no JSON stay a text: the tool will refuse them and say so. */
export function parsedArguments(json: unknown): unknown {
  if (typeof json !== 'string') return json;
  try {
    return json === '' ? {} : JSON.parse(json);
  } catch {
    return json;
  }
}

function userContent({ text, media, ...part }: Part, path: string): Readonly<Record<string, unknown>>[] {
  if (text !== undefined) return [{ type: 'input_text', text }];
  if (media === undefined) throw noContent(part, path);
  const { url, contentType } = media;
  const isImage = (contentType ?? /^data:([^;,]+)/.exec(url)?.[1] ?? 'image').startsWith('image');
  if (isImage) return [{ type: 'input_image', image_url: url, detail: 'auto' }];
  return [url.startsWith('data:') ? { type: 'input_file', file_data: url } : { type: 'input_file', file_url: url }];
}

function modelItems(part: Part, path: string): OpenAIItem[] {
  const { text, toolRequest, toolResponse, reasoning } = part;
  if (text !== undefined) {
    return text === '' ? [] : [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text }] }];
  }
  if (toolRequest !== undefined) {
    const { ref, name, input } = toolRequest;
    return [{ type: 'function_call', call_id: ref ?? name, name, arguments: JSON.stringify(input ?? {}) }];
  }
  if (toolResponse !== undefined) {
    const { ref, name, output } = toolResponse;
    const answer = typeof output === 'string' ? output : (JSON.stringify(output) ?? '');
    return [{ type: 'function_call_output', call_id: ref ?? name, output: answer }];
  }
  if (reasoning !== undefined) return [];
  throw noContent(part, path);
}

function noContent(part: object, path: string): InvalidValueError {
  const expected = 'text, media, a tool request or a tool response';
  return new InvalidValueError('input', [{ path, expected, received: Object.keys(part)[0] ?? 'nothing' }]);
}
