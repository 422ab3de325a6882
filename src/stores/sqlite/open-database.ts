/** An open database, and how a transaction runs on it. */
import { AgentFlowError, isAgentFlowError } from '../../errors.js';
import type { SqliteDatabase, SqliteStatement } from './client.js';
import { hasTables, makeTables } from './schema.js';
import { corrupt } from './texts.js';

/** What is bound to a statement. A statement's only parameter must not be `null`: libsql cannot bind it. */
export type SqlValue = string | number | null;

/** Runs statements in a transaction; each text is compiled once. */
export interface Queries {
  /** The first row, or `undefined`. `Row` is what the statement selects; it changes nothing. */
  row<Row>(sql: string, ...parameters: SqlValue[]): Row | undefined;
  /** Every row of a statement that changes nothing. */
  rows<Row>(sql: string, ...parameters: SqlValue[]): Row[];
  /** Answers how many rows were changed. */
  run(sql: string, ...parameters: SqlValue[]): number;
}

/** How a transaction begins: `FULL` and `NORMAL` ones write, and say how far they are flushed when they are over. */
export type Transaction = 'READ' | 'FULL' | 'NORMAL';

/** How long another process that is writing is waited for, in milliseconds, when nothing else was wanted. */
export const defaultBusyTimeoutMs = 5_000;

/** Every method throws `STORE_FAILED`, with the vendor's error as cause, when SQLite fails. */
export class OpenDatabase {
  readonly #database: SqliteDatabase;
  readonly #statements = new Map<string, SqliteStatement>();
  /** How much the next commit is flushed, as SQLite knows it. */
  #synchronous: 'FULL' | 'NORMAL' = 'FULL';
  /** How many rows were changed, ever. */
  #changes = 0;
  readonly #queries: Queries = {
    row: <Row>(sql: string, ...parameters: SqlValue[]) => this.#prepared(sql).get(...parameters) as Row | undefined,
    rows: <Row>(sql: string, ...parameters: SqlValue[]) => this.#prepared(sql).all(...parameters) as Row[],
    run: (sql, ...parameters) => {
      const changes = Number(this.#prepared(sql).run(...parameters).changes);
      this.#changes += changes;
      return changes;
    },
  };

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  /** Makes the database ours, and durable. */
  setUp(busyTimeoutMs: number | undefined): void {
    const found = this.#queries.row<{ timeout: number }>('PRAGMA busy_timeout')?.timeout;
    const wanted = busyTimeoutMs ?? (found === 0 ? defaultBusyTimeoutMs : undefined);
    // Before anything else: two processes that open one file together meet at the next two steps.
    if (wanted !== undefined) this.#database.exec(`PRAGMA busy_timeout = ${wanted}`);
    // What is erased is overwritten, and so is what older tables leave behind when they are brought up to date.
    this.#database.exec('PRAGMA secure_delete = ON');
    if (!hasTables(this.#database)) {
      this.run('FULL', () => {
        if (!hasTables(this.#database)) makeTables(this.#database);
      });
    }
    this.#database.exec('PRAGMA journal_mode = WAL');
    // What has been answered survives a power cut.
    this.#database.exec('PRAGMA synchronous = FULL');
  }

  /** How many rows were changed so far: who has changed none has nothing to undo. */
  get changes(): number {
    return this.#changes;
  }

  /** Runs one transaction; all of it is written or, when anything throws, nothing. */
  run<T>(transaction: Transaction, work: (queries: Queries) => T): T {
    this.#begin(transaction);
    try {
      const result = work(this.#queries);
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.#rollBack();
      throw failed('failed', error);
    }
  }

  /** A number that changes when another connection has written. */
  dataVersion(): number {
    let version = 0;
    this.#try(() => {
      version = this.#queries.row<{ data_version: number }>('PRAGMA data_version')?.data_version ?? 0;
    });
    return version;
  }

  /** Moves what was written from the write-ahead log to the file, and empties the log unless somebody reads there. */
  emptyLog(): void {
    this.#try(() => this.#queries.row('PRAGMA wal_checkpoint(TRUNCATE)'));
  }

  /** Nothing may be asked for any more. Empties the log of a file that nobody else uses; whoever does may go on. */
  leave(): void {
    try {
      // Whoever uses the file empties the log in their turn: that is not waited for.
      this.#database.exec('PRAGMA busy_timeout = 0');
      this.emptyLog();
    } catch {
      // What is in the log is as safe there as in the file.
    }
    this.#statements.clear();
  }

  #begin(transaction: Transaction): void {
    this.#try(() => {
      if (transaction === 'READ') return this.#database.exec('BEGIN');
      if (this.#synchronous !== transaction) {
        this.#database.exec(`PRAGMA synchronous = ${transaction}`);
        this.#synchronous = transaction;
      }
      // Not prepared: libsql leaves a prepared BEGIN that met a busy database half run, and no later COMMIT would go through.
      return this.#database.exec('BEGIN IMMEDIATE');
    });
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

/** The error for what SQLite could not do; errors of this package stay what they are. */
export function failed(what: string, error: unknown): AgentFlowError {
  if (isAgentFlowError(error)) return error;
  if (saysCorrupt(error)) return corrupt('file is damaged', error);
  return new AgentFlowError('STORE_FAILED', `The SQLite database ${what}`, { cause: error });
}

/** Trying again would not help, unlike with a disk that is full. node:sqlite has a number for it, the others a name. */
function saysCorrupt(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, errcode }: Partial<Record<'code' | 'errcode', unknown>> & Error = error;
  return String(code).startsWith('SQLITE_CORRUPT') || (typeof errcode === 'number' && errcode % 256 === 11);
}
