/** The tables of a session database, and the check that a file is one. `.schema` in the sqlite3 tool shows the comments. */
import { AgentFlowError } from '../../errors.js';
import type { SqliteDatabase } from './database.js';

/** Written into the file's header, so that no other program's database is ever taken for ours. */
const applicationId = 0x67_78_61_73;
/** Raised by one with every change of the tables. */
const schemaVersion = 1;

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
  head INTEGER NOT NULL DEFAULT 0, -- the newest version
  checkpoint INTEGER NOT NULL DEFAULT 0, -- the newest version that is a whole record
  owner TEXT, -- who holds the lease
  fence INTEGER NOT NULL, -- grows with every acquisition
  lease_until INTEGER NOT NULL, -- milliseconds since the Unix epoch, by this database's clock
  parent_id TEXT,
  parent_version INTEGER,
  created_at TEXT,
  updated_at TEXT,
  UNIQUE (tenant, id)
) STRICT;
CREATE UNIQUE INDEX sessions_in_order ON sessions (tenant, place) WHERE place IS NOT NULL;
CREATE TABLE versions (
  session INTEGER NOT NULL,
  version INTEGER NOT NULL,
  checkpoint INTEGER NOT NULL, -- the whole record that this version builds on; itself when data is one
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
PRAGMA application_id = ${applicationId};
PRAGMA user_version = ${schemaVersion};
`;

/**
 * Makes the tables in an empty database. Throws `STORE_FAILED` for a database that holds something else or was written
 * by a newer version of this package, and touches neither.
 */
export function prepareSchema(database: SqliteDatabase): void {
  if (isOurs(database)) return;
  database.exec('BEGIN IMMEDIATE');
  try {
    // Another process may have made them since.
    if (!isOurs(database)) database.exec(tables);
    database.exec('COMMIT');
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
}

function isOurs(database: SqliteDatabase): boolean {
  const number = (sql: string) => Object.values(database.prepare(sql).get() ?? {})[0];
  const version = number('PRAGMA user_version');
  if (number('PRAGMA application_id') === applicationId) {
    if (version === schemaVersion) return true;
    throw unusable(`was written by another version of this package (its tables have version ${version}, this one knows ${schemaVersion})`);
  }
  if (version === 0 && number('SELECT count(*) FROM sqlite_schema') === 0) return false;
  throw unusable('belongs to another program; sessions need a database of their own');
}

function unusable(why: string): AgentFlowError {
  // Trying again would not help, which the usual UNAVAILABLE would say.
  return new AgentFlowError('STORE_FAILED', `The SQLite database ${why}`, { status: 'FAILED_PRECONDITION' });
}
