/** What the events of an invocation say. Source: ReqManagedAgents, and the SDK's `InvokeHarness` types. */
import type { Usage } from '../../../schemas/index.js';
import type { EventPeek, ProviderTurn, TerminalState, ToolUse } from '../provider.js';
import { members, type RawEvent } from '../raw-event.js';
import { addUsage, toUsage } from '../usage.js';

/** A raw event, untouched: an object with one member, which names it. */
export type HarnessEvent = RawEvent;

/** What one event says by itself. */
export function peekHarness(event: HarnessEvent): EventPeek {
  const { text } = members(members(event.contentBlockDelta).delta);
  const usage = usageOf(event);
  return {
    ...(typeof text === 'string' ? { text } : {}),
    ...(usage === undefined ? {} : { usage }),
    // The usage comes after it.
    ...(event.messageStop === undefined ? {} : { ends: true }),
  };
}

/** The events of one invocation; the harness may say several messages, of which the last counts. */
export function normalizeHarness(events: readonly HarnessEvent[]): ProviderTurn {
  const messages = messagesOf(events);
  const blocks = messages.flat();
  const stops = events.flatMap((event) => (event.messageStop === undefined ? [] : [members(event.messageStop)]));
  const stopReason = String(stops.at(-1)?.stopReason ?? 'stream_ended');
  const terminal = terminals[stopReason] ?? 'terminated';
  const answered = new Set(blocks.map(({ resultOf }) => resultOf));
  const calls = blocks.filter(({ call }) => call !== undefined);
  const isOurs = (block: Block) => block.isLocal && !answered.has(block.call?.id) && terminal === 'requires_action';
  return {
    terminal,
    stopReason,
    text: messages
      .map((message) => message.map(({ text }) => text).join(''))
      .filter((text) => text !== '')
      .join('\n'),
    toolUses: calls.filter(isOurs).flatMap(toolUse),
    serverToolUses: calls.filter((block) => !isOurs(block)).flatMap(toolUse),
    usage: events.map(usageOf).reduce(addUsage, undefined),
  };
}

const terminals: Readonly<Record<string, TerminalState>> = {
  end_turn: 'end_turn',
  stop_sequence: 'end_turn',
  tool_use: 'requires_action',
};

/** One content block, put together. */
interface Block {
  readonly text: string;
  readonly call: { readonly id: string; readonly name: string } | undefined;
  /** The call is to be run on this side. */
  readonly isLocal: boolean;
  readonly inputJson: string;
  /** The call whose result the block is. */
  readonly resultOf: unknown;
}

const emptyBlock: Block = { text: '', call: undefined, isLocal: false, inputJson: '', resultOf: undefined };

/** Blocks are numbered anew in each message. */
function messagesOf(events: readonly HarnessEvent[]): Block[][] {
  const messages: Map<unknown, Block>[] = [];
  let blocks = new Map<unknown, Block>();
  const close = () => {
    if (blocks.size > 0) messages.push(blocks);
    blocks = new Map();
  };
  for (const event of events) {
    if (event.messageStart !== undefined || event.messageStop !== undefined) close();
    const { contentBlockIndex: startIndex, start } = members(event.contentBlockStart);
    if (event.contentBlockStart !== undefined) blocks.set(startIndex ?? 0, startedBlock(members(start)));
    const { contentBlockIndex: index = 0, delta } = members(event.contentBlockDelta);
    if (event.contentBlockDelta === undefined) continue;
    blocks.set(index, grownBlock(blocks.get(index) ?? emptyBlock, members(delta)));
  }
  close();
  return messages.map((message) => [...message.values()]);
}

function startedBlock({ toolUse: use, toolResult }: HarnessEvent): Block {
  const { toolUseId, name, type } = members(use);
  const { toolUseId: resultOf } = members(toolResult);
  if (use === undefined) return { ...emptyBlock, resultOf };
  const call = { id: String(toolUseId), name: String(name) };
  return { ...emptyBlock, call, isLocal: type === undefined || type === 'tool_use' };
}

function grownBlock(block: Block, { text, toolUse: use }: HarnessEvent): Block {
  const { input } = members(use);
  return {
    ...block,
    text: typeof text === 'string' ? block.text + text : block.text,
    inputJson: typeof input === 'string' ? block.inputJson + input : block.inputJson,
  };
}

function toolUse({ call, inputJson }: Block): ToolUse[] {
  return call === undefined ? [] : [{ ...call, input: parsed(inputJson) }];
}

/** Input that is no JSON, as of an answer that was cut short, stays a text: the tool will refuse it and say so. */
function parsed(json: string): unknown {
  try {
    return json === '' ? {} : JSON.parse(json);
  } catch {
    return json;
  }
}

function usageOf({ metadata }: HarnessEvent): Usage | undefined {
  return toUsage(members(metadata).usage);
}
