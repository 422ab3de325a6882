/** The events of a streamed response, one by one and put together. Source: platform.openai.com, "Streaming events". */
import type { EventPeek, ProviderTurn } from '../../providers/provider.js';
import { toUsage } from '../usage.js';
import { type OpenAIItem, parsedArguments } from './content.js';

/** A raw event, as the SDK decodes it. */
export type OpenAIEvent = Readonly<Record<string, unknown>>;

/** The event that ends a response. */
export function endOf(events: readonly OpenAIEvent[]): OpenAIEvent | undefined {
  return events.find(({ type }) => typeof type === 'string' && ends.has(type));
}

const ends: ReadonlySet<string> = new Set([
  'response.completed',
  'response.incomplete',
  'response.failed',
  'response.cancelled',
  'error',
]);

/** What one event says by itself. */
export function peekOpenAI(event: OpenAIEvent): EventPeek {
  const { type, delta, response } = event;
  if (type === 'response.output_text.delta' && typeof delta === 'string') return { text: delta };
  if (endOf([event]) === undefined) return {};
  const usage = toUsage(members(response).usage);
  return usage === undefined ? { ends: true } : { ends: true, usage };
}

/** The items of a response: as each was done, or as the end tells them. */
export function outputOf(events: readonly OpenAIEvent[]): OpenAIItem[] {
  const done = events.flatMap(({ type, item }) => (type === 'response.output_item.done' ? [itemOf(item)] : []));
  if (done.length > 0) return done;
  const { output } = members(endOf(events)?.response);
  return Array.isArray(output) ? output.map(itemOf) : [];
}

/** A turn: one response. */
export function normalizeOpenAI(events: readonly OpenAIEvent[]): ProviderTurn {
  const end = endOf(events);
  const response = members(end?.response);
  const items = outputOf(events);
  const calls = items.filter(({ type }) => type === 'function_call');
  const contents = items.flatMap(({ type, content }) => (type === 'message' && Array.isArray(content) ? content : []));
  const isRefused = contents.some(({ type }) => type === 'refusal');
  const stopReason = isRefused ? 'refusal' : stopReasonOf(end, response);
  const usage = toUsage(response.usage);
  return {
    terminal: stopReason !== 'completed' ? 'terminated' : calls.length > 0 ? 'requires_action' : 'end_turn',
    stopReason,
    text: contents.map(({ text }) => (typeof text === 'string' ? text : '')).join(''),
    toolUses: calls.map(({ call_id: id, name, arguments: json }) => ({
      id: String(id),
      name: String(name),
      input: parsedArguments(json),
    })),
    serverToolUses: items
      .filter(({ type }) => type.endsWith('_call') && type !== 'function_call')
      .map(({ id, type, name, action, arguments: json }) => ({
        id: String(id),
        name: typeof name === 'string' ? name : type,
        input: action ?? parsedArguments(json) ?? {},
      })),
    usage,
    ...(typeof response.model === 'string' ? { model: response.model } : {}),
  };
}

function stopReasonOf(end: OpenAIEvent | undefined, response: OpenAIEvent): string {
  if (end === undefined) return 'stream_ended';
  const { reason } = members(response.incomplete_details);
  return typeof reason === 'string' ? reason : String(end.type).replace('response.', '');
}

function itemOf(item: unknown): OpenAIItem {
  const { type, ...rest } = members(item);
  return { ...rest, type: String(type) };
}

function members(value: unknown): OpenAIEvent {
  return typeof value === 'object' && value !== null ? (value as OpenAIEvent) : {};
}
