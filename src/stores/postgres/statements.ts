/** Every statement of the store: each operation is one, so each is one round trip and one transaction. */
import { type Statement, statement } from './client.js';
import {
  grown,
  held,
  isHeldNow,
  isHolder,
  later,
  nextEntryOf,
  now,
  session,
  tell,
  tenantKey,
  withoutFlush,
} from './phrases.js';

/** The statements, by operation. `$1` is the tenant's key and `$2` the session's, in hexadecimal. */
export interface Statements {
  /**
   * `$3` owner, `$4` milliseconds, `$5` takeover, `$6` tenant, `$7` id, `$8` since which fence it was waited for or null →
   * the fence, if the lease was free.
   */
  readonly acquire: Statement;
  /** `$3` owner, `$4` fence, `$5` milliseconds → a row, if the lease is the current one. */
  readonly renew: Statement;
  /** `$3` owner, `$4` fence. */
  readonly release: Statement;
  /**
   * `$3` since which fence it was waited for or null: marks the session as awaited → the fence that is waited for or the next
   * one, unless the session is free for who asks.
   */
  readonly await: Statement;
  /** `$3` version or null → the session and one version of it. */
  readonly load: Statement;
  /** The first version: `$3` to `$7` as for `save`, `$8` parent's id or null, `$9` its version → what was found. */
  readonly create: Statement;
  /** `$3` owner, `$4` fence, `$5` expected head, `$6` is it a whole record, `$7` JSON → a row, if it was written. */
  readonly save: Statement;
  /**
   * Many saves, no two of one session: `$1` tenants' keys, `$2` sessions', and so on to `$7` as for `save`, each a list on
   * lines → the places in the lists of those that were written, counted from 1, with commas between. One that would have to
   * wait is not.
   */
  readonly saveTogether: Statement;
  /** As `save`, with `$8` how many versions to keep. */
  readonly saveAndDrop: Statement;
  /** `$3` owner, `$4` fence → what a save that was not written has met. */
  readonly refusal: Statement;
  /** `$3` owner, `$4` fence, `$5` key of the input, `$6` … `$11` the input → its record, if the lease is the current one. */
  readonly accept: Statement;
  /** `$2` after which place, `$3` how many → summaries, each with its place. */
  readonly list: Statement;
  /** → the head of what was there. */
  readonly delete: Statement;
}

const summary = `head, parent_id, parent_version::text, ${iso('created_at')}, ${iso('updated_at')}`;
/** Only where somebody waits: transactions that notify are committed one after another, in the whole cluster. */
const tellThoseWhoWatch = `CASE WHEN watched_from = ${nextEntryOf('owner')} THEN ${tell(grown)} END`;
const tellThoseWhoWait = `CASE WHEN awaited THEN ${tell('')} END, ${tellThoseWhoWatch}`;
/** How long a session that was released is kept for those who waited: time to hear of it, even on a machine that is busy. */
const keptForThoseWhoWaited = "interval '500 milliseconds'";

