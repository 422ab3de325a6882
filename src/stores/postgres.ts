/**
 * Sessions in a Postgres database: any number of processes on any number of machines share them. Every operation is one
 * statement, so one round trip and one transaction.
 */
import { createHash } from 'node:crypto';
import { LeaseLostError, SessionConflictError } from '../errors.js';
import type { PatchOperation } from '../internal/patch.js';
import type { Releases } from '../session/releases.js';
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
  checkSave,
  checkTtl,
  cursorAfter,
  escapedText,
  jsonText,
  pageOf,
  storeCorrupt,
  storedJson,
  unescapedText,
} from '../session/store-checks.js';
import {
  type PostgresClient,
  PostgresConnection,
  type PostgresPool,
  type PostgresPoolClient,
  type PostgresSource,
} from './postgres/client.js';
import { releasesOf } from './postgres/listen.js';
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
   * Lets each connection keep the statements prepared, which spares the planning of every call. Only for clients of `pg`,
   * and not behind a PgBouncer older than 1.21 that pools transactions.
   * @default false
   */
  readonly prepare?: boolean;
};

/** What all tenants of a store have in common. */
interface Shared {
  readonly connection: PostgresConnection;
  readonly statements: Statements;
  readonly releases: Releases | undefined;
  readonly tablePrefix: string;
}

/** A part of a store that is already there; only stores make it. */
interface TenantScope {
  readonly shared: Shared;
  /** From the outermost tenant to this one. */
  readonly tenants: readonly string[];
}

/** What errors call the store. */
const here = 'The Postgres database';

interface SummaryRow {
  readonly head: number;
  readonly parent_id: string | null;
  readonly parent_version: string | null;
  readonly created_at: string;
  readonly updated_at: string;
}

interface LoadedRow extends SummaryRow {
  readonly version: number | null;
  readonly checkpoint: number | null;
  readonly data: string | null;
  readonly count: number;
  readonly pending: string | null;
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
  readonly #shared: Shared;
  readonly #tenants: readonly string[];
  readonly #tenant: string;
  readonly #tenantKey: string;

  /** Throws `INVALID_VALUE` for a bad option; asks the database for nothing. */
  constructor(options: PostgresSessionStoreOptions | TenantScope) {
    const isScope = 'shared' in options;
    this.#shared = isScope ? options.shared : share(options);
    this.#tenants = isScope ? options.tenants : [];
    this.#tenant = JSON.stringify(this.#tenants);
    this.#tenantKey = keyOf(this.#tenant);
    if (this.#shared.releases !== undefined)
      this.whenReleased = (sessionId, signal) => this.#nextRelease(sessionId, signal);
  }

  /**
   * Makes the tables, or brings older ones up to date. Does nothing when they are; any number of processes may call it at
   * once. Throws `STORE_FAILED` for tables of a newer version of this package and for a database that is not in UTF8.
   */
  async migrate(): Promise<void> {
    const { connection, tablePrefix } = this.#shared;
    await connection.rows({ name: `${tablePrefix}migrate`, text: postgresSchema(tablePrefix) });
  }

  async acquire(
    sessionId: string,
    options: { owner: string; ttlMs: number; takeover?: boolean },
  ): Promise<SessionLease | undefined> {
    const { owner, ttlMs, takeover = false } = options;
    checkTtl(ttlMs);
    const { connection, statements } = this.#shared;
    const given = [escapedText(owner), ttlMs, takeover, this.#tenant, escapedText(sessionId)];
    const row = await connection.row<{ fence: string }>(statements.acquire, ...this.#keys(sessionId), ...given);
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
    const { sessionId } = lease;
    const { expectedVersion, change, parent, keepVersions } = save;
    const isWhole = change.kind === 'checkpoint';
    const data = isWhole ? jsonText(change.record, 'change.record') : jsonText(change.patch, 'change.patch');
    const { connection, statements } = this.#shared;
    const values = [...this.#held(lease), expectedVersion, isWhole, data];
    let statement = keepVersions === undefined ? statements.save : statements.saveAndDrop;
    if (expectedVersion === 0) {
      // There is nothing yet that could be dropped.
      statement = statements.create;
      values.push(parent === undefined ? null : escapedText(parent.sessionId), parent?.version ?? null);
    } else if (keepVersions !== undefined) values.push(keepVersions);
    const found = await connection.row<{ is_held: boolean; head: number }>(statement, ...values);
    if (found?.is_held !== true) throw new LeaseLostError(sessionId);
    const head = Number(found.head);
    if (head !== expectedVersion) throw new SessionConflictError(sessionId, expectedVersion, head);
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
    await releases?.next(keys.join(''), signal, async () => {
      return (await connection.row(statements.await, ...keys)) !== undefined;
    });
  }

  #keys(sessionId: string): [string, string] {
    return [this.#tenantKey, keyOf(escapedText(sessionId))];
  }

  #held({ sessionId, owner, fence }: SessionLease): unknown[] {
    return [...this.#keys(sessionId), escapedText(owner), fence];
  }
}

function share(options: PostgresSessionStoreOptions): Shared {
  const { tablePrefix = defaultTablePrefix, prepare = false } = options;
  checkPrefix(tablePrefix);
  const connection = new PostgresConnection(options, prepare);
  return { connection, statements: statementsFor(tablePrefix), releases: releasesOf(options), tablePrefix };
}

/** What a text is found by; in hexadecimal. */
function keyOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function toSession(sessionId: string, row: LoadedRow): StoredSession {
  const texts = toVersions(row);
  const [checkpoint, ...patches] = texts.values;
  return {
    ...toSummary(sessionId, row),
    version: Number(row.version),
    head: Number(row.head),
    checkpoint,
    patches: patches as PatchOperation[][],
    size: texts.size,
    pending: storedJson(`[${row.pending ?? ''}]`, here) as AcceptedInput[],
  };
}

/** What the joined texts of a whole record and its patches stand for, and how long they are together. */
function toVersions({ version, checkpoint, data, count }: LoadedRow): { values: unknown[]; size: number } {
  if (version === null || checkpoint === null || data === null || Number(count) !== version - checkpoint + 1)
    throw storeCorrupt(`${here} has lost a version of a session`);
  const values = storedJson(`[${data}]`, `${here}, in versions ${checkpoint} to ${version} of a session,`);
  const commas = Number(count) - 1;
  if (Array.isArray(values) && values.length === Number(count)) return { values, size: data.length - commas };
  throw storeCorrupt(`${here} holds versions of a session that are not each a value of their own`);
}

function toSummary(id: string, row: SummaryRow): SessionSummary {
  const { parent_id: parentId, parent_version: parentVersion } = row;
  const parent =
    parentId === null || parentVersion === null
      ? {}
      : { parent: { sessionId: unescapedText(parentId, here), version: Number(parentVersion) } };
  return { id, version: Number(row.head), ...parent, createdAt: row.created_at, updatedAt: row.updated_at };
}
