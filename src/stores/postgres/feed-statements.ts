/**
 * The statements of the feeds. None of them is flushed by itself, so that what a run says costs it no wait for the disk: a
 * database that crashes may have lost the end of a feed, and never what a session is.
 */
import { type Statement, statement } from './client.js';
import {
  channel,
  ends,
  grown,
  held,
  isHeldNow,
  later,
  nextEntryOf,
  now,
  session,
  tell,
  withoutFlush,
} from './phrases.js';

/** The statements, by operation. `$1` is the tenant's key and `$2` the session's, in hexadecimal. */
export interface FeedStatements {
  /**
   * `$3` owner, `$4` fence, `$5` number of the first entry, `$6` how many, `$7` JSON, `$8` how many to keep, `$9` for how many
   * milliseconds → whether it began anew, if the lease is the current one.
   */
  readonly append: Statement;
  /** Removes some feeds that have expired. */
  readonly sweep: Statement;
  /** `$3` run or null, `$4` from, `$5` how many → the feed, and the rows with those entries. */
  readonly read: Statement;
  /** `$3` run, `$4` end: marks the feed as watched → a row, unless there is more already or the run is over. */
  readonly watch: Statement;
  /** `$3` run, `$4` reason → a row, if the run holds the session. */
  readonly requestAbort: Statement;
  /** Takes nothing → every run that is asked to end. */
  readonly abortRequests: Statement;
}

/** So many feeds are looked at in one go. */
const sweptAtOnce = 20;

/** The statements for tables with this prefix, which must have been checked. */
export function feedStatementsFor(prefix: string): FeedStatements {
  const texts: Record<keyof FeedStatements, string> = {
    append: append(prefix),
    sweep: sweep(prefix),
    read: read(prefix),
    watch: watch(prefix),
    requestAbort: `
UPDATE ${prefix}sessions SET abort_reason = coalesce(abort_reason, $4)
WHERE ${session} AND owner = $3 AND lease_until > ${now}
RETURNING pg_notify('${channel}', '${prefix}${ends}'), ${withoutFlush}`,
    // A run that died with its request unheard leaves it until the session is held again.
    abortRequests: `
SELECT encode(tenant_key, 'hex') || encode(id_key, 'hex') AS keys, owner, fence::text, abort_reason AS reason
FROM ${prefix}sessions WHERE abort_reason IS NOT NULL AND lease_until > ${now} - interval '1 hour'`,
  };
  const named = Object.entries(texts).map(([name, text]) => [name, statement(`${prefix}${name}`, text.trim())]);
  return Object.fromEntries(named) as Record<keyof FeedStatements, Statement>;
}

/** All that a feed is apart from its entries stands in the session's row, where the lease is: one update does both. */
function append(p: string): string {
  const goesOn = `feed_run = $3 AND $5::bigint <= feed_end AND (feed_until > ${now} OR lease_until > ${now})`;
  const ifGoesOn = (value: string, otherwise: string) => `CASE WHEN ${goesOn} THEN ${value} ELSE ${otherwise} END`;
  const upTo = '$5::bigint + $6::integer';
  const newEnd = `greatest(feed_end, ${upTo})`;
  const isTooMuch = `${newEnd} - feed_first >= 2 * $8::bigint`;
  return `
WITH moved AS (
  UPDATE ${p}sessions SET
    feed = ${ifGoesOn('feed', `nextval('${p}numbers')`)},
    feed_run = $3,
    feed_first = ${ifGoesOn(`CASE WHEN ${isTooMuch} THEN ${newEnd} - $8::bigint ELSE feed_first END`, '$5::bigint')},
    feed_from = ${ifGoesOn('feed_end', '$5::bigint')},
    feed_end = ${ifGoesOn(newEnd, upTo)},
    feed_until = ${later('$9')},
    feed_sweep_at = CASE WHEN feed_sweep_at >= ${later('$9')} THEN feed_sweep_at ELSE ${later('2 * $9')} END
  WHERE ${held}
  RETURNING key, feed, feed_first, feed_from, feed_end, watched_from
), added AS (
  INSERT INTO ${p}feeds (session, feed, start, count, data)
  SELECT key, feed, feed_from, feed_end - feed_from, CASE WHEN feed_from = $5::bigint THEN $7 ELSE (
    SELECT string_agg(entry::text, ',' ORDER BY place)
    FROM json_array_elements(('[' || $7 || ']')::json) WITH ORDINALITY AS given (entry, place)
    WHERE place > feed_from - $5::bigint
  ) END
  FROM moved WHERE feed_end > feed_from
), dropped AS (
  DELETE FROM ${p}feeds f USING moved m
  WHERE f.session = m.key AND (f.feed, f.start) < (m.feed, m.feed_first)
    AND (f.feed < m.feed OR f.start + f.count <= m.feed_first)
)
SELECT feed_from = feed_first AS is_new, ${withoutFlush},
  CASE WHEN watched_from IS NOT NULL AND feed_first = feed_from OR watched_from = feed_from THEN ${tell(grown)} END
FROM moved`;
}

