/** Who may write a session: the lease, its fence and its end. */
import type { SessionLease } from '../../session/store.js';
import type { Queries } from './open-database.js';
import { nowInMs, type SessionKey, toText } from './texts.js';

/** SQL for the newest version of the session whose row is read; 0 when it has none. */
export const head = 'ifnull((SELECT max(version) FROM versions WHERE session = key), 0)';

/** Does another owner have the lease? */
export function isHeldByAnother(queries: Queries, { tenant, id }: SessionKey, owner: string): boolean {
  const sql = `SELECT 1 FROM sessions WHERE tenant = ? AND id = ? AND owner <> ? AND lease_until > ${nowInMs}`;
  return queries.row(sql, tenant, id, toText(owner)) !== undefined;
}

/** Takes the lease and answers its fence; `undefined` while another owner has it. */
export function acquireLease(
  queries: Queries,
  key: SessionKey,
  { owner, ttlMs, takeover = false }: { owner: string; ttlMs: number; takeover?: boolean },
): number | undefined {
  if (!takeover && isHeldByAnother(queries, key, owner)) return undefined;
  const fence = draw(queries);
  queries.run(
    `INSERT INTO sessions (key, tenant, id, owner, fence, lease_until) VALUES (?, ?, ?, ?, ?, ${nowInMs} + ?)
     ON CONFLICT (tenant, id) DO UPDATE
     SET owner = excluded.owner, fence = excluded.fence, lease_until = excluded.lease_until,
         abort_reason = CASE WHEN owner = excluded.owner THEN abort_reason END`,
    fence,
    key.tenant,
    key.id,
    toText(owner),
    fence,
    ttlMs,
  );
  return fence;
}

/** Extends the lease; false when it is no longer the current one. */
export function renewLease(queries: Queries, tenant: string, lease: SessionLease, ttlMs: number): boolean {
  const session = heldSession(queries, tenant, lease);
  if (session !== undefined)
    queries.run(`UPDATE sessions SET lease_until = ${nowInMs} + ? WHERE key = ?`, ttlMs, session.key);
  return session !== undefined;
}

/** Gives the lease up. What was held but never saved leaves nothing behind. */
export function releaseLease(queries: Queries, tenant: string, lease: SessionLease): void {
  const session = heldSession(queries, tenant, lease);
  if (session === undefined) return;
  if (headOf(queries, session.key) === 0) eraseSession(queries, session.key);
  else queries.run('UPDATE sessions SET owner = NULL, abort_reason = NULL WHERE key = ?', session.key);
}

/** The session, if the lease is the current one: owner and fence are looked at in the transaction that writes. */
export function heldSession(
  queries: Queries,
  tenant: string,
  { sessionId, owner, fence }: SessionLease,
): { key: number } | undefined {
  const sql = 'SELECT key FROM sessions WHERE tenant = ? AND id = ? AND owner = ? AND fence = ?';
  return queries.row<{ key: number }>(sql, tenant, toText(sessionId), toText(owner), fence);
}

/** The newest version of a session; 0 when it has none. */
export function headOf(queries: Queries, key: number): number {
  return queries.row<{ head: number }>(`SELECT ${head} AS head FROM sessions WHERE key = ?`, key)?.head ?? 0;
}

/** Removes every row of a session. */
export function eraseSession(queries: Queries, key: number): void {
  for (const table of ['versions', 'inputs', 'feeds', 'feed_entries'])
    queries.run(`DELETE FROM ${table} WHERE session = ?`, key);
  queries.run('DELETE FROM sessions WHERE key = ?', key);
}

/** The next number of the database's count; it is never drawn again. */
export function draw(queries: Queries): number {
  queries.run('UPDATE counter SET last = last + 1');
  return queries.row<{ last: number }>('SELECT last FROM counter')?.last ?? 0;
}
