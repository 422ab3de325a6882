/** What the events of a managed agent's session say. Source: ReqManagedAgents, and the SDK's types of 2026-04-01. */
import type { Usage } from '../../../schemas/index.js';
import type { EventPeek, OutcomeGrade, ProviderTurn, TerminalState, ToolUse } from '../provider.js';
import { members, type RawEvent } from '../raw-event.js';
import { addUsage, toUsage } from '../usage.js';

/** A raw event, untouched. */
export type ManagedAgentEvent = RawEvent;

/** What one event says by itself. */
export function peekManagedAgent(event: ManagedAgentEvent): EventPeek {
  const text = textOf(event);
  const usage = usageOf(event);
  return {
    ...(typeof event.id === 'string' ? { id: event.id } : {}),
    ...(text === '' ? {} : { text }),
    ...(usage === undefined ? {} : { usage }),
    ...(isBoundary(event) ? { ends: true } : {}),
    ...(showsWork(event) ? {} : { isAside: true }),
  };
}

/** The events of one turn. */
export function normalizeManagedAgent(events: readonly ManagedAgentEvent[]): ProviderTurn {
  const boundary = events.filter(isBoundary).at(-1);
  const stopReason = stopReasonOf(boundary);
  const terminal = terminals[stopReason] ?? 'terminated';
  const waiting = terminal === 'requires_action' ? waitingCalls(events) : [];
  const confirmations = waiting.filter(asksForConfirmation).map(toolUse);
  const outcome = events.map(gradeOf).filter((grade) => grade !== undefined);
  return {
    terminal,
    stopReason,
    text: events.map(textOf).filter(Boolean).join('\n'),
    toolUses: waiting.filter(isHandedBack).map(toolUse),
    serverToolUses: events.filter(isServerCall).map(toolUse),
    ...(confirmations.length === 0 ? {} : { confirmations }),
    usage: events.map(usageOf).reduce(addUsage, undefined),
    ...(outcome.length === 0 ? {} : { outcome: outcome.at(-1) }),
  };
}

/** Calls of custom tools that no later result answers, and that the session still waits for. */
export function pendingCalls(events: readonly ManagedAgentEvent[]): ToolUse[] {
  return waitingCalls(events).filter(isHandedBack).map(toolUse);
}

/** Calls of Anthropic's or an MCP server's tools that wait to be allowed. */
export function unconfirmedCalls(events: readonly ManagedAgentEvent[]): ToolUse[] {
  return waitingCalls(events).filter(asksForConfirmation).map(toolUse);
}

/** What the session waits for at the end of these events: a status that is no wait takes back what was called before it. */
function waitingCalls(events: readonly ManagedAgentEvent[]): ManagedAgentEvent[] {
  const waiting = new Map<unknown, ManagedAgentEvent>();
  for (const event of events) {
    if (isHandedBack(event) || isServerCall(event)) waiting.set(event.id, event);
    if (event.type === 'user.custom_tool_result') waiting.delete(event.custom_tool_use_id);
    if (event.type === 'user.tool_confirmation') waiting.delete(event.tool_use_id);
    if (!isBoundary(event) || event.type === 'session.error') continue;
    const named = blockingIds(event);
    for (const [id, call] of waiting) {
      // Where the end names nothing, it waits for all that could be waited for.
      const isBlocking = named?.includes(id) ?? (isHandedBack(call) || call.evaluated_permission === 'ask');
      if (!isBlocking || terminals[stopReasonOf(event)] !== 'requires_action') waiting.delete(id);
    }
  }
  return [...waiting.values()];
}

function blockingIds({ stop_reason: reason }: ManagedAgentEvent): unknown[] | undefined {
  const { event_ids: ids } = members(reason);
  return Array.isArray(ids) ? ids : undefined;
}

function isHandedBack({ type }: ManagedAgentEvent): boolean {
  return type === 'agent.custom_tool_use';
}

function isServerCall({ type }: ManagedAgentEvent): boolean {
  return type === 'agent.tool_use' || type === 'agent.mcp_tool_use';
}

/** One that is allowed already waits for something else: for the result of a machine that is not Anthropic's. */
function asksForConfirmation(event: ManagedAgentEvent): boolean {
  return isServerCall(event) && event.evaluated_permission !== 'allow';
}

/** Is what was sent among these events, which are newer than it? */
export function hasArrived(sent: readonly ManagedAgentEvent[], events: readonly ManagedAgentEvent[]): boolean {
  return sent.every((one) => events.some((event) => event.type === one.type && identity(event) === identity(one)));
}

/** What tells one input from another of its type. */
function identity(event: ManagedAgentEvent): unknown {
  if (event.type === 'user.custom_tool_result') return event.custom_tool_use_id;
  if (event.type === 'user.tool_confirmation') return event.tool_use_id;
  return event.type === 'user.define_outcome' ? event.description : contentText(event);
}

const terminals: Readonly<Record<string, TerminalState>> = {
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

/** Only in a turn there is work; the rest, such as a count or an interrupt that came too late, may come when it is over. */
function showsWork(event: ManagedAgentEvent): boolean {
  const type = String(event.type);
  return isBoundary(event) || workTypes.has(type) || /^(agent|span|workflow_run)\./.test(type);
}

const workTypes: ReadonlySet<string> = new Set([
  'user.message',
  'user.define_outcome',
  'user.custom_tool_result',
  'user.tool_confirmation',
  'user.tool_result',
  'session.status_running',
  'session.status_rescheduled',
  'session.thread_status_running',
  'session.error',
]);

function stopReasonOf(boundary: ManagedAgentEvent | undefined): string {
  if (boundary === undefined) return 'stream_ended';
  const { type, error } = boundary;
  const { type: told } = members(boundary.stop_reason);
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

/** What one model request used, or grading an outcome, which Anthropic counts apart. */
function usageOf({ type, model_usage: ofModel, usage: ofGrader }: ManagedAgentEvent): Usage | undefined {
  if (type === 'span.outcome_evaluation_end') return toUsage(ofGrader);
  return type === 'span.model_request_end' ? toUsage(ofModel) : undefined;
}

function gradeOf({ type, result, explanation, iteration }: ManagedAgentEvent): OutcomeGrade | undefined {
  if (type !== 'span.outcome_evaluation_end') return undefined;
  return {
    verdict: String(result ?? 'unknown'),
    explanation: typeof explanation === 'string' ? explanation : '',
    iteration: typeof iteration === 'number' ? iteration : 0,
  };
}
