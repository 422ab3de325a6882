/** The one connection behind a store: where it leads, how it is opened and closed. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AgentFlowError, InvalidValueError } from '../../errors.js';
import { openSqliteFile, type SqliteDatabase } from './client.js';
import { defaultBusyTimeoutMs, failed, OpenDatabase, type Queries } from './open-database.js';
import type { SessionKey } from './texts.js';
import { WorkQueue } from './work-queue.js';

/** Where the database is. */
export type SqliteSource =
  | {
      /** The database file; it and its folder are made when they are not there. `:memory:` keeps nothing. */
      readonly path: string;
      /**
       * How long to wait for another process that is writing, in milliseconds. A write takes well under one, so raise it
       * only for a disk that stalls; the event loop stands still meanwhile. 0 does not wait; 2^31 - 1 at most.
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

const longestBusyTimeoutMs = 2 ** 31 - 1;

/** What is there while a store is open. */
interface Opened {
  readonly database: OpenDatabase;
  readonly queue: WorkQueue;
  /** Lets the file go. */
  close(): void;
}

/** Opens on first use. Every method throws `STORE_FAILED`, with the vendor's error as cause, when SQLite fails. */
export class SqliteConnection {
  readonly #source: SqliteSource;
  #opening: Promise<Opened> | undefined;
  #isClosed = false;

  /** Throws `INVALID_VALUE` for a source that none can be. */
  constructor(source: SqliteSource) {
    checkSource(source);
    this.#source = source;
  }

  /** All that is read belongs to one moment, at which all that was asked to be written before is. */
  async read<T>(work: (queries: Queries) => T): Promise<T> {
    return (await this.#open()).queue.read(work);
  }

  /** All is written, durably, or nothing; together with what other sessions want to write at about the same time. */
  async write<T>(session: SessionKey, work: (queries: Queries) => T): Promise<T> {
    return (await this.#open()).queue.write('FULL', nameOf(session), work);
  }

  /** All is written or nothing, and it is not flushed by itself: a power cut may take it back, but nothing before it. */
  async writeLightly<T>(session: SessionKey, work: (queries: Queries) => T): Promise<T> {
    return (await this.#open()).queue.write('NORMAL', nameOf(session), work);
  }

  /** A number that changes when another connection has written. */
  async dataVersion(): Promise<number> {
    return (await this.#open()).database.dataVersion();
  }

  /** Moves what was written from the write-ahead log to the file, and empties the log unless somebody reads there. */
  async emptyLog(): Promise<void> {
    (await this.#open()).database.emptyLog();
  }

  /** Does what was asked for and closes what was opened here; later calls are refused. */
  async close(): Promise<void> {
    const opening = this.#opening;
    this.#isClosed = true;
    this.#opening = undefined;
    // An opening that failed left nothing to close, and its error is with the call that asked for it.
    await opening?.then(
      (opened) => opened.close(),
      () => {},
    );
  }

  #open(): Promise<Opened> {
    if (this.#isClosed) return Promise.reject(new AgentFlowError('STORE_FAILED', 'The SQLite session store is closed'));
    this.#opening ??= open(this.#source).catch((error: unknown) => {
      // The next call may find what was missing.
      this.#opening = undefined;
      throw failed('could not be opened', error);
    });
    return this.#opening;
  }
}

/** An empty path would be a database that is gone with the process, and one with NUL ends the process with some clients. */
function checkSource(source: Partial<Record<'path' | 'busyTimeoutMs' | 'database', unknown>>): void {
  const { path, busyTimeoutMs = 0, database } = source;
  if ('database' in source) {
    const { exec, prepare }: Partial<SqliteDatabase> = database ?? {};
    if (typeof exec !== 'function' || typeof prepare !== 'function')
      throw invalid('database', 'an open client of SQLite', database === null ? 'null' : typeof database);
    return;
  }
  if (typeof path !== 'string') throw invalid('path', 'a string', typeof path);
  if (path === '' || path.includes('\0')) throw invalid('path', 'the path of a file', JSON.stringify(path));
  // SQLite takes a larger one for none at all.
  if (!Number.isSafeInteger(busyTimeoutMs) || Number(busyTimeoutMs) < 0 || Number(busyTimeoutMs) > longestBusyTimeoutMs)
    throw invalid('busyTimeoutMs', `a whole number from 0 to ${longestBusyTimeoutMs}`, String(busyTimeoutMs));
}

function invalid(path: string, expected: string, received: string): InvalidValueError {
  return new InvalidValueError('option', [{ path, expected, received }]);
}

function nameOf({ tenant, id }: SessionKey): string {
  return `${tenant} ${id}`;
}

/** Node's own `recursive` tries for ever where a folder is refused as if its parent were missing, as in /proc. */
async function makeFolder(path: string): Promise<void> {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) await makeFolder(parent);
  await mkdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

async function open(source: SqliteSource): Promise<Opened> {
  if ('database' in source) {
    const database = new OpenDatabase(source.database);
    database.setUp(undefined);
    const queue = new WorkQueue(database);
    return { database, queue, close: () => queue.finish() };
  }
  const { path, busyTimeoutMs = defaultBusyTimeoutMs } = source;
  await makeFolder(dirname(path));
  const client = await openSqliteFile(path);
  const database = new OpenDatabase(client);
  try {
    database.setUp(busyTimeoutMs);
  } catch (error) {
    client.close();
    throw error;
  }
  const queue = new WorkQueue(database);
  const close = () => {
    queue.finish();
    database.leave();
    try {
      client.close();
    } catch (error) {
      throw failed('could not be closed', error);
    }
  };
  return { database, queue, close };
}
