/** One SQLite database: how it is found, opened and set, and how a transaction runs on it. */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AgentFlowError, isAgentFlowError } from '../../errors.js';
import { prepareSchema } from './schema.js';

/** A prepared statement, as node:sqlite, libsql and better-sqlite3 have it. */
export interface SqliteStatement {
  /** The first row, or `undefined`. */
  get(...parameters: unknown[]): unknown;
  all(...parameters: unknown[]): unknown[];
  run(...parameters: unknown[]): unknown;
}

/** The part of a synchronous SQLite client that is used here; `DatabaseSync` of node:sqlite, libsql and better-sqlite3 fit as they are. */
export interface SqliteDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
}

/** Where the database is. */
export type SqliteSource =
  | {
      /** The database file; it and its folder are created when they are not there. `:memory:` keeps nothing. */
      readonly path: string;
      /**
       * How long to wait for another process that is writing, in milliseconds. A write takes well under one, so raise it
       * only for a disk that stalls; the event loop stands still meanwhile.
       * @default 5000
       */
      readonly busyTimeoutMs?: number;
    }
  | {
      /**
       * An open client with a database of its own: other tables in it are refused. The store switches it to WAL and
       * `synchronous=FULL`, sets a busy timeout if there is none, and leaves closing it to you.
       */
      readonly database: SqliteDatabase;
    };

/** Runs one statement; each is prepared once. Rows are plain objects. */
export interface Queries {
  /** The first row, or `undefined`. */
  row(sql: string, ...parameters: SqlValue[]): Row | undefined;
  rows(sql: string, ...parameters: SqlValue[]): Row[];
  run(sql: string, ...parameters: SqlValue[]): void;
}

/** What is bound to a statement. A statement's only parameter must not be `null`: libsql cannot bind it. */
export type SqlValue = string | number | null;

/** One row. */
export type Row = Readonly<Record<string, unknown>>;

const defaultBusyTimeoutMs = 5_000;

interface OpenDatabase extends SqliteDatabase {
  close?(): void;
}

/** The one connection behind a store and all its tenants. It opens on first use. */
export class SqliteConnection {
  readonly #source: SqliteSource;
  #opening: Promise<Transactions> | undefined;
  #isClosed = false;

  constructor(source: SqliteSource) {
    this.#source = source;
  }

  /** All that is read belongs to one moment. Throws `STORE_FAILED` with the vendor's error as cause. */
  async read<T>(work: (queries: Queries) => T): Promise<T> {
    return (await this.#open()).run('BEGIN', work);
  }

  /** All is written, durably, or nothing. Throws `STORE_FAILED` with the vendor's error as cause. */
  async write<T>(work: (queries: Queries) => T): Promise<T> {
    return (await this.#open()).run('BEGIN IMMEDIATE', work);
  }

  /** Moves what is written out of the write-ahead log and empties it, unless somebody is reading there. */
  async emptyLog(): Promise<void> {
    (await this.#open()).checkpoint('TRUNCATE');
  }

  /** Closes what was opened here. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const opening = this.#opening;
    this.#opening = undefined;
    if (opening === undefined || 'database' in this.#source) return;
    (await opening).close();
  }

  #open(): Promise<Transactions> {
    if (this.#isClosed) return Promise.reject(new AgentFlowError('STORE_FAILED', 'The session store is closed'));
    this.#opening ??= openDatabase(this.#source).catch((error: unknown) => {
      // The next call may find what was missing.
      this.#opening = undefined;
      throw failed('cannot be opened', error);
    });
    return this.#opening;
  }
}

class Transactions {
  readonly #database: OpenDatabase;
  readonly #statements = new Map<string, SqliteStatement>();
  readonly #queries: Queries;

  constructor(database: OpenDatabase) {
    this.#database = database;
    this.#queries = {
      row: (sql, ...parameters) => this.#prepared(sql).get(...parameters) as Row | undefined,
      rows: (sql, ...parameters) => this.#prepared(sql).all(...parameters) as Row[],
      run: (sql, ...parameters) => void this.#prepared(sql).run(...parameters),
    };
  }

  run<T>(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: (queries: Queries) => T): T {
    try {
      this.#prepared(begin).run();
    } catch (error) {
      throw failed('is not available', error);
    }
    try {
      const result = work(this.#queries);
      this.#prepared('COMMIT').run();
      return result;
    } catch (error) {
      this.#rollBack();
      throw failed('could not do its work', error);
    }
  }

  checkpoint(mode: 'PASSIVE' | 'TRUNCATE'): void {
    try {
      this.#prepared(`PRAGMA wal_checkpoint(${mode})`).get();
    } catch (error) {
      throw failed('could not do its work', error);
    }
  }

  close(): void {
    // libsql lets go of the file only when its statements are collected: until then the file alone should be complete.
    this.checkpoint('PASSIVE');
    this.#statements.clear();
    this.#database.close?.();
  }

  #rollBack(): void {
    try {
      this.#prepared('ROLLBACK').run();
    } catch {
      // A full disk or a read error has already rolled back, and that error is the one to report.
    }
  }

  #prepared(sql: string): SqliteStatement {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

async function openDatabase(source: SqliteSource): Promise<Transactions> {
  if ('database' in source) return prepared(source.database, undefined);
  const { path, busyTimeoutMs = defaultBusyTimeoutMs } = source;
  await mkdir(dirname(path), { recursive: true });
  const Database = nodeSqlite() ?? (await libsql());
  const database = new Database(path);
  try {
    return prepared(database, busyTimeoutMs);
  } catch (error) {
    database.close?.();
    throw error;
  }
}

function prepared(database: OpenDatabase, busyTimeoutMs: number | undefined): Transactions {
  const hasTimeout = Object.values(database.prepare('PRAGMA busy_timeout').get() ?? {})[0] !== 0;
  // First of all: two processes that open one file together would fail at the switch to WAL.
  if (busyTimeoutMs !== undefined || !hasTimeout) database.exec(`PRAGMA busy_timeout = ${Number(busyTimeoutMs ?? defaultBusyTimeoutMs)}`);
  prepareSchema(database);
  database.exec('PRAGMA journal_mode = WAL');
  // FULL: a commit that has been answered survives a power cut. secure_delete: what is erased is overwritten in the file.
  database.exec('PRAGMA synchronous = FULL; PRAGMA secure_delete = ON');
  return new Transactions(database);
}

type DatabaseClass = new (path: string) => OpenDatabase;

/** Node 22.13 and later bring SQLite with them. Asked for by name, because an import would fail to load on older ones. */
function nodeSqlite(): DatabaseClass | undefined {
  const sqlite = process.getBuiltinModule('node:sqlite');
  return sqlite !== undefined && 'DatabaseSync' in sqlite ? (sqlite.DatabaseSync as DatabaseClass) : undefined;
}

async function libsql(): Promise<DatabaseClass> {
  try {
    return (await import('libsql')).default;
  } catch (cause) {
    const message = 'This Node has no node:sqlite, and the package libsql cannot be loaded: `npm install libsql`, or use Node 22.13 or later';
    throw new AgentFlowError('MISSING_DEPENDENCY', message, { cause });
  }
}

function failed(what: string, error: unknown): AgentFlowError {
  if (isAgentFlowError(error)) return error;
  return new AgentFlowError('STORE_FAILED', `The SQLite database ${what}`, { cause: error });
}
