/** The feeds of the runs in one database: appended without a flush of their own, watched by one look for all. */
import type { AbortListener, FeedEntries, FeedPage, RunFeed, SessionLease } from '../../session/store.js';
import { checkStretch, feedTexts } from '../../session/store-checks.js';
import type { Changes } from './changes.js';
import type { SqliteConnection } from './database.js';
import { appendEntries, type EndRequest, endRequests, isGrownOrOver, readEntries, requestEnd } from './feed-rows.js';
import type { Queries } from './open-database.js';
import { fromText, type SessionKey, toText } from './texts.js';

/** A run of this process that listens. */
interface Listening {
  readonly tenant: string;
  readonly lease: SessionLease;
  readonly listener: AbortListener;
}

/** All who listen, of every tenant: one question to the database for all of them. */
export class EndRequests {
  readonly #changes: Changes;
  /** Under their fences, of which a database has none twice. */
  readonly #listening = new Map<number, readonly Listening[]>();
  readonly #question = {
    ask: (queries: Queries) => this.#ask(queries),
    fail: (error: unknown) => this.#fail(error),
  };

  constructor(changes: Changes) {
    this.#changes = changes;
  }

  /** Until the answer is called. */
  listen(tenant: string, lease: SessionLease, listener: AbortListener): () => void {
    const listening = { tenant, lease, listener };
    this.#listening.set(lease.fence, [...(this.#listening.get(lease.fence) ?? []), listening]);
    this.#changes.add(this.#question);
    return () => this.#forget(listening);
  }

  #ask(queries: Queries): (() => void) | undefined {
    const requests = endRequests(queries);
    if (requests.length === 0) return undefined;
    return () => {
      for (const request of requests) this.#tell(request);
    };
  }

  #tell({ tenant, id, owner, fence, reason }: EndRequest): void {
    for (const listening of this.#listening.get(fence) ?? []) {
      const { lease, listener } = listening;
      const isMeant = listening.tenant === tenant && toText(lease.sessionId) === id && toText(lease.owner) === owner;
      if (!isMeant) continue;
      this.#forget(listening);
      listener.onAbortRequested(fromText(reason));
    }
  }

  #fail(error: unknown): void {
    const deaf = [...this.#listening.values()].flat();
    this.#listening.clear();
    for (const { listener } of deaf) listener.onDeaf(error);
  }

  #forget(listening: Listening): void {
    const { fence } = listening.lease;
    const others = (this.#listening.get(fence) ?? []).filter((one) => one !== listening);
    if (others.length > 0) this.#listening.set(fence, others);
    else this.#listening.delete(fence);
    if (this.#listening.size === 0) this.#changes.drop(this.#question);
  }
}

/** What the feeds of all tenants of one database share. */
export interface FeedWatch {
  readonly changes: Changes;
  readonly endRequests: EndRequests;
}

/** The feeds of one tenant. */
export class SqliteRunFeed implements RunFeed {
  readonly #connection: SqliteConnection;
  readonly #watch: FeedWatch;
  readonly #tenant: string;

  constructor(connection: SqliteConnection, watch: FeedWatch, tenant: string) {
    this.#connection = connection;
    this.#watch = watch;
    this.#tenant = tenant;
  }

  async append(lease: SessionLease, entries: FeedEntries): Promise<void> {
    const texts = feedTexts(entries);
    const { start, keep, ttlMs } = entries;
    const held = { ...lease };
    const next = { start, texts, keep, ttlMs };
    await this.#connection.writeLightly(this.#key(held.sessionId), (queries) =>
      appendEntries(queries, this.#tenant, held, next),
    );
    this.#watch.changes.made();
  }

  async read(
    sessionId: string,
    options: { readonly run?: string; readonly from: number; readonly limit: number },
  ): Promise<FeedPage | undefined> {
    checkStretch(options);
    const { from, limit } = options;
    const run = options.run === undefined ? undefined : toText(options.run);
    const key = this.#key(sessionId);
    const parse = await this.#connection.read((queries) => readEntries(queries, key, run, { from, limit }));
    return parse?.();
  }

  async whenGrown(sessionId: string, run: string, end: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const key = this.#key(sessionId);
    const { changes } = this.#watch;
    await new Promise<void>((resolve, reject) => {
      const settle = (how: () => void) => {
        changes.drop(question);
        signal.removeEventListener('abort', leave);
        how();
      };
      const leave = () => settle(() => reject(signal.reason));
      const question = {
        ask: (queries: Queries) => (isGrownOrOver(queries, key, toText(run), end) ? () => settle(resolve) : undefined),
        fail: (error: unknown) => settle(() => reject(error)),
      };
      signal.addEventListener('abort', leave, { once: true });
      changes.add(question);
    });
  }

  async requestAbort(sessionId: string, run: string, reason: string): Promise<boolean> {
    const key = this.#key(sessionId);
    const request = (queries: Queries) => requestEnd(queries, key, toText(run), toText(reason));
    const isHeld = await this.#connection.writeLightly(key, request);
    this.#watch.changes.made();
    return isHeld;
  }

  listenForAbort(lease: SessionLease, listener: AbortListener): () => void {
    return this.#watch.endRequests.listen(this.#tenant, lease, listener);
  }

  #key(sessionId: string): SessionKey {
    return { tenant: this.#tenant, id: toText(sessionId) };
  }
}
