/** The versions of a session: written one by one, read from the newest whole record on. */
import { LeaseLostError, SessionConflictError } from '../../errors.js';
import type { PatchOperation } from '../../internal/patch.js';
import type { SessionLease, SessionParent, SessionSummary, StoredSession } from '../../session/store.js';
import type { Queries } from './database.js';
import { pendingInputs } from './inputs.js';
import { draw, eraseSession, heldSession } from './leases.js';
import { corrupt, fromText, nowInIso, type SessionKey, toText } from './texts.js';

interface SummaryRow {
  readonly id: string;
  readonly head: number;
  readonly parent_id: string | null;
  readonly parent_version: number | null;
  readonly created_at: string;
  readonly updated_at: string;
}

interface SessionRow extends SummaryRow {
  readonly key: number;
  readonly checkpoint: number;
}

const summaryColumns = 'id, head, parent_id, parent_version, created_at, updated_at';

/** The next version, as it will stand in the table. */
export interface NextVersion {
  readonly expectedVersion: number;
  readonly isCheckpoint: boolean;
  /** The whole record or the patch, as JSON. */
  readonly data: string;
  readonly parent: SessionParent | undefined;
  readonly keepVersions: number | undefined;
}

/** Writes the next version. Throws `LeaseLostError` or `SessionConflictError`. */
export function saveVersion(queries: Queries, tenant: string, lease: SessionLease, next: NextVersion): void {
  const session = heldSession(queries, tenant, lease);
  if (session === undefined) throw new LeaseLostError(lease.sessionId);
  const { key, head } = session;
  if (head !== next.expectedVersion) throw new SessionConflictError(lease.sessionId, next.expectedVersion, head);
  const version = head + 1;
  if (version === 1) createSession(queries, key, next.parent);
  queries.run(
    `UPDATE sessions SET head = ?, checkpoint = ifnull(?, checkpoint), updated_at = ${nowInIso} WHERE key = ?`,
    version,
    next.isCheckpoint ? version : null,
    key,
  );
  queries.run(
    'INSERT INTO versions (session, version, checkpoint, data) SELECT key, head, checkpoint, ? FROM sessions WHERE key = ?',
    next.data,
    key,
  );
  if (next.keepVersions !== undefined) dropOldVersions(queries, key, version - next.keepVersions + 1);
}

function createSession(queries: Queries, key: number, parent: SessionParent | undefined): void {
  queries.run(
    `UPDATE sessions SET place = ?, parent_id = ?, parent_version = ?, created_at = ${nowInIso} WHERE key = ?`,
    draw(queries),
    parent === undefined ? null : toText(parent.sessionId),
    parent?.version ?? null,
    key,
  );
}

/** The oldest version to be kept may need older ones: everything from its checkpoint on stays. */
function dropOldVersions(queries: Queries, key: number, oldestKept: number): void {
  if (oldestKept <= 1) return;
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
  const rows = queries.rows<{ data: string }>(
    'SELECT data FROM versions WHERE session = ? AND version BETWEEN ? AND ? ORDER BY version',
    key,
    checkpoint,
    version,
  );
  const pending = pendingInputs(queries, key);
  return () => {
    if (rows.length !== version - checkpoint + 1) throw corrupt('has lost a version of a session');
    const [record, ...patches] = parseAll(rows, checkpoint);
    return {
      ...toSummary(session),
      version,
      head,
      checkpoint: record,
      patches: patches as PatchOperation[][],
      size: rows.reduce((size, { data }) => size + data.length, 0),
      pending,
    };
  };
}

function checkpointOf(queries: Queries, key: number, version: number): number | undefined {
  const sql = 'SELECT checkpoint FROM versions WHERE session = ? AND version = ?';
  return queries.row<{ checkpoint: number }>(sql, key, version)?.checkpoint;
}

/** All texts in one go, which is several times faster than one by one. */
function parseAll(rows: readonly { data: string }[], first: number): unknown[] {
  try {
    const values: unknown = JSON.parse(`[${rows.map(({ data }) => data).join(',')}]`);
    if (Array.isArray(values) && values.length === rows.length) return values;
  } catch {
    // One of them is not JSON: find out which.
  }
  return rows.map(({ data }, index) => {
    try {
      return JSON.parse(data);
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

/** Erases a session; false when it had no version. */
export function deleteSession(queries: Queries, { tenant, id }: SessionKey): boolean {
  const session = queries.row<{ key: number; head: number }>(
    'SELECT key, head FROM sessions WHERE tenant = ? AND id = ?',
    tenant,
    id,
  );
  if (session === undefined) return false;
  eraseSession(queries, session.key);
  return session.head > 0;
}

function toSummary(row: SummaryRow): SessionSummary {
  const { parent_id: parentId, parent_version: parentVersion } = row;
  const parent =
    parentId === null || parentVersion === null ? undefined : { sessionId: fromText(parentId), version: parentVersion };
  const times = { createdAt: row.created_at, updatedAt: row.updated_at };
  return { id: fromText(row.id), version: row.head, ...(parent === undefined ? {} : { parent }), ...times };
}
