/** The versions of a session: written one by one, read from the newest whole record on. */
import { type AgentFlowError, LeaseLostError, SessionConflictError } from '../../errors.js';
import type { PatchOperation } from '../../internal/patch.js';
import type { SessionLease, SessionParent, SessionSummary, StoredSession } from '../../session/store.js';
import { pendingInputs } from './inputs.js';
import { draw, eraseSession, head, headOf, heldSession } from './leases.js';
import type { Queries } from './open-database.js';
import { corrupt, fromText, nowInMs, type SessionKey, toText } from './texts.js';

interface SummaryRow {
  readonly id: string;
  readonly head: number;
  readonly parent_id: string | null;
  readonly parent_version: number | null;
  readonly created_at: string;
  /** Milliseconds since the Unix epoch. */
  readonly saved_at: number;
}

interface SessionRow extends SummaryRow {
  readonly key: number;
  readonly checkpoint: number;
}

/** When the newest version of the session whose row is read was saved. */
const savedAt = '(SELECT saved_at FROM versions WHERE session = key ORDER BY version DESC LIMIT 1)';
const summaryColumns = `id, ${head} AS head, parent_id, parent_version, created_at, ${savedAt} AS saved_at`;

/** The next version, as it will stand in the table. */
export interface NextVersion {
  readonly expectedVersion: number;
  readonly isCheckpoint: boolean;
  /** The whole record or the patch, as JSON. */
  readonly data: string;
  readonly parent: SessionParent | undefined;
  readonly keepVersions: number | undefined;
}

/** The session, if the lease is the current one and the newest version is the expected one; `NULL` otherwise. */
const whereItIsNext = `
  (SELECT key FROM sessions WHERE tenant = ? AND id = ? AND owner = ? AND fence = ? AND ${head} = ?)`;

/** Adds nothing when there is no such session. */
const insertVersion = `
  INSERT OR IGNORE INTO versions (session, version, checkpoint, saved_at, data)
  VALUES (${whereItIsNext}, ?, ifnull(?, (SELECT checkpoint FROM sessions WHERE tenant = ? AND id = ?)), ${nowInMs}, ?)`;

/**
 * Writes the next version. Throws `LeaseLostError` or `SessionConflictError`. One statement and one row where it goes
 * well: each one more costs every save some microseconds. So nothing in `sessions` changes with a patch.
 */
export function saveVersion(queries: Queries, tenant: string, lease: SessionLease, next: NextVersion): void {
  const { expectedVersion, isCheckpoint, data } = next;
  const version = expectedVersion + 1;
  const id = toText(lease.sessionId);
  const added = queries.run(
    insertVersion,
    tenant,
    id,
    toText(lease.owner),
    lease.fence,
    expectedVersion,
    version,
    isCheckpoint ? version : null,
    tenant,
    id,
    data,
  );
  if (added === 0) throw refusal(queries, tenant, lease, expectedVersion);
  if (isCheckpoint) queries.run('UPDATE sessions SET checkpoint = ? WHERE tenant = ? AND id = ?', version, tenant, id);
  if (version === 1) createSession(queries, { tenant, id }, next.parent);
  if (next.keepVersions !== undefined) dropOldVersions(queries, { tenant, id }, version - next.keepVersions + 1);
}

/** Why nothing could be written. */
function refusal(queries: Queries, tenant: string, lease: SessionLease, expectedVersion: number): AgentFlowError {
  const session = heldSession(queries, tenant, lease);
  if (session === undefined) return new LeaseLostError(lease.sessionId);
  return new SessionConflictError(lease.sessionId, expectedVersion, headOf(queries, session.key));
}

function createSession(queries: Queries, { tenant, id }: SessionKey, parent: SessionParent | undefined): void {
  queries.run(
    `UPDATE sessions
     SET place = ?, parent_id = ?, parent_version = ?,
         created_at = strftime('%Y-%m-%dT%H:%M:%fZ', ${savedAt} / 1000.0, 'unixepoch')
     WHERE tenant = ? AND id = ?`,
    draw(queries),
    parent === undefined ? null : toText(parent.sessionId),
    parent?.version ?? null,
    tenant,
    id,
  );
}

/** The oldest version to be kept may need older ones: everything from its checkpoint on stays. */
function dropOldVersions(queries: Queries, session: SessionKey, oldestKept: number): void {
  if (oldestKept <= 1) return;
  const key = keyOf(queries, session) ?? 0;
  const needed = 'SELECT checkpoint FROM versions WHERE session = ? AND version = ?';
  queries.run(`DELETE FROM versions WHERE session = ? AND version < (${needed})`, key, key, oldestKept);
}

