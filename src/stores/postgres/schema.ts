/** The tables, and how they come to be. */
import { InvalidValueError } from '../../errors.js';

/** What every name of ours in the database begins with, unless told otherwise. */
export const defaultTablePrefix = 'genkitx_agent_';

/** Raised by one with every change of the tables; `migrations` has one entry for each. */
const schemaVersion = 2;
const prefixPattern = /^[a-z_][a-z0-9_]{0,39}$/;

/** Refuses a prefix that would have to be quoted, or that leaves no room for the name, with `INVALID_VALUE`. */
export function checkPrefix(tablePrefix: string): void {
  if (typeof tablePrefix === 'string' && prefixPattern.test(tablePrefix)) return;
  const expected = 'up to 40 of a-z, 0-9 and _, not beginning with a digit';
  throw new InvalidValueError('option', [{ path: 'tablePrefix', expected, received: JSON.stringify(tablePrefix) }]);
}

/**
 * The SQL that makes the tables of a `PostgresSessionStore`, or brings older ones up to date, for those who run their own
 * migrations. It is one statement: it does everything or nothing, nothing when run again, and waits its turn when many run
 * it at once. Where transactions are stricter than `read committed` by default, whoever has waited may fail with the state
 * 40001 and has to run it once more, as `migrate()` does. It needs a database in UTF8 and the right to create tables in the
 * first schema of the `search_path`.
 *
 * Throws `INVALID_VALUE` for a bad prefix.
 *
 * @param tablePrefix what every table's name begins with; `genkitx_agent_` by default
 */
export function postgresSchema(tablePrefix: string = defaultTablePrefix): string {
  checkPrefix(tablePrefix);
  // Noted first: a transaction that cannot see what others have done while it waited collides here, and may be run again.
  const steps = migrations(tablePrefix).map(
    (sql, index) => `
  IF NOT EXISTS (SELECT FROM ${tablePrefix}migrations WHERE version = ${index + 1}) THEN
    INSERT INTO ${tablePrefix}migrations (version) VALUES (${index + 1}) ON CONFLICT DO NOTHING;
${sql}
  END IF;`,
  );
  return `DO $migrate$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('${tablePrefix}migrations', 0));
  IF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION 'the database is in %, and sessions need UTF8', current_setting('server_encoding')
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF to_regclass('${tablePrefix}migrations') IS NULL THEN
    CREATE TABLE ${tablePrefix}migrations (
      version integer PRIMARY KEY,
      applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
  END IF;
  IF EXISTS (SELECT FROM ${tablePrefix}migrations WHERE version > ${schemaVersion}) THEN
    RAISE EXCEPTION 'the tables are of a newer version than ${schemaVersion}, the one this package knows'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;${steps.join('')}
END $migrate$`;
}

/**
 * JSON stands in `text`, not in `jsonb`: that refuses NUL and lone surrogates even when they are escaped, and does not give
 * back the order of members. Cast it to query it. Ids stand as the content of a JSON string for the same reason, and are
 * found by their SHA-256, because an index takes no key above 2,704 bytes.
 */
