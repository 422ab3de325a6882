/** The SQLite clients a store can work with, and the one a path is opened with. */
import { AgentFlowError } from '../../errors.js';

/** A prepared statement, as node:sqlite, libsql and better-sqlite3 have it. */
export interface SqliteStatement {
  /** The first row, or `undefined`. */
  get(...parameters: unknown[]): unknown;
  /** Every row. */
  all(...parameters: unknown[]): unknown[];
  /** Runs a statement that answers no row. Answers how many rows it changed. */
  run(...parameters: unknown[]): { readonly changes: number | bigint };
}

/**
 * The part of a synchronous SQLite client that is used here. `DatabaseSync` of node:sqlite, libsql and better-sqlite3
 * fit as they are; SQLite itself must be 3.42 or later.
 */
export interface SqliteDatabase {
  /** Runs statements whose rows, if any, are not wanted. */
  exec(sql: string): unknown;
  /** Compiles one statement. */
  prepare(sql: string): SqliteStatement;
}

/** A client that was opened here and so is closed here. */
export interface OwnSqliteDatabase extends SqliteDatabase {
  /** Lets the file go. */
  close(): void;
}

type SqliteClass = new (path: string) => OwnSqliteDatabase;

/**
 * Opens a file with Node's own SQLite where there is one, else with libsql. Throws `MISSING_DEPENDENCY` when there is
 * neither, and the vendor's error for a file that cannot be opened.
 */
export async function openSqliteFile(path: string): Promise<OwnSqliteDatabase> {
  const Database = nodeSqlite() ?? (await libsql());
  return new Database(path);
}

/** Node 22.13 and later bring SQLite with them. Asked for by name, because an import would not load on older ones. */
function nodeSqlite(): SqliteClass | undefined {
  const sqlite = process.getBuiltinModule('node:sqlite');
  return sqlite !== undefined && 'DatabaseSync' in sqlite ? (sqlite.DatabaseSync as SqliteClass) : undefined;
}

async function libsql(): Promise<SqliteClass> {
  try {
    return (await import('libsql')).default;
  } catch (cause) {
    const remedy = 'install the package libsql (`npm install libsql`), or run Node 22.13 or later';
    throw new AgentFlowError('MISSING_DEPENDENCY', `SqliteSessionStore has no SQLite to work with: ${remedy}`, {
      cause,
    });
  }
}
