/** What the events of a managed agent's session say. Source: ReqManagedAgents, and the SDK's types of 2026-04-01. */
import type { Usage } from '../../../schemas/index.js';
import type { EventPeek, ProviderTurn, Terminal, ToolUse } from '../provider.js';

/** A raw event, untouched. */
export type ManagedAgentEvent = Readonly<Record<string, unknown>>;

/** What one event says by itself. */
export function peekManagedAgent(event: ManagedAgentEvent): EventPeek {
  const text = textOf(event);
  const usage = usageOf(event);
  return {
    ...(typeof event.id === 'string' ? { id: event.id } : {}),
    ...(text === '' ? {} : { text }),
    ...(usage === undefined ? {} : { usage }),
    ...(isBoundary(event) ? { ends: true } : {}),
  };
}

/** The events of one turn. */
export function normalizeManagedAgent(events: readonly ManagedAgentEvent[]): ProviderTurn {
  const boundary = events.filter(isBoundary).at(-1);
  const { type, event_ids: blocking } = members(boundary?.stop_reason);
  const stopReason = stopReasonOf(boundary, type);
  const terminal = terminals[stopReason] ?? 'terminated';
  const calls = events.filter((event) => event.type === 'agent.custom_tool_use');
  const ids = Array.isArray(blocking) ? blocking : calls.map(({ id }) => id);
  return {
    terminal,
    stopReason,
    text: events.map(textOf).filter(Boolean).join('\n'),
    toolUses: terminal === 'requires_action' ? calls.filter(({ id }) => ids.includes(id)).map(toolUse) : [],
    serverToolUses: events
      .filter((event) => event.type === 'agent.tool_use' || event.type === 'agent.mcp_tool_use')
      .map(toolUse),
    usage: events.map(usageOf).reduce(added, undefined),
  };
}

/** Calls that no later result answers. */
export function pendingCalls(events: readonly ManagedAgentEvent[]): ToolUse[] {
  const results = events.filter(({ type }) => type === 'user.custom_tool_result');
  const answered = new Set(results.map(({ custom_tool_use_id: id }) => id));
  return events.filter(({ type, id }) => type === 'agent.custom_tool_use' && !answered.has(id)).map(toolUse);
}

/** Is what was sent among these events, which are newer than it? */
export function hasArrived(sent: readonly ManagedAgentEvent[], events: readonly ManagedAgentEvent[]): boolean {
  return sent.every((one) =>
    events.some(
      (event) =>
        event.type === one.type &&
        (one.type === 'user.custom_tool_result'
          ? event.custom_tool_use_id === one.custom_tool_use_id
          : contentText(event) === contentText(one)),
    ),
  );
}

const terminals: Readonly<Record<string, Terminal>> = {
  end_turn: 'end_turn',
  satisfied: 'end_turn',
  max_iterations_reached: 'end_turn',
  requires_action: 'requires_action',
};

/**
 * An error ends its turn unless the session says what comes of it: `retrying` goes on, and `exhausted` is followed by the
 * idle event that is the end.
 */
function isBoundary({ type, error }: ManagedAgentEvent): boolean {
  if (type === 'session.error') {
    const { type: status } = members(members(error).retry_status);
    return status !== 'retrying' && status !== 'exhausted';
  }
  return type === 'session.status_idle' || type === 'session.status_terminated' || type === 'session.deleted';
}

function stopReasonOf(boundary: ManagedAgentEvent | undefined, told: unknown): string {
  if (boundary === undefined) return 'stream_ended';
  const { type, error } = boundary;
  if (type === 'session.error') return String(members(error).type ?? 'error');
  if (typeof told === 'string' && (type === 'session.status_idle' || !Object.hasOwn(terminals, told))) return told;
  return type === 'session.status_idle' ? 'unknown' : 'terminated';
}

function toolUse({ id, name, input }: ManagedAgentEvent): ToolUse {
  return { id: String(id), name: String(name), input };
}

function textOf(event: ManagedAgentEvent): string {
  return event.type === 'agent.message' ? contentText(event) : '';
}

function contentText({ content }: ManagedAgentEvent): string {
  if (!Array.isArray(content)) return '';
  return content
    .map(members)
    .flatMap(({ type, text }) => (type === 'text' && typeof text === 'string' ? [text] : []))
    .join('\n');
}

/** The usage of one model request: input includes what came from or went to a cache. */
function usageOf({ type, model_usage: counts }: ManagedAgentEvent): Usage | undefined {
  if (type !== 'span.model_request_end') return undefined;
  const { input_tokens: fresh, output_tokens: output, ...rest } = members(counts);
  if (typeof fresh !== 'number' || typeof output !== 'number') return undefined;
  const cached = [rest.cache_creation_input_tokens, rest.cache_read_input_tokens];
  const inputTokens = cached.reduce<number>((sum, count) => sum + (typeof count === 'number' ? count : 0), fresh);
  return { inputTokens, outputTokens: output, totalTokens: inputTokens + output };
}

function added(sum: Usage | undefined, one: Usage | undefined): Usage | undefined {
  if (sum === undefined || one === undefined) return sum ?? one;
  const total = (name: 'inputTokens' | 'outputTokens' | 'totalTokens') => (sum[name] ?? 0) + (one[name] ?? 0);
  return { inputTokens: total('inputTokens'), outputTokens: total('outputTokens'), totalTokens: total('totalTokens') };
}

function members(value: unknown): ManagedAgentEvent {
  return typeof value === 'object' && value !== null ? (value as ManagedAgentEvent) : {};
}