/** The rows of one version of a session; parsing them may wait until the transaction is over. */
export function loadVersions(
  queries: Queries,
  { tenant, id }: SessionKey,
  wanted: number | undefined,
): (() => StoredSession) | undefined {
  const sql = `SELECT key, checkpoint, ${summaryColumns} FROM sessions WHERE tenant = ? AND id = ? AND place IS NOT NULL`;
  const session = queries.row<SessionRow>(sql, tenant, id);
  if (session === undefined) return undefined;
  const { key, head } = session;
  const version = wanted ?? head;
  const checkpoint = version === head ? session.checkpoint : checkpointOf(queries, key, version);
  if (checkpoint === undefined) return undefined;
  const { count, data } = textsBetween(queries, key, checkpoint, version);
  const pending = pendingInputs(queries, key);
  return () => {
    if (count === 0 || count !== version - checkpoint + 1) throw corrupt('has lost a version of a session');
    const [record, ...patches] = parseAll(data, count, checkpoint);
    return {
      ...toSummary(session),
      version,
      head,
      checkpoint: record,
      patches: patches as PatchOperation[][],
      size: data.length - (count - 1) * between.length,
      pending,
    };
  };
}

/** Between two texts that were read as one. No text has a line break in it, as JSON is written here. */
const between = ',\n';

/** One text for all rows, as each row that is handed over costs more than what is in it. */
function textsBetween(queries: Queries, key: number, first: number, last: number): { count: number; data: string } {
  const rows = 'SELECT data FROM versions WHERE session = ? AND version BETWEEN ? AND ? ORDER BY version';
  const sql = `SELECT count(*) AS count, ifnull(group_concat(data, ?), '') AS data FROM (${rows})`;
  return queries.row<{ count: number; data: string }>(sql, between, key, first, last) ?? { count: 0, data: '' };
}

function checkpointOf(queries: Queries, key: number, version: number): number | undefined {
  const sql = 'SELECT checkpoint FROM versions WHERE session = ? AND version = ?';
  return queries.row<{ checkpoint: number }>(sql, key, version)?.checkpoint;
}

/** All texts in one go, which is several times faster than one by one. */
function parseAll(data: string, count: number, first: number): unknown[] {
  try {
    const values: unknown = JSON.parse(`[${data}]`);
    if (Array.isArray(values) && values.length === count) return values;
  } catch {
    // One of them is not JSON: find out which.
  }
  const texts = data.split(between);
  if (texts.length !== count) throw corrupt('holds versions of a session that are not each a JSON value');
  return texts.map((text, index) => {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw corrupt(`holds text that is not JSON, as version ${first + index} of a session`, cause);
    }
  });
}

/** A page of sessions, each with its place in the order of creation. */
export function listSessions(
  queries: Queries,
  tenant: string,
  after: number,
  limit: number,
): { place: number; summary: SessionSummary }[] {
  const sql = `SELECT place, ${summaryColumns} FROM sessions WHERE tenant = ? AND place > ? ORDER BY place LIMIT ?`;
  return queries
    .rows<SummaryRow & { place: number }>(sql, tenant, after, limit)
    .map((row) => ({ place: row.place, summary: toSummary(row) }));
}

/** Erases a session and answers its newest version, 0 for one that was only held; `undefined` when there was nothing of it. */
export function deleteSession(queries: Queries, session: SessionKey): number | undefined {
  const key = keyOf(queries, session);
  if (key === undefined) return undefined;
  const last = headOf(queries, key);
  eraseSession(queries, key);
  return last;
}

/** By which the other tables know a session. */
function keyOf(queries: Queries, { tenant, id }: SessionKey): number | undefined {
  return queries.row<{ key: number }>('SELECT key FROM sessions WHERE tenant = ? AND id = ?', tenant, id)?.key;
}

function toSummary(row: SummaryRow): SessionSummary {
  if (row.head === 0) throw corrupt('has lost the versions of a session');
  const { parent_id: parentId, parent_version: parentVersion } = row;
  const parent =
    parentId === null || parentVersion === null ? undefined : { sessionId: fromText(parentId), version: parentVersion };
  const times = { createdAt: row.created_at, updatedAt: new Date(row.saved_at).toISOString() };
  return { id: fromText(row.id), version: row.head, ...(parent === undefined ? {} : { parent }), ...times };
}
