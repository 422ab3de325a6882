/** What an agent is started with, its defaults filled in and checked, once. */
import type { Backend } from '../backends/backend.js';
import { assertKnownOptions, InvalidValueError } from '../errors.js';
import type { Budget } from './ledger.js';
import type { QueueLimits } from './queue.js';
import type { Following, Waiting } from './request.js';

/** How often, and how soon, an agent that died is started again. */
export interface RestartLimits {
  /** Deaths within `withinMs` after which it stays dead. @default 3 */
  readonly maxRestarts?: number;
  /** Milliseconds. @default 60_000 */
  readonly withinMs?: number;
  /** Milliseconds before the first restart; doubled for each further one. @default 100 */
  readonly backoffMs?: number;
  /** Milliseconds. @default 10_000 */
  readonly maxBackoffMs?: number;
}

/** The bounds and policies of an agent. Times are in milliseconds; a bound of 0 means that nothing is kept or waits. */
export interface AgentPolicies {
  /** A turn that takes longer fails with `TURN_TIMEOUT`; `Infinity`: it may. @default 600_000 */
  readonly watchdogMs?: number;
  /** Prompts that may wait. @default 1_000 */
  readonly maxPendingPrompts?: number;
  /** Bytes of prompts that may wait. @default 1_048_576 */
  readonly maxPendingPromptBytes?: number;
  /** Notifications that may wait for a turn's end. @default 1_000 */
  readonly maxPendingNotifications?: number;
  /** Bytes of notifications that may wait. @default 1_048_576 */
  readonly maxPendingNotificationBytes?: number;
  /** Events that a turn's response keeps; its text and usage are whole all the same. @default 1_000 */
  readonly maxEventsPerTurn?: number;
  /** Bytes of events that a turn's response keeps. @default 1_048_576 */
  readonly maxEventBytesPerTurn?: number;
  /** `lossless`: a turn with more events fails with `TURN_EVENTS_OVERFLOW`. @default 'compact' */
  readonly eventRetention?: 'compact' | 'lossless';
  /** Outcomes of `tell` that are kept for `poll` and `await`. @default 100 */
  readonly maxTellResults?: number;
  /** Bytes of outcomes of `tell` that are kept; one that has more by itself is not kept. @default 8_388_608 */
  readonly maxTellResultBytes?: number;
  /** Turns that `history` keeps. @default 100 */
  readonly maxHistory?: number;
  /** What this agent may spend. @default no limit */
  readonly budget?: Budget;
  /** `on-crash` needs a host with a store: the agent comes back as it was last saved. @default 'never' */
  readonly restart?: 'never' | 'on-crash';
  /** Heeded with `restart: 'on-crash'` only. */
  readonly restartLimits?: RestartLimits;
  /** What becomes of a turn that a dead process left behind: tried again, or failed with `TURN_LOST`. @default 'retry' */
  readonly onLostTurn?: 'retry' | 'fail';
  /** How long `stop` waits for a callback and for `terminate`. @default 5_000 */
  readonly shutdownMs?: number;
}

/** How an agent is started. */
export interface StartOptions extends AgentPolicies {
  /** Unique in its host; any string but the empty one. */
  readonly name: string;
  /** What answers the prompts. It may serve many agents: each has a session of its own. */
  readonly backend: Backend;
}

/** Policies with their defaults. */
export interface Policies {
  readonly watchdogMs: number;
  readonly prompts: QueueLimits;
  readonly notifications: QueueLimits;
  readonly events: QueueLimits;
  readonly isLossless: boolean;
  readonly tellResults: QueueLimits;
  readonly maxHistory: number;
  readonly budget: Budget | undefined;
  readonly restartsOnCrash: boolean;
  readonly restartLimits: Required<RestartLimits>;
  readonly retriesLostTurn: boolean;
  readonly shutdownMs: number;
}

const mebibyte = 1_048_576;

/** Fills in the defaults. Throws `INVALID_VALUE` for what cannot be. */
export function policiesOf(options: AgentPolicies): Policies {
  const isDefault = policyNames.every((name) => options[name] === undefined);
  return isDefault ? defaults : checkedPolicies(options);
}

const policyNames: readonly (keyof AgentPolicies)[] = [
  ...(['watchdogMs', 'maxPendingPrompts', 'maxPendingPromptBytes', 'maxPendingNotifications'] as const),
  ...(['maxPendingNotificationBytes', 'maxEventsPerTurn', 'maxEventBytesPerTurn', 'eventRetention'] as const),
  ...(['maxTellResults', 'maxTellResultBytes', 'maxHistory'] as const),
  ...(['budget', 'restart', 'restartLimits', 'onLostTurn', 'shutdownMs'] as const),
];

const restartLimitNames = { maxRestarts: true, withinMs: true, backoffMs: true, maxBackoffMs: true };

