/** What runs say, as it stands in the tables: one row for all that was appended at once. */
import { LeaseLostError } from '../../errors.js';
import type { FeedPage, SessionLease } from '../../session/store.js';
import { heldSession } from './leases.js';
import type { Queries } from './open-database.js';
import { corrupt, fromText, nowInMs, parseStored, type SessionKey, toText } from './texts.js';

/** An append, as it will stand in the table. */
export interface NextEntries {
  readonly start: number;
  /** Each as JSON. */
  readonly texts: readonly string[];
  readonly keep: number;
  readonly ttlMs: number;
}

/** So many feeds that have expired are looked after whenever a new one begins. */
const cleanedAtOnce = 10;

/** Where the row begins in which an entry stands: found without walking over the others. */
const rowAt = 'SELECT max(start) FROM feed_entries WHERE session = ? AND start <= ?';

/** Adds entries to the feed of a run. Throws `LeaseLostError`. */
export function appendEntries(queries: Queries, tenant: string, lease: SessionLease, next: NextEntries): void {
  const session = heldSession(queries, tenant, lease);
  if (session === undefined) throw new LeaseLostError(lease.sessionId);
  const { key } = session;
  const run = toText(lease.owner);
  const feed = queries.row<{ run: string; end: number; isKept: number }>(
    `SELECT run, "end", kept_until >= ${nowInMs} + ? AS isKept FROM feeds WHERE session = ?`,
    next.ttlMs,
    key,
  );
  const isFirst = feed?.run !== run;
  const end = isFirst ? next.start : feed.end;
  if (isFirst || next.start > end) queries.run('DELETE FROM feed_entries WHERE session = ?', key);
  const fresh = next.texts.slice(Math.max(0, end - next.start));
  const newEnd = Math.max(end, next.start + next.texts.length);
  if (fresh.length > 0) {
    const sql = 'INSERT INTO feed_entries (session, start, data) VALUES (?, ?, ?)';
    queries.run(sql, key, newEnd - fresh.length, `[${fresh.join(',')}]`);
  }
  if (isFirst || feed.isKept === 0) keepFeed(queries, key, { run, end: newEnd, ttlMs: next.ttlMs });
  else queries.run('UPDATE feeds SET "end" = ? WHERE session = ?', newEnd, key);
  const oldestKept = newEnd - next.keep;
  queries.run(`DELETE FROM feed_entries WHERE session = ? AND start < (${rowAt})`, key, key, oldestKept);
  if (isFirst) cleanUp(queries);
}

/** Notes whose feed it is and how long it is kept: some seconds longer, so that not every append has to write that. */
function keepFeed(
  queries: Queries,
  key: number,
  { run, end, ttlMs }: { readonly run: string; readonly end: number; readonly ttlMs: number },
): void {
  const longerMs = Math.floor(ttlMs / 20_000) * 1_000;
  queries.run(
    `INSERT INTO feeds (session, run, "end", kept_until) VALUES (?, ?, ?, ${nowInMs} + ?)
     ON CONFLICT (session) DO UPDATE SET run = excluded.run, "end" = excluded."end", kept_until = excluded.kept_until`,
    key,
    run,
    end,
    ttlMs + longerMs,
  );
}

/** Removes feeds that have expired. One whose run still holds its session is looked at again when the lease is over. */
function cleanUp(queries: Queries): void {
  const oldest = queries.rows<{ session: number; held_until: number | null }>(
    `SELECT session, CASE WHEN owner = run AND lease_until > ${nowInMs} THEN lease_until END AS held_until
     FROM (SELECT session, run FROM feeds WHERE kept_until <= ${nowInMs} ORDER BY kept_until LIMIT ${cleanedAtOnce})
     LEFT JOIN sessions ON sessions.key = session`,
  );
  for (const { session, held_until: heldUntil } of oldest) {
    if (heldUntil !== null) {
      queries.run('UPDATE feeds SET kept_until = ? WHERE session = ?', heldUntil, session);
      continue;
    }
    for (const table of ['feeds', 'feed_entries']) queries.run(`DELETE FROM ${table} WHERE session = ?`, session);
  }
}