function iso(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS ${column}`;
}

/** The statements for tables with this prefix, which must have been checked. */
export function statementsFor(prefix: string): Statements {
  const texts: Record<keyof Statements, string> = {
    acquire: acquire(prefix),
    renew: `UPDATE ${prefix}sessions SET lease_until = ${later('$5')} WHERE ${held} RETURNING true AS renewed`,
    release: release(prefix),
    await: awaitRelease(prefix),
    load: load(prefix),
    create: create(prefix),
    save: save(prefix, ''),
    saveTogether: saveTogether(prefix),
    saveAndDrop: save(prefix, dropOldVersions(prefix)),
    refusal: `SELECT head, coalesce(${isHolder}, false) AS is_held FROM ${prefix}sessions WHERE ${session}`,
    accept: accept(prefix),
    list: `
SELECT place::text AS after, id, ${summary} FROM ${prefix}sessions
WHERE tenant_key = ${tenantKey} AND place > $2::bigint ORDER BY place LIMIT $3::bigint`,
    delete: `DELETE FROM ${prefix}sessions WHERE ${session} RETURNING head, ${tellThoseWhoWait}`,
  };
  const named = Object.entries(texts).map(([name, text]) => [name, statement(`${prefix}${name}`, text.trim())]);
  return Object.fromEntries(named) as Record<keyof Statements, Statement>;
}

/** Looked up first, so that those who wait write nothing; looked at again in the write, which may have had to wait. */
function acquire(p: string): string {
  const isFree = `(s.owner = $3 OR (s.owner IS NULL OR s.lease_until <= ${now})
    AND (s.kept_until IS NULL OR s.kept_until <= ${now} OR s.fence >= $8::bigint))`;
  return `
INSERT INTO ${p}sessions AS s (key, tenant_key, id_key, tenant, id, owner, fence, lease_until)
SELECT number, ${tenantKey}, decode($2, 'hex'), $6, $7, $3, number, ${later('$4')}
FROM nextval('${p}numbers') AS number
WHERE $5::boolean OR NOT EXISTS (SELECT FROM ${p}sessions s WHERE ${session} AND ${isFree} IS NOT TRUE)
ON CONFLICT (tenant_key, id_key) DO UPDATE
SET owner = excluded.owner, fence = nextval('${p}numbers'), lease_until = ${later('$4')}, kept_until = NULL,
  abort_reason = CASE WHEN s.owner = excluded.owner THEN s.abort_reason END,
  feed_run = CASE WHEN s.feed_until > ${now} OR (s.owner = s.feed_run AND s.lease_until > ${now}) THEN s.feed_run END
WHERE $5::boolean OR ${isFree}
RETURNING fence::text, CASE WHEN watched_from IS NOT NULL THEN ${tell(grown)} END`;
}

/**
 * Whoever marks it waits for a release under way, so it either is seen by that or finds the session free; whoever finds it
 * marked is told, too, and writes nothing. A crash that forgets the mark ends the connection that listens.
 */
function awaitRelease(p: string): string {
  const isToWait = `${session} AND (${isHeldNow} OR (kept_until > ${now} AND (fence >= $3::bigint) IS NOT TRUE))`;
  const fence = `(CASE WHEN ${isHeldNow} THEN fence ELSE fence + 1 END)::text AS fence`;
  return `
WITH marked AS (
  UPDATE ${p}sessions SET awaited = true WHERE ${isToWait} AND NOT awaited RETURNING ${fence}, ${withoutFlush}
)
SELECT fence FROM marked UNION ALL SELECT ${fence} FROM ${p}sessions WHERE ${isToWait} AND awaited`;
}

/** What was held but never saved leaves nothing behind. */
function release(p: string): string {
  return `
WITH found AS (
  SELECT key, head, owner, awaited, watched_from, feed_run, feed_end FROM ${p}sessions WHERE ${held} FOR UPDATE
),
freed AS (
  UPDATE ${p}sessions s
  SET owner = NULL, abort_reason = NULL, awaited = false, watched_from = NULL,
    kept_until = CASE WHEN s.awaited THEN ${now} + ${keptForThoseWhoWaited} END
  FROM found f WHERE s.key = f.key AND f.head > 0
), gone AS (
  DELETE FROM ${p}sessions s USING found f WHERE s.key = f.key AND f.head = 0
)
SELECT ${tellThoseWhoWait} FROM found`;
}

/** One row whatever the history: the texts of many versions come joined, ready to be parsed in one go. */
function load(p: string): string {
  return `
SELECT s.*, w.version, w.checkpoint, v.data, v.count::integer, i.pending
FROM (SELECT key, ${summary} FROM ${p}sessions WHERE ${session} AND place IS NOT NULL) s
LEFT JOIN ${p}versions w ON w.session = s.key AND w.version = coalesce($3::bigint, s.head)
CROSS JOIN LATERAL (
  SELECT string_agg(data, ',' ORDER BY version) AS data, count(*) FROM ${p}versions
  WHERE session = s.key AND version BETWEEN w.checkpoint AND w.version
) v
CROSS JOIN LATERAL (
  SELECT string_agg(${asJson('i')}, ',' ORDER BY place) AS pending FROM ${p}inputs i WHERE session = s.key AND NOT done
) i`;
}

/** An input as the store hands it out. */
function asJson(row: string): string {
  return `concat(
    '{"id":"', ${row}.id, '","run":"', ${row}.run, '","turn":', ${row}.turn, ',"attempt":', ${row}.attempt,
    ',"done":', CASE WHEN ${row}.done THEN 'true' ELSE 'false' END, ',"input":' || ${row}.input, '}'
  )`;
}

/**
 * Most of what a turn costs: two rows are written, and nothing is looked at twice. A save that is refused writes none, and
 * is told why by a second statement.
 */
function save(p: string, andThen: string): string {
  return `
WITH moved AS (
  UPDATE ${p}sessions
  SET head = head + 1, checkpoint = CASE WHEN $6::boolean THEN head + 1 ELSE checkpoint END, updated_at = ${now}
  WHERE ${held} AND head = $5::bigint
  RETURNING key, head, checkpoint
)${andThen}
${written(p)} RETURNING version`;
}

/**
 * A row that somebody has locked is passed over, so that nobody waits for what another session waits for, and two of these
 * never wait for each other. That each is looked up by itself and the lists are hidden in a subquery keeps the plan the same,
 * however many there are: otherwise small ones would be planned anew every time.
 */
function saveTogether(p: string): string {
  const list = (place: number) => `(SELECT string_to_array($${place}, E'\\n'))`;
  const lists = [1, 2, 3, 4, 5, 6, 7].map(list).join(', ');
  return `
WITH found AS (
  SELECT s.key, g.place, g.is_whole::boolean, g.data
  FROM unnest(${lists}) WITH ORDINALITY AS g (tenant_key, id_key, owner, fence, head, is_whole, data, place)
  CROSS JOIN LATERAL (
    SELECT key FROM ${p}sessions
    WHERE tenant_key = decode(g.tenant_key, 'hex') AND id_key = decode(g.id_key, 'hex')
      AND owner = g.owner AND fence = g.fence::bigint AND head = g.head::bigint
    FOR NO KEY UPDATE SKIP LOCKED
  ) s
), moved AS (
  UPDATE ${p}sessions s
  SET head = s.head + 1, checkpoint = CASE WHEN f.is_whole THEN s.head + 1 ELSE s.checkpoint END, updated_at = ${now}
  FROM found f WHERE s.key = f.key
  RETURNING s.key, s.head, s.checkpoint, f.place, f.data
), written AS (
  INSERT INTO ${p}versions (session, version, checkpoint, data) SELECT key, head, checkpoint, data FROM moved
)
SELECT string_agg(place::text, ',') AS places FROM moved`;
}

/** Writes the version into which `moved` has moved the session. */
function written(p: string): string {
  return `INSERT INTO ${p}versions (session, version, checkpoint, data) SELECT key, head, checkpoint, $7 FROM moved`;
}

/** The oldest version to be kept may need older ones: everything from its checkpoint on stays. */
function dropOldVersions(p: string): string {
  return `, dropped AS (
  DELETE FROM ${p}versions v USING moved m WHERE v.session = m.key AND v.version < CASE
    WHEN $8::bigint = 1 THEN m.checkpoint
    ELSE (SELECT o.checkpoint FROM ${p}versions o WHERE o.session = m.key AND o.version = m.head - $8::bigint + 1)
  END
)`;
}

/**
 * The first version also takes the session's place in the order of creation. One creation of a tenant at a time, so that
 * places appear in their order, and whoever pages through the listing misses none.
 */
function create(p: string): string {
  return `
WITH found AS (SELECT key FROM ${p}sessions WHERE ${held} AND head = 0 AND $5::bigint = 0 FOR NO KEY UPDATE),
turn AS MATERIALIZED (
  SELECT pg_advisory_xact_lock(hashtextextended('${p}sessions' || $1, 0)) FROM found
), moved AS (
  UPDATE ${p}sessions s
  SET head = 1, checkpoint = CASE WHEN $6::boolean THEN 1 ELSE 0 END, place = nextval('${p}numbers'),
    created_at = ${now}, updated_at = ${now}, parent_id = $8, parent_version = $9::bigint
  FROM found f, turn WHERE s.key = f.key
  RETURNING s.key, s.head, s.checkpoint
)
${written(p)} RETURNING version`;
}

/** Always an update, if only to what was there: only then is the row that another call has just written answered. */
function accept(p: string): string {
  const columns = ['run', 'turn', 'attempt', 'done', 'input'];
  const isReplaced =
    'NOT i.done AND (excluded.attempt > i.attempt OR (excluded.done AND excluded.attempt = i.attempt))';
  const kept = columns.map((name) => `${name} = CASE WHEN ${isReplaced} THEN excluded.${name} ELSE i.${name} END`);
  return `
WITH found AS (SELECT key FROM ${p}sessions WHERE ${held} FOR NO KEY UPDATE)
INSERT INTO ${p}inputs AS i (session, id_key, place, id, ${columns.join(', ')})
SELECT key, decode($5, 'hex'), nextval('${p}numbers'), $6, $7, $8::bigint, $9::bigint, $10::boolean, $11 FROM found
ON CONFLICT (session, id_key) DO UPDATE SET ${kept.join(', ')}
RETURNING ${asJson('i')} AS record`;
}