function checkedPolicies(options: AgentPolicies): Policies {
  const {
    watchdogMs = 600_000,
    maxPendingPrompts = 1_000,
    maxPendingPromptBytes = mebibyte,
    maxPendingNotifications = 1_000,
    maxPendingNotificationBytes = mebibyte,
    maxEventsPerTurn = 1_000,
    maxEventBytesPerTurn = mebibyte,
    eventRetention = 'compact',
    maxTellResults = 100,
    maxTellResultBytes = 8 * mebibyte,
    maxHistory = 100,
    budget,
    restart = 'never',
    restartLimits = {},
    onLostTurn = 'retry',
    shutdownMs = 5_000,
  } = options;
  assertOptions('restartLimits', restartLimits);
  assertKnownOptions(restartLimits, restartLimitNames, 'restartLimits');
  if (budget !== undefined) assertOptions('budget', budget);
  const { maxRestarts = 3, withinMs = 60_000, backoffMs = 100, maxBackoffMs = 10_000 } = restartLimits;
  const counts = { maxPendingPrompts, maxPendingPromptBytes, maxPendingNotifications, maxPendingNotificationBytes };
  const others = {
    maxEventsPerTurn,
    maxEventBytesPerTurn,
    maxTellResults,
    maxTellResultBytes,
    maxHistory,
    maxRestarts,
    withinMs,
    backoffMs,
    maxBackoffMs,
    shutdownMs,
  };
  for (const [path, value] of Object.entries({ ...counts, ...others })) assertFrom(0, path, value);
  assertFrom(1, 'watchdogMs', watchdogMs);
  assertOneOf('eventRetention', eventRetention, ['compact', 'lossless']);
  assertOneOf('restart', restart, ['never', 'on-crash']);
  assertOneOf('onLostTurn', onLostTurn, ['retry', 'fail']);
  return {
    watchdogMs,
    prompts: { maxCount: maxPendingPrompts, maxBytes: maxPendingPromptBytes },
    notifications: { maxCount: maxPendingNotifications, maxBytes: maxPendingNotificationBytes },
    events: { maxCount: maxEventsPerTurn, maxBytes: maxEventBytesPerTurn },
    isLossless: eventRetention === 'lossless',
    tellResults: { maxCount: maxTellResults, maxBytes: maxTellResultBytes },
    maxHistory,
    budget,
    restartsOnCrash: restart === 'on-crash',
    restartLimits: { maxRestarts, withinMs, backoffMs, maxBackoffMs },
    retriesLostTurn: onLostTurn === 'retry',
    shutdownMs,
  };
}

/** What an agent that says nothing of it gets: one object for all of them. */
const defaults: Policies = checkedPolicies({});

/** Throws `INVALID_VALUE` for a name that is no name and for a backend that is none. */
export function checkStart(options: { readonly name: string; readonly backend?: Backend }): void {
  assertOptions('', options);
  const { name, backend } = options;
  if (typeof name !== 'string' || name === '') throw invalid('name', 'a non-empty string', kindOf(name));
  for (const method of ['startSession', 'prompt', 'terminateSession'] as const) {
    if (typeof backend?.[method] !== 'function') throw invalid('backend', `a backend, with ${method}`, kindOf(backend));
  }
}

/** Throws `INVALID_VALUE` for a wait that cannot be. */
export function checkWaiting(waiting: Waiting): void {
  assertOptions('', waiting);
  const { timeoutMs, signal } = waiting;
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs >= 0))
    throw invalid('timeoutMs', 'milliseconds from 0', String(timeoutMs));
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw invalid('signal', 'an AbortSignal', kindOf(signal));
}

/** Throws `INVALID_VALUE` for a caller that cannot be told. */
export function checkFollowing(following: Following): void {
  assertOptions('', following);
  const { onEvent, onCompletion, onHalt } = following;
  assertListener('onEvent', onEvent);
  assertListener('onCompletion', onCompletion);
  if (onHalt !== undefined) assertOneOf('onHalt', onHalt, ['queue', 'fail']);
}

/** Throws `INVALID_VALUE` for what cannot hold options. */
export function assertOptions(path: string, options: unknown): void {
  if (typeof options !== 'object' || options === null) throw invalid(path, 'an object', kindOf(options));
}

/** Throws `INVALID_VALUE` for what cannot be called; nothing at all is fine. */
export function assertListener(path: string, listener: unknown): void {
  if (listener !== undefined && typeof listener !== 'function') throw invalid(path, 'a function', kindOf(listener));
}

/** What came instead of what was expected. */
export function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value === 'string' ? JSON.stringify(value) : typeof value;
}

/** One thing wrong with an option. */
export function invalid(path: string, expected: string, received: string): InvalidValueError {
  return new InvalidValueError('option', [{ path, expected, received }]);
}

function assertFrom(least: number, path: string, value: unknown): void {
  if (value === Infinity || (Number.isSafeInteger(value) && (value as number) >= least)) return;
  throw invalid(path, `a whole number from ${least}, or Infinity`, String(value));
}

function assertOneOf(path: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) throw invalid(path, allowed.map((one) => `'${one}'`).join(' or '), String(value));
}
