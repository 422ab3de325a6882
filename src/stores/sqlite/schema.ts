/** The tables of a session database, and the check that a file is one. `.schema` in the sqlite3 tool shows the comments. */
import { AgentFlowError } from '../../errors.js';
import type { SqliteDatabase } from './client.js';

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
 * Does the database hold our tables? False for an empty one. Throws `STORE_FAILED` for one that holds something else or
 * was written by another version of this package.
 */
export function hasTables(database: SqliteDatabase): boolean {
  const number = (sql: string) => (database.prepare(`SELECT ${sql} AS number`).get() as { number: number }).number;
  const version = number('(SELECT user_version FROM pragma_user_version)');
  if (number('(SELECT application_id FROM pragma_application_id)') === applicationId) {
    if (version === schemaVersion) return true;
    throw unusable(`has tables of version ${version}, and this version of the package knows version ${schemaVersion}`);
  }
  if (version === 0 && number('(SELECT count(*) FROM sqlite_schema)') === 0) return false;
  throw unusable('belongs to another program; sessions need a database of their own');
}

/** Makes the tables in an empty database. */
export function createTables(database: SqliteDatabase): void {
  database.exec(tables);
}

function unusable(why: string): AgentFlowError {
  // Trying again would not help, which the usual UNAVAILABLE would say.
  return new AgentFlowError('STORE_FAILED', `The SQLite database ${why}`, { status: 'FAILED_PRECONDITION' });
}
