/** What every session store refuses, decides and writes alike, in one place, so that no two stores can differ. */
import { AgentFlowError, InvalidValueError } from '../errors.js';
import type { FeedEntries } from './run-feed.js';
import type { AcceptedInput, SessionSave } from './store.js';

const longestLeaseMs = 2 ** 31 - 1;
const defaultPageSize = 100;
const cursorPattern = /^after-([1-9][0-9]{0,14})$/;

/** Refuses a lease that is not a whole number of milliseconds, from 1 to 24 days, with `INVALID_VALUE`. */
export function checkTtl(ttlMs: number): void {
  if (!isWholeNumber(ttlMs, 1) || ttlMs > longestLeaseMs)
    throw invalid('ttlMs', `a whole number from 1 to ${longestLeaseMs}`, ttlMs);
}

/**
 * Refuses what is no text with `INVALID_VALUE`, wherever a session, a tenant, an owner or an input is named: a number, or
 * nothing at all, would be taken for some text, and so one session for another.
 */
export function checkText(given: unknown): void {
  if (typeof given === 'string') return;
  const received = given === null ? 'null' : typeof given;
  throw new InvalidValueError('id', [{ path: '', expected: 'a string', received }]);
}

/** Refuses options that are none with `INVALID_VALUE`: a path by itself, or nothing at all. */
export function checkOptions(options: unknown): void {
  if (typeof options === 'object' && options !== null) return;
  throw invalid('', 'an object of options', options === null ? 'null' : typeof options);
}

/** Refuses a save that no store can keep with `INVALID_VALUE`; whether it is the next version is the store's question. */
export function checkSave({ expectedVersion, change, parent, keepVersions }: SessionSave): void {
  if (!isWholeNumber(expectedVersion, 0)) throw invalid('expectedVersion', 'a whole number from 0', expectedVersion);
  if (expectedVersion === 0 && change.kind === 'patch')
    throw invalid('change', 'a checkpoint, because it is the first version', 'a patch');
  if (parent !== undefined) {
    if (expectedVersion > 0) throw invalid('parent', 'none, because it is not the first version', 'a parent');
    checkText(parent.sessionId);
    if (!isWholeNumber(parent.version, 1)) throw invalid('parent.version', 'a whole number from 1', parent.version);
  }
  if (keepVersions !== undefined && !isWholeNumber(keepVersions, 1))
    throw invalid('keepVersions', 'a whole number from 1', keepVersions);
}

/** Refuses an input whose id is no text, or whose turn or attempt is not a count, with `INVALID_VALUE`. */
export function checkInput({ id, turn, attempt }: AcceptedInput): void {
  checkText(id);
  if (!isWholeNumber(turn, 0)) throw invalid('turn', 'a whole number from 0', turn);
  if (!isWholeNumber(attempt, 1)) throw invalid('attempt', 'a whole number from 1', attempt);
}

/** The entries of an append as JSON, each by itself, taken now. Throws `INVALID_VALUE` for what no feed can keep. */
export function feedTexts({ start, entries, keep, ttlMs }: FeedEntries): string[] {
  if (!isWholeNumber(start, 0)) throw invalid('start', 'a whole number from 0', start);
  if (!isWholeNumber(keep, 1)) throw invalid('keep', 'a whole number from 1', keep);
  checkTtl(ttlMs);
  if (entries.length === 0) throw invalid('entries', 'one at least', 'none');
  return entries.map((entry, index) => jsonText(entry, `entries.${index}`));
}

/** Refuses a stretch of a feed that is none with `INVALID_VALUE`. */
export function checkStretch({ from, limit }: { readonly from: number; readonly limit: number }): void {
  if (!isWholeNumber(from, 0)) throw invalid('from', 'a whole number from 0', from);
  if (!isWholeNumber(limit, 1)) throw invalid('limit', 'a whole number from 1', limit);
}

/** Does the next record of an input take the place of the one already there? */
export function isReplacedBy(recorded: Pick<AcceptedInput, 'attempt' | 'done'>, next: AcceptedInput): boolean {
  if (recorded.done) return false;
  return next.attempt > recorded.attempt || (next.done && next.attempt === recorded.attempt);
}

/** The page of a listing that was asked for: how many, and after which place in the order of creation. */
export function pageOf({ limit = defaultPageSize, cursor }: { limit?: number; cursor?: string }): {
  limit: number;
  after: number;
} {
  if (!isWholeNumber(limit, 1)) throw invalid('limit', 'a whole number from 1', limit);
  if (cursor === undefined) return { limit, after: 0 };
  const [, place] = cursorPattern.exec(cursor) ?? [];
  if (place === undefined) throw invalid('cursor', 'the `next` of an earlier page', 'something else');
  return { limit, after: Number(place) };
}

/** The cursor of the page that begins after this place. */
export function cursorAfter(place: number): string {
  return `after-${place}`;
}

/** The value as JSON text, taken now, so that nothing done to the value later is seen. Throws `INVALID_VALUE` for what is not JSON. */
export function jsonText(value: unknown, path: string): string {
  let text: string | undefined;
  let problem: { cause?: unknown } = {};
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    problem = { cause };
  }
  if (text !== undefined) return text;
  throw new InvalidValueError('option', [{ path, expected: 'a JSON value', received: typeof value }], problem);
}

/**
 * Any text at all, in a form that UTF-8 can hold without loss: NUL and lone surrogates are escaped, as JSON does. Throws
 * `INVALID_VALUE` for what is no text.
 */
export function escapedText(given: string): string {
  checkText(given);
  return JSON.stringify(given).slice(1, -1);
}

/** Tenants within each other, from the outermost on, as one text. Throws `INVALID_VALUE` for one that is no text. */
export function tenantText(tenants: readonly string[]): string {
  for (const tenant of tenants) checkText(tenant);
  return JSON.stringify(tenants);
}

/** The text that was given to {@link escapedText}. `store` is the subject of the error's sentence. Throws `STORE_CORRUPT`. */
export function unescapedText(stored: string, store: string): string {
  return String(storedJson(`"${stored}"`, store));
}

/** What a stored JSON text stands for. Throws `STORE_CORRUPT`. */
export function storedJson(text: string, store: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw storeCorrupt(`${store} holds text that is not JSON`, cause);
  }
}

/** The error for a store whose parts do not fit together. */
export function storeCorrupt(message: string, cause?: unknown): AgentFlowError {
  return new AgentFlowError('STORE_CORRUPT', message, cause === undefined ? {} : { cause });
}

function isWholeNumber(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

function invalid(path: string, expected: string, received: unknown): InvalidValueError {
  return new InvalidValueError('option', [{ path, expected, received: String(received) }]);
}
