/** The one connection behind a store: how it is opened and set, and how a transaction runs on it. */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AgentFlowError, InvalidValueError, isAgentFlowError } from '../../errors.js';
import { openSqliteFile, type SqliteDatabase, type SqliteStatement } from './client.js';
import { hasTables, makeTables } from './schema.js';

/** Where the database is. */
export type SqliteSource =
  | {
      /** The database file; it and its folder are made when they are not there. `:memory:` keeps nothing. */
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
       * An open client with a database of its own: one that holds other tables is refused. The store switches it to WAL,
       * `synchronous=FULL` and `secure_delete`, sets a busy timeout if there is none, and leaves closing it to you. A
       * transaction of yours that is open makes the store fail. Nothing else in this process may have the file open
       * through another SQLite library: the two would not see each other's locks.
       */
      readonly database: SqliteDatabase;
    };

/** What is bound to a statement. A statement's only parameter must not be `null`: libsql cannot bind it. */
export type SqlValue = string | number | null;

/** Runs statements in a transaction; each text is compiled once. */
export interface Queries {
  /** The first row, or `undefined`. `Row` is what the statement selects. */
  row<Row>(sql: string, ...parameters: SqlValue[]): Row | undefined;
  /** Every row. */
  rows<Row>(sql: string, ...parameters: SqlValue[]): Row[];
  /** No row. */
  run(sql: string, ...parameters: SqlValue[]): void;
}

const defaultBusyTimeoutMs = 5_000;

/** Opens on first use. Every method throws `STORE_FAILED`, with the vendor's error as cause, when SQLite fails. */
export class SqliteConnection {
  readonly #source: SqliteSource;
  #opening: Promise<OpenDatabase> | undefined;
  #isClosed = false;

  /** Throws `INVALID_VALUE` for a busy timeout that is not a whole number. */
  constructor(source: SqliteSource) {
    if ('path' in source && !Number.isSafeInteger(source.busyTimeoutMs ?? 0)) {
      const received = String(source.busyTimeoutMs);
      throw new InvalidValueError('option', [{ path: 'busyTimeoutMs', expected: 'a whole number', received }]);
    }
    this.#source = source;
  }

  /** All that is read belongs to one moment. */
  async read<T>(work: (queries: Queries) => T): Promise<T> {
    return (await this.#open()).run('BEGIN', work);
  }

  /** All is written, durably, or nothing. */
  async write<T>(work: (queries: Queries) => T): Promise<T> {
    return (await this.#open()).write('FULL', work);
  }

  /** All is written or nothing, and it is not flushed by itself: a power cut may take it back, but nothing before it. */
  async writeLightly<T>(work: (queries: Queries) => T): Promise<T> {
    return (await this.#open()).write('NORMAL', work);
  }

  /** A number that changes when another connection has written. */
  async dataVersion(): Promise<number> {
    return (await this.#open()).dataVersion();
  }

  /** Moves what was written from the write-ahead log to the file, and empties the log unless somebody reads there. */
  async emptyLog(): Promise<void> {
    (await this.#open()).emptyLog();
  }

  /** Closes what was opened here; later calls are refused. */
  async close(): Promise<void> {
    const opening = this.#opening;
    this.#isClosed = true;
    this.#opening = undefined;
    // An opening that failed left nothing to close, and its error is with the call that asked for it.
    await opening?.then(
      (database) => database.close(),
      () => {},
    );
  }

  #open(): Promise<OpenDatabase> {
    if (this.#isClosed) return Promise.reject(new AgentFlowError('STORE_FAILED', 'The SQLite session store is closed'));
    this.#opening ??= openDatabase(this.#source).catch((error: unknown) => {
      // The next call may find what was missing.
      this.#opening = undefined;
      throw failed('could not be opened', error);
    });
    return this.#opening;
  }
}

class OpenDatabase {
  readonly #database: SqliteDatabase;
  readonly #onClose: () => void;
  readonly #statements = new Map<string, SqliteStatement>();
  /** How much the next commit is flushed, as SQLite knows it. */
  #synchronous: 'FULL' | 'NORMAL' = 'FULL';
  readonly #queries: Queries = {
    row: <Row>(sql: string, ...parameters: SqlValue[]) => this.#prepared(sql).get(...parameters) as Row | undefined,
    rows: <Row>(sql: string, ...parameters: SqlValue[]) => this.#prepared(sql).all(...parameters) as Row[],
    run: (sql, ...parameters) => void this.#prepared(sql).run(...parameters),
  };

  constructor(database: SqliteDatabase, onClose: () => void) {
    this.#database = database;
    this.#onClose = onClose;
  }

  /** Makes the database ours, and durable. */
  setUp(busyTimeoutMs: number | undefined): void {
    const found = this.#queries.row<{ timeout: number }>('PRAGMA busy_timeout')?.timeout;
    const wanted = busyTimeoutMs ?? (found === 0 ? defaultBusyTimeoutMs : undefined);
    // Before anything else: two processes that open one file together meet at the next two steps.
    if (wanted !== undefined) this.#database.exec(`PRAGMA busy_timeout = ${wanted}`);
    if (!hasTables(this.#database)) {
      this.run('BEGIN IMMEDIATE', () => {
        if (!hasTables(this.#database)) makeTables(this.#database);
      });
    }
    this.#database.exec('PRAGMA journal_mode = WAL');
    // FULL: what has been answered survives a power cut. secure_delete: what is erased is overwritten.
    this.#database.exec('PRAGMA synchronous = FULL; PRAGMA secure_delete = ON');
  }

  run<T>(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: (queries: Queries) => T): T {
    // Not prepared: libsql leaves a prepared BEGIN that met a busy database half run, and no later COMMIT would go through.
    this.#try(() => this.#database.exec(begin));
    try {
      const result = work(this.#queries);
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.#rollBack();
      throw failed('failed', error);
    }
  }

  write<T>(synchronous: 'FULL' | 'NORMAL', work: (queries: Queries) => T): T {
    if (this.#synchronous !== synchronous) {
      this.#try(() => this.#database.exec(`PRAGMA synchronous = ${synchronous}`));
      this.#synchronous = synchronous;
    }
    return this.run('BEGIN IMMEDIATE', work);
  }

  dataVersion(): number {
    let version = 0;
    this.#try(() => {
      version = this.#queries.row<{ data_version: number }>('PRAGMA data_version')?.data_version ?? 0;
    });
    return version;
  }

  emptyLog(): void {
    this.#try(() => this.#queries.row('PRAGMA wal_checkpoint(TRUNCATE)'));
  }

  close(): void {
    this.#statements.clear();
    this.#try(this.#onClose);
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw failed('failed', error);
    }
  }

  #rollBack(): void {
    try {
      this.#database.exec('ROLLBACK');
    } catch {
      // On a full disk or a read error SQLite has rolled back itself, and that error is the one to report.
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

async function openDatabase(source: SqliteSource): Promise<OpenDatabase> {
  if ('database' in source) {
    const given = new OpenDatabase(source.database, () => {});
    given.setUp(undefined);
    return given;
  }
  const { path, busyTimeoutMs = defaultBusyTimeoutMs } = source;
  await mkdir(dirname(path), { recursive: true });
  const client = await openSqliteFile(path);
  const own = new OpenDatabase(client, () => client.close());
  try {
    own.setUp(busyTimeoutMs);
    return own;
  } catch (error) {
    client.close();
    throw error;
  }
}

function failed(what: string, error: unknown): AgentFlowError {
  if (isAgentFlowError(error)) return error;
  return new AgentFlowError('STORE_FAILED', `The SQLite database ${what}`, { cause: error });
}