/** A feed whose run still holds its session is looked at again later. */
function sweep(p: string): string {
  return `
WITH due AS (
  SELECT key, feed_until > ${now} OR coalesce(owner = feed_run, false) AND lease_until > ${now} AS is_kept
  FROM ${p}sessions WHERE feed_sweep_at <= ${now} ORDER BY feed_sweep_at LIMIT ${sweptAtOnce} FOR NO KEY UPDATE SKIP LOCKED
), noted AS (
  UPDATE ${p}sessions s
  SET feed_sweep_at = CASE WHEN is_kept THEN greatest(feed_until, ${now}) + interval '10 minutes' END,
    feed_run = CASE WHEN is_kept THEN feed_run END
  FROM due d WHERE s.key = d.key
), dropped AS (
  DELETE FROM ${p}feeds f USING due d WHERE f.session = d.key AND NOT is_kept
)
SELECT ${withoutFlush}`;
}

function read(p: string): string {
  const start = 'greatest($4::bigint, s.feed_first)';
  const ofThis = 'session = s.key AND feed = s.feed';
  return `
SELECT r.run, i.is_held, k.is_kept, s.feed_first::text AS first, s.feed_end::text AS "end", f.start::text, f.data
FROM ${p}sessions s
CROSS JOIN LATERAL (SELECT CASE WHEN lease_until > ${now} THEN owner END AS holder) h
CROSS JOIN LATERAL (SELECT coalesce($3, h.holder, s.feed_run) AS run) r
CROSS JOIN LATERAL (SELECT coalesce(r.run = h.holder, false) AS is_held) i
CROSS JOIN LATERAL (SELECT coalesce(s.feed_run = r.run AND (i.is_held OR s.feed_until > ${now}), false) AS is_kept) k
CROSS JOIN LATERAL (
  SELECT min(start) AS start, string_agg(data, ',' ORDER BY start) AS data FROM ${p}feeds
  WHERE k.is_kept AND ${start} < s.feed_end AND ${ofThis} AND start < ${start} + $5::bigint
    AND start >= (SELECT max(start) FROM ${p}feeds WHERE ${ofThis} AND start <= ${start})
) f
WHERE ${session} AND (i.is_held OR k.is_kept)`;
}

/** Who finds it marked already, as it stands now, writes nothing. */
function watch(p: string): string {
  const here = nextEntryOf('$3');
  const isToWait = `${session} AND ${isHeldNow} AND owner = $3 AND (feed_run = $3 AND feed_end > $4::bigint) IS NOT TRUE`;
  return `
WITH marked AS (
  UPDATE ${p}sessions SET watched_from = ${here} WHERE ${isToWait} AND watched_from IS DISTINCT FROM ${here}
  RETURNING ${withoutFlush} AS is_marked
)
SELECT true AS is_to_wait FROM marked
UNION ALL SELECT true FROM ${p}sessions WHERE ${isToWait} AND watched_from = ${here}`;
}