function migrations(p: string): readonly string[] {
  return [
    `    -- Keys, fences and places are drawn here, so none is ever used again.
    CREATE SEQUENCE ${p}numbers;
    CREATE TABLE ${p}sessions (
      key bigint PRIMARY KEY,
      tenant_key bytea NOT NULL, -- sha256 of tenant
      id_key bytea NOT NULL, -- sha256 of id
      tenant text NOT NULL, -- JSON array: [] without a tenant, ["a"] for tenant a, ["a","b"] for a tenant within it
      id text NOT NULL, -- the content of a JSON string, like every text that comes from outside
      place bigint, -- in the order of creation; NULL while the session is held but has no version yet
      head integer NOT NULL DEFAULT 0, -- the newest version
      checkpoint integer NOT NULL DEFAULT 0, -- the newest version that is a whole record
      owner text, -- who holds the lease
      fence bigint NOT NULL, -- grows with every acquisition
      lease_until timestamptz NOT NULL, -- by this database's clock, like every time
      awaited boolean NOT NULL DEFAULT false, -- somebody listens for the release
      parent_id text,
      parent_version bigint,
      created_at timestamptz,
      updated_at timestamptz,
      UNIQUE (tenant_key, id_key)
    ) WITH (fillfactor = 70); -- room for the next state of a row on its own page: no index is touched by a save
    CREATE UNIQUE INDEX ${p}sessions_in_order ON ${p}sessions (tenant_key, place) WHERE place IS NOT NULL;
    CREATE TABLE ${p}versions (
      session bigint NOT NULL REFERENCES ${p}sessions ON DELETE CASCADE,
      version integer NOT NULL,
      checkpoint integer NOT NULL, -- the whole record that this version builds on; itself when data is one
      data text NOT NULL, -- JSON: a whole record, or the operations (RFC 6902) that lead here from the version before
      PRIMARY KEY (session, version)
    );
    CREATE TABLE ${p}inputs (
      session bigint NOT NULL REFERENCES ${p}sessions ON DELETE CASCADE,
      id_key bytea NOT NULL, -- sha256 of id
      place bigint NOT NULL, -- in the order of acceptance
      id text NOT NULL,
      run text NOT NULL,
      turn bigint NOT NULL,
      attempt bigint NOT NULL,
      done boolean NOT NULL,
      input text, -- JSON, until done
      PRIMARY KEY (session, id_key)
    );
    CREATE INDEX ${p}inputs_pending ON ${p}inputs (session, place) WHERE NOT done;`,
    `    -- What is added to a session is added under the lock of its row: asking once more on every save whether the session
    -- is there costs a quarter of it.
    LOCK TABLE ${p}sessions, ${p}versions, ${p}inputs;
    ALTER TABLE ${p}versions DROP CONSTRAINT ${p}versions_session_fkey;
    ALTER TABLE ${p}inputs DROP CONSTRAINT ${p}inputs_session_fkey;
    ALTER TABLE ${p}sessions
      ADD kept_until timestamptz, -- free, but until then only for those who waited for the release
      ADD abort_reason text, -- somebody asks the run that holds the session to end
      ADD feed bigint, -- what is kept of the feed are the rows of this number
      ADD feed_run text, -- the owner of the lease under which it was said
      ADD feed_first bigint, -- the number of the oldest entry that is kept
      ADD feed_from bigint, -- the number of the first entry of the last append
      ADD feed_end bigint, -- the number of the next entry
      ADD feed_until timestamptz, -- while its run holds the session it is kept anyway
      ADD feed_sweep_at timestamptz, -- not before feed_until, and seldom changed
      ADD watched_from bigint; -- somebody waits for more, and the next entry was this one then; -1 when none was said yet
    CREATE INDEX ${p}sessions_to_end ON ${p}sessions (key) WHERE abort_reason IS NOT NULL;
    CREATE INDEX ${p}sessions_to_sweep ON ${p}sessions (feed_sweep_at) WHERE feed_sweep_at IS NOT NULL;
    CREATE TABLE ${p}feeds (
      session bigint NOT NULL,
      feed bigint NOT NULL,
      start bigint NOT NULL, -- the number of the first entry in this row
      count integer NOT NULL,
      data text NOT NULL, -- JSON, one after another with commas between: what was appended at once
      PRIMARY KEY (session, feed, start)
    );
    CREATE FUNCTION ${p}erase() RETURNS trigger LANGUAGE plpgsql AS $erase$
    BEGIN
      EXECUTE format('DELETE FROM %I.${p}versions WHERE session = $1', TG_TABLE_SCHEMA) USING OLD.key;
      EXECUTE format('DELETE FROM %I.${p}inputs WHERE session = $1', TG_TABLE_SCHEMA) USING OLD.key;
      EXECUTE format('DELETE FROM %I.${p}feeds WHERE session = $1', TG_TABLE_SCHEMA) USING OLD.key;
      RETURN NULL;
    END $erase$;
    CREATE TRIGGER erase AFTER DELETE ON ${p}sessions FOR EACH ROW EXECUTE FUNCTION ${p}erase();`,
  ];
}
