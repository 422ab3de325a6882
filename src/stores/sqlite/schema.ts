/** The tables of a session database, and the check that a file is one. `.schema` in the sqlite3 tool shows the comments. */
import { AgentFlowError } from '../../errors.js';
import type { SqliteDatabase } from './client.js';

/** Written into the file's header, so that no other program's database is ever taken for ours. */
const applicationId = 0x67_78_61_73;
/** Raised by one with every change of the tables. */
const schemaVersion = 3;

/** New in version 2. */
const feedTables = `
CREATE INDEX sessions_to_end ON sessions (key) WHERE abort_reason IS NOT NULL;
CREATE TABLE feeds (
  session INTEGER PRIMARY KEY,
  run TEXT NOT NULL, -- the owner of the lease under which it was said
  "end" INTEGER NOT NULL, -- how many entries there have been
  kept_until INTEGER NOT NULL -- milliseconds since the Unix epoch; while its run holds the session it is kept anyway
) STRICT;
CREATE INDEX feeds_by_age ON feeds (kept_until);
CREATE TABLE feed_entries (
  session INTEGER NOT NULL,
  start INTEGER NOT NULL, -- the number of the first entry in this row
  data TEXT NOT NULL, -- JSON array, what was appended at once
  PRIMARY KEY (session, start)
) STRICT, WITHOUT ROWID;
`;

const tables = `
CREATE TABLE counter (
  last INTEGER NOT NULL -- the number drawn last; keys, fences and places are drawn here, so none is ever used again
) STRICT;
INSERT INTO counter VALUES (0);
CREATE TABLE sessions (
  key INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL, -- JSON array: [] without a tenant, ["a"] for tenant a, ["a","b"] for a tenant within it
  id TEXT NOT NULL, -- the content of a JSON string, like every text that comes from outside
  place INTEGER, -- in the order of creation; NULL while the session is held but has no version yet
  checkpoint INTEGER NOT NULL DEFAULT 0, -- the newest version that is a whole record
  owner TEXT, -- who holds the lease
  fence INTEGER NOT NULL, -- grows with every acquisition
  lease_until INTEGER NOT NULL, -- milliseconds since the Unix epoch, by this database's clock
  parent_id TEXT,
  parent_version INTEGER,
  created_at TEXT,
  abort_reason TEXT, -- somebody asks the run that holds the session to end
  UNIQUE (tenant, id)
) STRICT;
CREATE UNIQUE INDEX sessions_in_order ON sessions (tenant, place) WHERE place IS NOT NULL;
CREATE TABLE versions (
  session INTEGER NOT NULL,
  version INTEGER NOT NULL,
  checkpoint INTEGER NOT NULL, -- the whole record that this version builds on; itself when data is one
  saved_at INTEGER, -- milliseconds since the Unix epoch, by this database's clock
  data TEXT NOT NULL, -- JSON: a whole record, or the operations (RFC 6902) that lead here from the version before
  UNIQUE (session, version)
) STRICT;
CREATE TABLE inputs (
  place INTEGER PRIMARY KEY, -- in the order of acceptance
  session INTEGER NOT NULL,
  id TEXT NOT NULL,
  run TEXT NOT NULL,
  turn INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  done INTEGER NOT NULL,
  input TEXT, -- JSON, until done
  UNIQUE (session, id)
) STRICT;
CREATE INDEX inputs_pending ON inputs (session) WHERE done = 0;
${feedTables}
PRAGMA application_id = ${applicationId};
PRAGMA user_version = ${schemaVersion};
`;

/** What leads from version 1 to version 2. */
const fromVersion1 = `
ALTER TABLE sessions ADD COLUMN abort_reason TEXT; -- somebody asks the run that holds the session to end
${feedTables}
PRAGMA user_version = 2;
`;

/**
 * What leads from version 2 to version 3: the newest version and its time stand with the versions only, so that a save
 * writes one row. The new column comes last here, as nothing that is kept has to be copied for that. Only the newest
 * version of a session ever needs its time; the others have none.
 */
const fromVersion2 = `
ALTER TABLE versions ADD COLUMN saved_at INTEGER; -- milliseconds since the Unix epoch, by this database's clock
UPDATE versions SET saved_at = CAST(round(unixepoch(updated_at, 'subsec') * 1000) AS INTEGER)
FROM sessions WHERE session = key AND version = head;
ALTER TABLE sessions DROP COLUMN head;
ALTER TABLE sessions DROP COLUMN updated_at;
PRAGMA user_version = 3;
`;

/**
 * Does the database hold our tables, as they are now? False for an empty one and for tables of an older version. Throws
 * `STORE_FAILED` for a database that holds something else or was written by a newer version of this package.
 */
export function hasTables(database: SqliteDatabase): boolean {
  return versionOf(database) === schemaVersion;
}

/** Makes the tables in an empty database, or brings older ones up to date. Belongs into a transaction. */
export function makeTables(database: SqliteDatabase): void {
  const version = versionOf(database);
  if (version === 0) database.exec(tables);
  if (version === 1) database.exec(fromVersion1);
  if (version === 1 || version === 2) database.exec(fromVersion2);
}

/** The version of our tables; 0 in an empty database. */
function versionOf(database: SqliteDatabase): number {
  const number = (sql: string) => (database.prepare(`SELECT ${sql} AS number`).get() as { number: number }).number;
  const version = number('(SELECT user_version FROM pragma_user_version)');
  if (number('(SELECT application_id FROM pragma_application_id)') === applicationId) {
    if (version <= schemaVersion) return version;
    throw unusable(`has tables of version ${version}, and this version of the package knows version ${schemaVersion}`);
  }
  if (version === 0 && number('(SELECT count(*) FROM sqlite_schema)') === 0) return 0;
  throw unusable('belongs to another program; sessions need a database of their own');
}

function unusable(why: string): AgentFlowError {
  // Trying again would not help, which the usual UNAVAILABLE would say.
  return new AgentFlowError('STORE_FAILED', `The SQLite database ${why}`, { status: 'FAILED_PRECONDITION' });
}
