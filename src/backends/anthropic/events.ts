/** The events of a streamed message, one by one and put together. Source: docs.anthropic.com, "Streaming Messages". */
import type { Usage } from '../../../schemas/index.js';
import type { EventPeek, ProviderTurn, TerminalState, ToolUse } from '../../providers/provider.js';
import { addUsage, toUsage } from '../usage.js';
import type { AnthropicBlock } from './content.js';

/** A raw event, as the SDK decodes it. */
export type AnthropicEvent = Readonly<Record<string, unknown>>;

/** One message that was streamed. */
export interface StreamedMessage {
  readonly content: readonly AnthropicBlock[];
  readonly stopReason: string | undefined;
  readonly usage: Usage | undefined;
  readonly model: string | undefined;
}

/** What one event says by itself. */
export function peekAnthropic(event: AnthropicEvent): EventPeek {
  const { type, delta, message, usage } = event;
  const { type: kind, text } = members(delta);
  if (type === 'content_block_delta' && kind === 'text_delta' && typeof text === 'string') return { text };
  // The input is counted when the message starts; the output is counted up to its end.
  if (type === 'message_start') return usagePeek({ ...members(members(message).usage), output_tokens: undefined });
  if (type === 'message_delta') return usagePeek({ output_tokens: members(usage).output_tokens });
  return type === 'message_stop' ? { ends: true } : {};
}

/** Puts the events of one or more messages together; a message that did not end has no stop reason. */
export function streamedMessages(events: readonly AnthropicEvent[]): StreamedMessage[] {
  const starts = events.flatMap(({ type }, index) => (type === 'message_start' ? [index] : []));
  return starts.map((start, nth) => streamedMessage(events.slice(start, starts[nth + 1])));
}

/** A turn: all its messages, for one that was paused goes on in the next. */
export function normalizeAnthropic(events: readonly AnthropicEvent[]): ProviderTurn {
  const messages = streamedMessages(events);
  const blocks = messages.flatMap(({ content }) => content);
  const { stopReason = 'stream_ended', model } = messages.at(-1) ?? {};
  const usage = messages.reduce<Usage | undefined>((sum, message) => addUsage(sum, message.usage), undefined);
  return {
    terminal: terminals[stopReason] ?? 'terminated',
    stopReason,
    text: blocks.map(({ type, text }) => (type === 'text' ? text : '')).join(''),
    toolUses: toolUses(blocks, 'tool_use'),
    serverToolUses: toolUses(blocks, 'server_tool_use'),
    usage,
    ...(model === undefined ? {} : { model }),
  };
}

const terminals: Readonly<Record<string, TerminalState>> = {
  end_turn: 'end_turn',
  stop_sequence: 'end_turn',
  tool_use: 'requires_action',
};

function streamedMessage(events: readonly AnthropicEvent[]): StreamedMessage {
  const blocks = new Map<unknown, Record<string, unknown>>();
  let counts: Record<string, unknown> = {};
  let model: unknown;
  let stopReason: unknown;
  for (const { type, index, message, content_block: block, delta, usage } of events) {
    if (type === 'message_start') {
      counts = { ...members(members(message).usage) };
      model = members(message).model;
    }
    if (type === 'content_block_start') blocks.set(index, { ...members(block) });
    if (type === 'content_block_delta') applyDelta(blocks.get(index), members(delta));
    if (type !== 'message_delta') continue;
    stopReason = members(delta).stop_reason;
    counts = { ...counts, ...present(members(usage)) };
  }
  return {
    content: [...blocks.values()].map(closedBlock).filter(({ type, text }) => type !== 'text' || text !== ''),
    stopReason: typeof stopReason === 'string' ? stopReason : undefined,
    usage: toUsage(counts),
    model: typeof model === 'string' ? model : undefined,
  };
}

/** Where each kind of delta is collected; input is JSON only when its block is closed. */
const deltaMembers: Readonly<Record<string, readonly [from: string, to: string]>> = {
  text_delta: ['text', 'text'],
  thinking_delta: ['thinking', 'thinking'],
  signature_delta: ['signature', 'signature'],
  input_json_delta: ['partial_json', 'inputJson'],
};

function applyDelta(block: Record<string, unknown> | undefined, delta: AnthropicEvent): void {
  const [from, to] = deltaMembers[String(delta.type)] ?? [];
  if (block === undefined || from === undefined || to === undefined) return;
  block[to] = String(block[to] ?? '') + String(delta[from] ?? '');
}

function closedBlock({ inputJson, ...block }: Record<string, unknown>): AnthropicBlock {
  const type = String(block.type);
  return typeof inputJson === 'string' && inputJson !== ''
    ? { ...block, type, input: parsed(inputJson) }
    : { ...block, type };
}

/** Input that is no JSON, as of an answer that was cut short, stays a text: the tool will refuse it and say so. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

function toolUses(blocks: readonly AnthropicBlock[], kind: string): ToolUse[] {
  return blocks
    .filter(({ type }) => type === kind)
    .map(({ id, name, input }) => ({ id: String(id), name: String(name), input }));
}

function usagePeek(counts: AnthropicEvent): EventPeek {
  const usage = toUsage(counts);
  return usage === undefined ? {} : { usage };
}

function present(values: AnthropicEvent): AnthropicEvent {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== undefined));
}

function members(value: unknown): AnthropicEvent {
  return typeof value === 'object' && value !== null ? (value as AnthropicEvent) : {};
}
