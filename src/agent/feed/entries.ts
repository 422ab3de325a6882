/** What stands in the feed of a run: the entries of its log as JSON, each with its position, and how the run ended. */
import type { FinishReason } from '../../../schemas/index.js';
import { type LogEntry, type LogPosition, TurnEnd, TurnStart } from '../../connection/chunk-log.js';
import type { RunEnd } from '../../connection/connection.js';
import { AgentFlowError, type ErrorJson, toAgentFlowError } from '../../errors.js';
import { frozenJson, type NotJson } from '../../internal/json.js';

/** Turn, attempt, and how many entries of the turn came before it. */
type FeedPosition = readonly [turn: number, attempt: number, seq: number];

/** One entry of a feed. */
export type FeedEntry = { readonly at: FeedPosition } & (
  | { readonly chunk: unknown }
  /** A chunk that JSON cannot carry: what is wrong with it. */
  | { readonly notJson: NotJson }
  | { readonly turnStart: true }
  | { readonly turnEnd: { readonly interrupted: boolean; readonly error?: ErrorJson } }
  /** The last entry. */
  | { readonly runEnd: { readonly finishReason: FinishReason; readonly error?: ErrorJson } }
);

/** An entry of the log at its position. */
export function toFeedEntry<Stream>({ turn, attempt, seq }: LogPosition, entry: LogEntry<Stream>): FeedEntry {
  const at = [turn, attempt, seq] as const;
  if (entry instanceof TurnStart) return { at, turnStart: true };
  if (entry instanceof TurnEnd) return { at, turnEnd: { interrupted: entry.interrupted, ...errorOf(entry.error) } };
  if (typeof entry === 'string') return { at, chunk: entry };
  try {
    const problems: NotJson[] = [];
    const chunk = frozenJson(entry, (problem) => problems.push(problem));
    const [notJson] = problems;
    return notJson === undefined ? { at, chunk } : { at, notJson };
  } catch {
    // A value may be made so that even looking at it throws.
    return { at, notJson: { path: '', received: 'something that cannot be read' } };
  }
}

/** How a run ended, and why if it did not end well. */
export type HowItEnded = Pick<RunEnd, 'finishReason' | 'error'>;

/** The last entry of a feed. */
export function toEndEntry({ turn, attempt, seq }: LogPosition, { finishReason, error }: HowItEnded): FeedEntry {
  return { at: [turn, attempt, seq], runEnd: { finishReason, ...errorOf(error) } };
}

/** An error as over the wire; details that are not JSON, or cannot be read, stay behind. */
function errorOf(error: unknown): { readonly error?: ErrorJson } {
  if (error === undefined) return {};
  const told = toAgentFlowError(error);
  try {
    return { error: frozenJson(told.toJSON(), () => {}) as ErrorJson };
  } catch {
    const { status, code, message } = told;
    return { error: { status, code, message } };
  }
}

/** An entry as it was read. Throws `STORE_CORRUPT` for what is none. */
export function asFeedEntry(value: unknown): FeedEntry {
  if (typeof value === 'object' && value !== null && 'at' in value) {
    const { at } = value;
    const isPosition = Array.isArray(at) && at.length === 3 && at.every((part) => Number.isSafeInteger(part));
    const kinds = ['chunk', 'notJson', 'turnStart', 'turnEnd', 'runEnd'];
    if (isPosition && kinds.some((kind) => Object.hasOwn(value, kind))) return value as FeedEntry;
  }
  throw new AgentFlowError('STORE_CORRUPT', 'The feed of a run holds something that is no entry of one');
}
