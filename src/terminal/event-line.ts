/** One line for each thing a host tells. */
import type { HostEvent } from '../host/host.js';
import { count, dollars, duration, shortRef, shown, timeOfDay } from './figures.js';
import { cut, fill, oneLine } from './text.js';

/** Columns of the longest type of event. */
const typeColumns = 15;
/** Names beyond it are cut, so that the facts have their place. */
const nameColumns = 16;
/** In fewer columns there is no place for the time. */
const narrowColumns = 60;

/**
 * An event on one line of at most so many columns: when, who, what, and its facts.
 *
 * @param nameOf what to call a ref
 */
export function eventLine(event: HostEvent, columns: number, nameOf: (ref: string) => string = shortRef): string {
  const who = fill(oneLine(event.agent), Math.min(nameColumns, Math.max(8, Math.floor(columns / 8))));
  const ref = 'ref' in event ? nameOf(event.ref) : '';
  const facts = [ref, ...factsOf(event)].filter((fact) => fact !== '').join(', ');
  // Where there is little room, what happened matters more than when.
  const when = columns < narrowColumns ? [] : [timeOfDay(event.at)];
  const line = [...when, who, fill(event.type, typeColumns), oneLine(facts)].join('  ');
  return cut(line, columns).trimEnd();
}

function factsOf(event: HostEvent): readonly string[] {
  switch (event.type) {
    case 'agent.started':
      return [event.resumed ? 'as it was remembered' : 'anew'];
    case 'turn.start':
      return [event.origin, ...attemptOf(event)];
    case 'prompt.start':
      return [...attemptOf(event), event.rewritten ? 'rewritten' : '', ...quotedPrompt(event.prompt)];
    case 'prompt.stop':
      return [duration(event.durationMs)];
    case 'prompt.error':
      return [event.code, duration(event.durationMs)];
    case 'turn.stop':
      return [duration(event.durationMs), ...spentIn(event)];
    case 'turn.error':
      return [event.code, duration(event.durationMs), ...spentIn(event)];
    case 'turn.rejected':
      return [event.code];
    case 'turn.cancelled':
      return [`by its ${event.by === 'caller' ? 'caller' : "caller's signal"}`];
    case 'event.received':
      return [event.deferred ? 'kept for the end of the turn' : '', ...inspected(event.event)];
    case 'state.changed':
      return [event.from === undefined ? event.to : `${event.from} → ${event.to}`];
    case 'mailbox.queued':
    case 'mailbox.taken':
      return [`${count(event.depth, 'prompt')} ${event.depth === 1 ? 'waits' : 'wait'}`];
    case 'input.rejected':
      return [event.input, event.code];
    case 'callback.failed':
      return [event.callback, event.error instanceof Error ? event.error.message : ''];
    case 'stream.event':
      return [event.kind, event.event.type === 'tool_use' ? event.event.name : ''];
    case 'restarting':
      return [`in ${duration(event.delayMs)}`, `restart ${event.attempt}`];
    case 'terminated':
      return [event.reason, event.code ?? ''];
    case 'halted':
    case 'resumed':
    case 'session.lost':
      return [];
  }
}

function attemptOf({ attempt }: { readonly attempt: number }): readonly string[] {
  return attempt === 1 ? [] : [`attempt ${attempt}`];
}

function spentIn(sums: { readonly inputTokens: number; readonly outputTokens: number; readonly costUsd: number }) {
  const { inputTokens, outputTokens, costUsd } = sums;
  const tokens = inputTokens + outputTokens === 0 ? '' : `${inputTokens} + ${outputTokens} tokens`;
  return [tokens, costUsd === 0 ? '' : dollars(costUsd)];
}

function quotedPrompt(prompt: unknown): readonly string[] {
  if (prompt === undefined) return [];
  return [typeof prompt === 'string' ? JSON.stringify(prompt) : 'parts'];
}

function inspected(event: unknown): readonly string[] {
  return event === undefined ? [] : [typeof event === 'string' ? JSON.stringify(event) : shown(event)];
}
