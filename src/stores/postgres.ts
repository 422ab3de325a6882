/**
 * Sessions in a Postgres database: any number of processes on any number of machines share them. Every operation is one
 * statement, so one round trip and one transaction; saves that are made at once share one.
 */
import { createHash } from 'node:crypto';
import { LeaseLostError } from '../errors.js';
import { Notices, pollInstead } from '../session/notices.js';
import { Releases } from '../session/releases.js';
import type { RunFeed } from '../session/run-feed.js';
import type {
  AcceptedInput,
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
  escapedText,
  jsonText,
  pageOf,
  storedJson,
  tenantText,
  unescapedText,
} from '../session/store-checks.js';
import { AbortRequests } from './postgres/abort-requests.js';
import { here, type LoadedRow, type SummaryRow, toSession, toSummary } from './postgres/answers.js';
import {
  type PostgresClient,
  PostgresConnection,
  type PostgresPool,
  type PostgresPoolClient,
  type PostgresSource,
} from './postgres/client.js';
import { type FeedParts, PostgresRunFeed } from './postgres/feed.js';
import { feedStatementsFor } from './postgres/feed-statements.js';
import { noticesOf } from './postgres/listen.js';
import { ends } from './postgres/phrases.js';
import { type Held, heldBy, Saves } from './postgres/saves.js';
import { checkPrefix, defaultTablePrefix, postgresSchema } from './postgres/schema.js';
import { type Statements, statementsFor } from './postgres/statements.js';

export type { PostgresClient, PostgresPool, PostgresPoolClient };
export { postgresSchema };

/** Options of {@link PostgresSessionStore}: a pool or a client, and how it is used. */
export type PostgresSessionStoreOptions = PostgresSource & {
  /**
   * What the names of all tables begin with: up to 40 of a-z, 0-9 and _.
   * @default 'genkitx_agent_'
   */
  readonly tablePrefix?: string;
  /**
   * Lets each connection keep the statements prepared, which spares the planning of every call: half of what it costs. Only
   * for clients of `pg`. Behind a pooler that mixes up prepared statements the store notices, and goes on without.
   * @default true for clients of `pg`, else false
   */
  readonly prepare?: boolean;
  /**
   * Has one connection listen for what others tell. Set it to false behind a pooler of transactions, which passes nothing
   * on: then whoever waits asks again and again.
   * @default true for clients that can
   */
  readonly listen?: boolean;
};

/** What all tenants of a store have in common. */
interface Shared {
  readonly connection: PostgresConnection;
  readonly statements: Statements;
  readonly saves: Saves;
  readonly releases: Releases | undefined;
  readonly feed: FeedParts;
  readonly tablePrefix: string;
}

/** A part of a store that is already there; only stores make it. */
interface TenantScope {
  readonly shared: Shared;
  /** From the outermost tenant to this one. */
  readonly tenants: readonly string[];
}

/**
 * A {@link SessionStore} in a Postgres database, 12 or later. The tables must be there: call
 * {@link PostgresSessionStore.migrate} once, or run {@link postgresSchema} yourself.
 *
 * Beside the contract's own errors every method throws `STORE_FAILED` when Postgres fails (the client's error is the
 * cause; whether a save that lost its connection was written is then unknown) and `STORE_CORRUPT` when what the tables
 * hold cannot be read back.
 *
 * @example
 * const store = new PostgresSessionStore({ pool: new pg.Pool({ connectionString }) });
 * await store.migrate();
 */
export class PostgresSessionStore implements SessionStore {
  /** There when the client can listen: those who wait for a session are told of its release within a millisecond or two. */
  readonly whenReleased: SessionStore['whenReleased'];
  /** What runs say. Nothing of it is flushed by itself. */
  readonly feed: RunFeed;
  readonly #shared: Shared;
  readonly #tenants: readonly string[];
  readonly #tenant: string;
  readonly #tenantKey: string;
  /** Leases as statements take them, so that nothing is hashed anew for every call. */
  readonly #heldBy = new WeakMap<SessionLease, Held>();

