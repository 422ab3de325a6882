/** Phrases that several statements share. `$1` is the tenant's key and `$2` the session's, in hexadecimal. */

/** The tenant's key as it stands in the tables. */
export const tenantKey = "decode($1, 'hex')";
/** It is this session. */
export const session = `tenant_key = ${tenantKey} AND id_key = decode($2, 'hex')`;
/** The lease is the current one: `$3` is its owner, `$4` its fence. */
export const isHolder = 'owner = $3 AND fence = $4::bigint';
/** It is this session, and the lease is the current one. */
export const held = `${session} AND ${isHolder}`;
/** Not `now()`, which is the time before a wait for a row. */
export const now = 'clock_timestamp()';
/** Somebody holds the session. */
export const isHeldNow = `owner IS NOT NULL AND lease_until > ${now}`;

/** What this statement writes is not flushed by itself: a crash of the database may take it back, and nothing before it. */
export const withoutFlush = "set_config('synchronous_commit', 'off', true)";

/** So many milliseconds from now. */
export function later(parameter: string): string {
  return `${now} + ${parameter}::float8 * interval '1 millisecond'`;
}

/** The number of the next entry of a run; -1 when it has said nothing yet. */
export function nextEntryOf(run: string): string {
  return `CASE WHEN feed_run = ${run} THEN feed_end ELSE -1 END`;
}

/**
 * The channel on which everything is told that somebody waits for. The payload is a session's two keys: it was released;
 * the same with `grown` after it: its feed has grown or its run is over; or a prefix of tables with `ends` after it: a run
 * is asked to end.
 */
export const channel = 'genkitx_agent_released';
/** What follows the keys of a session whose feed has grown. */
export const grown = ' grown';
/** What follows the prefix of tables in which a run is asked to end. */
export const ends = ' ends';

/** Tells those who wait for something of this session. */
export function tell(what: '' | typeof grown): string {
  return `pg_notify('${channel}', $1 || $2 || '${what}')`;
}
