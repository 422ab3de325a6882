/** The errors of a host that carry facts of their own, and those that are said in several places. */
import type { BackendFailure } from '../backends/backend.js';
import { AgentFlowError, isAgentFlowError } from '../errors.js';
import type { EndReason } from './behaviour.js';

/** How full a queue was when something did not fit. */
export interface OverloadFacts {
  /** Which one was full: prompts that wait, or notifications that wait for a turn's end. */
  readonly queue: 'prompts' | 'notifications';
  /** Which limit was reached. */
  readonly limit: 'count' | 'bytes';
  /** How many waited already. */
  readonly pendingCount: number;
  /** What those weigh: the bytes of their texts, or of their JSON. */
  readonly pendingBytes: number;
  /** What the one weighs that was refused. */
  readonly incomingBytes: number;
  /** The bound on how many may wait: `maxPendingPrompts`, or `maxPendingNotifications`. */
  readonly maxCount: number;
  /** The bound on their bytes: `maxPendingPromptBytes`, or `maxPendingNotificationBytes`. */
  readonly maxBytes: number;
}

/** A bounded queue is full: nothing was taken, and there is no ref. The facts are also its `details`. */
export class OverloadedError extends AgentFlowError {
  override readonly name = 'OverloadedError';
  readonly facts: OverloadFacts;

  constructor(facts: OverloadFacts) {
    const { queue, pendingCount, maxCount, pendingBytes, maxBytes } = facts;
    const full = `${pendingCount} of ${maxCount}, ${pendingBytes} of ${maxBytes} bytes`;
    super('AGENT_OVERLOADED', `The agent's queue of ${queue} is full: ${full}`, { details: facts });
    this.facts = facts;
  }
}

/** Which budget, and how it stands. */
export interface BudgetFacts {
  /** Whose budget. */
  readonly scope: 'agent' | 'host';
  /** What ran out: US dollars or tokens. All amounts here are in it. */
  readonly unit: 'usd' | 'tokens';
  /** What may be spent over all turns. */
  readonly limit: number;
  /** By turns that have ended. */
  readonly spent: number;
  /** By turns in flight: what they reserved, or have used where that is more. */
  readonly reserved: number;
}

/** A turn would cost more than is left (it was not begun), or has cost more (it was cut short). */
export class BudgetError extends AgentFlowError {
  override readonly name = 'BudgetError';
  readonly facts: BudgetFacts;

  constructor(facts: BudgetFacts) {
    const { scope, unit, limit, spent, reserved } = facts;
    super(
      'BUDGET_EXCEEDED',
      `The ${scope}'s budget of ${limit} ${unit} is used up: ${spent} spent, ${reserved} reserved`,
      {
        details: facts,
      },
    );
    this.facts = facts;
  }
}

/** What those who wait for an agent hear when it has ended. */
export function terminated(agent: string, reason: EndReason, cause?: unknown): AgentFlowError {
  return new AgentFlowError('AGENT_TERMINATED', `The agent "${agent}" has ended: ${reason}`, {
    details: { agent, reason },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** What those hear who ask something of an agent that finishes what it does. */
export function draining(agent: string): AgentFlowError {
  return new AgentFlowError('AGENT_DRAINING', `The agent "${agent}" is draining`);
}

/** What those hear who would rather fail than wait for a resume. */
export function halted(agent: string): AgentFlowError {
  return new AgentFlowError('AGENT_HALTED', `The agent "${agent}" is halted`);
}

/** A callback threw, or answered something it may not. */
export function callbackFailed(callback: string, cause: unknown): AgentFlowError {
  const why = cause instanceof Error ? cause.message : 'it did not answer what it must';
  return new AgentFlowError('CALLBACK_FAILED', `${callback} failed: ${why}`, { cause, details: { callback } });
}

/** What a backend told or threw. Errors of this package, a `BackendError` among them, pass through. */
export function backendFailed(provider: string, thrown: unknown): AgentFlowError {
  if (isAgentFlowError(thrown)) return thrown;
  const message = thrown instanceof Error ? thrown.message : 'The backend failed without saying why';
  return new AgentFlowError('BACKEND_FAILED', message, { cause: thrown, details: { provider } });
}

/** A turn that ended with an `error` event. */
export function toldFailure({
  provider,
  kind,
  retryable,
  status,
  retryAfterMs,
  message,
  raw,
}: BackendFailure): AgentFlowError {
  const facts = { provider, kind, retryable, httpStatus: status, retryAfterMs };
  const details = Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== undefined));
  return new AgentFlowError('BACKEND_FAILED', message, { cause: raw, details });
}

/** Another host has the agent now. */
export function isTakenOver(cause: unknown): boolean {
  return isAgentFlowError(cause) && (cause.code === 'LEASE_LOST' || cause.code === 'SESSION_CONFLICT');
}

/** What a thrown value says. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