  /** Throws `INVALID_VALUE` for a bad option; asks the database for nothing. */
  constructor(options: PostgresSessionStoreOptions | TenantScope) {
    checkOptions(options);
    const isScope = 'shared' in options;
    this.#shared = isScope ? options.shared : share(options);
    this.#tenants = isScope ? options.tenants : [];
    this.#tenant = tenantText(this.#tenants);
    this.#tenantKey = keyOf(this.#tenant);
    if (this.#shared.releases !== undefined)
      this.whenReleased = (sessionId, signal) => this.#nextRelease(sessionId, signal);
    this.feed = new PostgresRunFeed(this.#shared.feed, (sessionId) => this.#keys(sessionId));
  }

  /**
   * Makes the tables, or brings older ones up to date. Does nothing when they are; any number of processes may call it at
   * once. Throws `STORE_FAILED` for tables of a newer version of this package and for a database that is not in UTF8.
   */
  async migrate(): Promise<void> {
    const { connection, tablePrefix } = this.#shared;
    await connection.rows({ text: postgresSchema(tablePrefix) });
  }

  async acquire(
    sessionId: string,
    options: { owner: string; ttlMs: number; takeover?: boolean },
  ): Promise<SessionLease | undefined> {
    const { owner, ttlMs, takeover = false } = options;
    checkTtl(ttlMs);
    const { connection, statements, releases } = this.#shared;
    const keys = this.#keys(sessionId);
    const since = releases?.since(keys.join('')) ?? null;
    const given = [escapedText(owner), ttlMs, takeover, this.#tenant, escapedText(sessionId), since];
    const row = await connection.row<{ fence: string }>(statements.acquire, ...keys, ...given);
    return row === undefined ? undefined : { sessionId, owner, fence: Number(row.fence) };
  }

  async renew(lease: SessionLease, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    const { connection, statements } = this.#shared;
    return (await connection.row(statements.renew, ...this.#held(lease), ttlMs)) !== undefined;
  }

  async release(lease: SessionLease): Promise<void> {
    const { connection, statements } = this.#shared;
    await connection.rows(statements.release, ...this.#held(lease));
  }

  async load(sessionId: string, options: { version?: number } = {}): Promise<StoredSession | undefined> {
    const { version } = options;
    if (version !== undefined && !Number.isSafeInteger(version)) return undefined;
    const { connection, statements } = this.#shared;
    const row = await connection.row<LoadedRow>(statements.load, ...this.#keys(sessionId), version ?? null);
    if (row === undefined || (row.version === null && version !== undefined)) return undefined;
    return toSession(sessionId, row);
  }

  async save(lease: SessionLease, save: SessionSave): Promise<void> {
    checkSave(save);
    await this.#shared.saves.write(lease.sessionId, this.#held(lease), save);
  }

  async accept(lease: SessionLease, input: AcceptedInput): Promise<AcceptedInput> {
    checkInput(input);
    const { sessionId } = lease;
    const { run, turn, attempt, done } = input;
    const id = escapedText(input.id);
    const json = input.input === undefined ? null : jsonText(input.input, 'input');
    const { connection, statements } = this.#shared;
    const values = [keyOf(id), id, escapedText(run), turn, attempt, done, done ? null : json];
    const row = await connection.row<{ record: string }>(statements.accept, ...this.#held(lease), ...values);
    if (row === undefined) throw new LeaseLostError(sessionId);
    return storedJson(row.record, here) as AcceptedInput;
  }

  async list(
    options: { limit?: number; cursor?: string } = {},
  ): Promise<{ sessions: SessionSummary[]; next?: string }> {
    const { limit, after } = pageOf(options);
    const { connection, statements } = this.#shared;
    type Row = SummaryRow & { readonly after: string; readonly id: string };
    const found = await connection.rows<Row>(statements.list, this.#tenantKey, after, limit + 1);
    const page = found.slice(0, limit);
    const last = page.at(-1);
    const sessions = page.map((row) => toSummary(unescapedText(row.id, here), row));
    return last === undefined || found.length <= limit
      ? { sessions }
      : { sessions, next: cursorAfter(Number(last.after)) };
  }

  async delete(sessionId: string): Promise<boolean> {
    const { connection, statements } = this.#shared;
    const row = await connection.row<{ head: number }>(statements.delete, ...this.#keys(sessionId));
    return row !== undefined && Number(row.head) > 0;
  }

  forTenant(tenant: string): SessionStore {
    return new PostgresSessionStore({ shared: this.#shared, tenants: [...this.#tenants, tenant] });
  }

  async #nextRelease(sessionId: string, signal: AbortSignal): Promise<void> {
    const { connection, statements, releases } = this.#shared;
    const keys = this.#keys(sessionId);
    await releases?.next(keys.join(''), signal, async (since) => {
      const row = await connection.row<{ fence: string }>(statements.await, ...keys, since ?? null);
      return row === undefined ? undefined : Number(row.fence);
    });
  }

  #keys(sessionId: string): [string, string] {
    return [this.#tenantKey, keyOf(escapedText(sessionId))];
  }

  #held(lease: SessionLease): Held {
    const known = this.#heldBy.get(lease);
    if (known !== undefined) return known;
    const held = heldBy(this.#keys(lease.sessionId), lease);
    this.#heldBy.set(lease, held);
    return held;
  }
}

function share(options: PostgresSessionStoreOptions): Shared {
  const { tablePrefix = defaultTablePrefix, prepare, listen = true } = options;
  checkPrefix(tablePrefix);
  const connection = new PostgresConnection(options, prepare);
  const heard = listen ? noticesOf(options) : undefined;
  const notices = heard ?? new Notices(pollInstead);
  const statements = feedStatementsFor(tablePrefix);
  const own = statementsFor(tablePrefix);
  const abortRequests = new AbortRequests(connection, notices, statements.abortRequests, tablePrefix + ends);
  return {
    connection,
    statements: own,
    saves: new Saves(connection, own),
    releases: heard && new Releases(heard),
    feed: { connection, statements, notices, abortRequests },
    tablePrefix,
  };
}

/** What a text is found by; in hexadecimal. */
function keyOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
