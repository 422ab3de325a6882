/**
 * Sessions in one SQLite file: the embedded default. What a call has answered is durable (WAL, `synchronous=FULL`), any
 * number of processes on one machine may share the file, and the sqlite3 tool can read it.
 */
import { LeaseLostError } from '../errors.js';
import type {
  AcceptedInput,
  RunFeed,
  SessionLease,
  SessionSave,
  SessionStore,
  SessionSummary,
  StoredSession,
} from '../session/store.js';
import {
  checkInput,
  checkOptions,
  checkSave,
  checkTtl,
  cursorAfter,
  jsonText,
  pageOf,
  tenantText,
} from '../session/store-checks.js';
import { Changes } from './sqlite/changes.js';
import type { SqliteDatabase, SqliteStatement } from './sqlite/client.js';
import { SqliteConnection, type SqliteSource } from './sqlite/database.js';
import { EndRequests, type FeedWatch, SqliteRunFeed } from './sqlite/feed.js';
import { acceptInput } from './sqlite/inputs.js';
import { acquireLease, heldSession, isHeldByAnother, releaseLease, renewLease } from './sqlite/leases.js';
import { type SessionKey, toText } from './sqlite/texts.js';
import { deleteSession, listSessions, loadVersions, saveVersion } from './sqlite/versions.js';

export type { SqliteDatabase, SqliteStatement };

/** Options of {@link SqliteSessionStore}: a path, or an open client. */
export type SqliteSessionStoreOptions = SqliteSource;

/** A part of a store that is already there; only stores make it. */
interface TenantScope {
  readonly connection: SqliteConnection;
  readonly watch: FeedWatch;
  /** From the outermost tenant to this one. */
  readonly tenants: readonly string[];
}

/**
 * A {@link SessionStore} in a SQLite database. The database is opened on first use: with `node:sqlite` where the runtime
 * has it (Node 22.13 and later), else with the optional package `libsql`.
 *
 * Beside the contract's own errors every method throws `STORE_FAILED` when SQLite fails (its error is the cause),
 * `STORE_CORRUPT` when what it holds cannot be read back, and `MISSING_DEPENDENCY` when there is no SQLite to open a
 * path with.
 *
 * @example
 * const store = new SqliteSessionStore({ path: 'data/sessions.db' });
 */
export class SqliteSessionStore implements SessionStore {
  // Every method copies what it is given before it waits for anything, so that what the caller does to its own objects
  // meanwhile is not seen.
  readonly #connection: SqliteConnection;
  readonly #watch: FeedWatch;
  readonly #tenants: readonly string[];
  readonly #tenant: string;
  /** What runs say. It is not flushed by itself, and what other processes add is seen within some 20 ms. */
  readonly feed: RunFeed;