interface FeedRow {
  readonly key: number;
  /** Who holds the session now. */
  readonly holder: string | null;
  /** The run that has said something, unless that has expired. */
  readonly run: string | null;
  readonly end: number;
}

const feedRow = `
  SELECT key, holder, CASE WHEN run = holder OR kept_until > ${nowInMs} THEN run END AS run, ifnull("end", 0) AS "end"
  FROM (
    SELECT key, CASE WHEN lease_until > ${nowInMs} THEN owner END AS holder
    FROM sessions WHERE tenant = ? AND id = ?
  ) LEFT JOIN feeds ON feeds.session = key`;

/** A stretch of the feed of a run; parsing it may wait until the transaction is over. */
export function readEntries(
  queries: Queries,
  { tenant, id }: SessionKey,
  wanted: string | undefined,
  { from, limit }: { readonly from: number; readonly limit: number },
): (() => FeedPage) | undefined {
  const found = queries.row<FeedRow>(feedRow, tenant, id);
  const run = wanted ?? found?.holder ?? found?.run ?? undefined;
  if (found === undefined || run === undefined) return undefined;
  const isHeld = run === found.holder;
  if (run !== found.run) {
    const empty = { run: fromText(run), first: 0, end: 0, start: from, entries: [], isHeld };
    return isHeld ? () => empty : undefined;
  }
  const { key, end } = found;
  const oldest = 'SELECT min(start) AS first FROM feed_entries WHERE session = ?';
  const first = queries.row<{ first: number | null }>(oldest, key)?.first ?? end;
  const start = Math.max(from, first);
  const rows = queries.rows<{ start: number; data: string }>(
    `SELECT start, data FROM feed_entries WHERE session = ? AND start >= (${rowAt}) AND start < ? ORDER BY start`,
    key,
    key,
    start,
    start + limit,
  );
  return () => {
    const all = rows.flatMap(({ data }) => parseEntries(data));
    const skipped = start - (rows[0]?.start ?? start);
    return { run: fromText(run), first, end, start, entries: all.slice(skipped, skipped + limit), isHeld };
  };
}

function parseEntries(data: string): readonly unknown[] {
  const entries = parseStored(data);
  if (Array.isArray(entries)) return entries;
  throw corrupt('holds entries of a run that are no list');
}

/** Does the feed of a run reach beyond `end`, or does the run not hold the session? */
export function isGrownOrOver(queries: Queries, { tenant, id }: SessionKey, run: string, end: number): boolean {
  const found = queries.row<FeedRow>(feedRow, tenant, id);
  return found?.holder !== run || (found.run === run && found.end > end);
}

/** Notes that a run is asked to end; false when it does not hold the session. */
export function requestEnd(queries: Queries, { tenant, id }: SessionKey, run: string, reason: string): boolean {
  const sql = `SELECT key FROM sessions WHERE tenant = ? AND id = ? AND owner = ? AND lease_until > ${nowInMs}`;
  const session = queries.row<{ key: number }>(sql, tenant, id, run);
  if (session === undefined) return false;
  queries.run('UPDATE sessions SET abort_reason = ifnull(abort_reason, ?) WHERE key = ?', reason, session.key);
  return true;
}

/** A run that is asked to end. */
export interface EndRequest {
  readonly tenant: string;
  readonly id: string;
  readonly owner: string;
  readonly fence: number;
  readonly reason: string;
}

/** Every run of the database that is asked to end and still holds its session. */
export function endRequests(queries: Queries): EndRequest[] {
  return queries.rows<EndRequest>(
    'SELECT tenant, id, owner, fence, abort_reason AS reason FROM sessions WHERE abort_reason IS NOT NULL',
  );
}