  /** Throws `INVALID_VALUE` for a bad option; opens nothing. */
  constructor(options: SqliteSessionStoreOptions | TenantScope) {
    checkOptions(options);
    const isScope = 'connection' in options;
    this.#connection = isScope ? options.connection : new SqliteConnection(options);
    this.#watch = isScope ? options.watch : watchOf(this.#connection);
    this.#tenants = isScope ? options.tenants : [];
    this.#tenant = tenantText(this.#tenants);
    this.feed = new SqliteRunFeed(this.#connection, this.#watch, this.#tenant);
  }

  async acquire(
    sessionId: string,
    options: { owner: string; ttlMs: number; takeover?: boolean },
  ): Promise<SessionLease | undefined> {
    checkTtl(options.ttlMs);
    const wanted = { ...options };
    const { owner } = wanted;
    const key = this.#key(sessionId);
    // Those who wait ask again and again: they should not stand in the way of those who write.
    const isHeld = !wanted.takeover && (await this.#connection.read((queries) => isHeldByAnother(queries, key, owner)));
    if (isHeld) return undefined;
    const fence = await this.#connection.write(key, (queries) => acquireLease(queries, key, wanted));
    this.#watch.changes.made();
    return fence === undefined ? undefined : { sessionId, owner, fence };
  }

  async renew(lease: SessionLease, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    const held = { ...lease };
    return this.#connection.write(this.#key(held.sessionId), (queries) =>
      renewLease(queries, this.#tenant, held, ttlMs),
    );
  }

  async release(lease: SessionLease): Promise<void> {
    const held = { ...lease };
    await this.#connection.write(this.#key(held.sessionId), (queries) => releaseLease(queries, this.#tenant, held));
    this.#watch.changes.made();
  }

  async load(sessionId: string, options: { version?: number } = {}): Promise<StoredSession | undefined> {
    const { version } = options;
    if (version !== undefined && !Number.isSafeInteger(version)) return undefined;
    const parse = await this.#connection.read((queries) => loadVersions(queries, this.#key(sessionId), version));
    return parse?.();
  }

  async save(lease: SessionLease, save: SessionSave): Promise<void> {
    checkSave(save);
    const { expectedVersion, change, parent, keepVersions } = save;
    const isCheckpoint = change.kind === 'checkpoint';
    const data = isCheckpoint ? jsonText(change.record, 'change.record') : jsonText(change.patch, 'change.patch');
    const next = { expectedVersion, isCheckpoint, data, parent: parent && { ...parent }, keepVersions };
    const held = { ...lease };
    await this.#connection.write(this.#key(held.sessionId), (queries) =>
      saveVersion(queries, this.#tenant, held, next),
    );
  }

  async accept(lease: SessionLease, input: AcceptedInput): Promise<AcceptedInput> {
    checkInput(input);
    const { input: value, ...given } = input;
    const json = value === undefined ? null : jsonText(value, 'input');
    const held = { ...lease };
    return this.#connection.write(this.#key(held.sessionId), (queries) => {
      const session = heldSession(queries, this.#tenant, held);
      if (session === undefined) throw new LeaseLostError(held.sessionId);
      return acceptInput(queries, session.key, given, json);
    });
  }

  async list(
    options: { limit?: number; cursor?: string } = {},
  ): Promise<{ sessions: SessionSummary[]; next?: string }> {
    const { limit, after } = pageOf(options);
    const found = await this.#connection.read((queries) => listSessions(queries, this.#tenant, after, limit + 1));
    const page = found.slice(0, limit);
    const last = page.at(-1);
    const sessions = page.map(({ summary }) => summary);
    return last === undefined || found.length <= limit ? { sessions } : { sessions, next: cursorAfter(last.place) };
  }

  /**
   * Erases every trace of a session, as the contract says: its bytes are overwritten in the file, and the write-ahead
   * log is emptied. For the latter it waits up to the busy timeout for other processes that are reading, then leaves it
   * to the next checkpoint.
   */
  async delete(sessionId: string): Promise<boolean> {
    const key = this.#key(sessionId);
    const last = await this.#connection.write(key, (queries) => deleteSession(queries, key));
    this.#watch.changes.made();
    // One that was never saved may have inputs, too, and what its run has said.
    if (last !== undefined) await this.#connection.emptyLog();
    return last !== undefined && last > 0;
  }

  forTenant(tenant: string): SessionStore {
    const tenants = [...this.#tenants, tenant];
    return new SqliteSessionStore({ connection: this.#connection, watch: this.#watch, tenants });
  }

  /** Closes the database, for all tenants; later calls are refused with `STORE_FAILED`. A client that was given stays open. */
  async close(): Promise<void> {
    await this.#connection.close();
    this.#watch.changes.close();
  }

  #key(sessionId: string): SessionKey {
    return { tenant: this.#tenant, id: toText(sessionId) };
  }
}

function watchOf(connection: SqliteConnection): FeedWatch {
  const changes = new Changes(connection);
  return { changes, endRequests: new EndRequests(changes) };
}
