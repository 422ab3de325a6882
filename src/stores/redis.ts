/**
 * Sessions in Redis: any number of processes on any number of machines share them. Every operation is one Lua script, so
 * one round trip that happens as a whole or not at all; all keys of a session are in one slot of a cluster. Saves of many
 * sessions at once share a round trip.
 */
import { InvalidValueError, LeaseLostError } from '../errors.js';
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
import { type Field, here, type Loaded, type Summary, splitOnce, toSession, toSummary } from './redis/answers.js';
import {
  type IoRedisClient,
  type NodeRedisClient,
  type RedisClient,
  RedisConnection,
  type Script,
} from './redis/client.js';
import { type FeedParts, RedisRunFeed } from './redis/feed.js';
import { hashOf, memberOf, type SessionKeys, sessionKeys, withFeed } from './redis/keys.js';
import { type Held, Saves } from './redis/saves.js';
import * as scripts from './redis/scripts.js';
import { noticesOn } from './redis/subscribe.js';

export type { IoRedisClient, NodeRedisClient, RedisClient };

/** Options of {@link RedisSessionStore}. */
export interface RedisSessionStoreOptions {
  /** An open client of `ioredis` or of `redis`. It stays yours: the store does not close it. */
  readonly client: RedisClient;
  /**
   * What every key and channel begins with.
   * @default 'genkitx-agent:'
   */
  readonly keyPrefix?: string;
}

/** What all tenants of a store have in common. */
interface Shared {
  readonly connection: RedisConnection;
  readonly saves: Saves;
  readonly releases: Releases | undefined;
  readonly feed: FeedParts;
  readonly keyPrefix: string;
  readonly channel: string;
}

/** A part of a store that is already there; only stores make it. */
interface TenantScope {
  readonly shared: Shared;
  /** From the outermost tenant to this one. */
  readonly tenants: readonly string[];
}

/** Sessions that a listing looks at in one go. */
const listedAtOnce = 500;

/**
 * A {@link SessionStore} in Redis, 6.2 or later, alone or as a cluster. What it answers is as durable as the server makes
 * it: `appendonly yes` with `appendfsync always` survives a crash of the machine, `everysec` may lose the last second, and
 * a replica that takes over may lack what it was not sent in time.
 *
 * Beside the contract's own errors every method throws `STORE_FAILED` when Redis fails (the client's error is the cause;
 * whether a save that lost its connection was written is then unknown) and `STORE_CORRUPT` when what it holds cannot be
 * read back.
 *
 * @example
 * const store = new RedisSessionStore({ client: new Redis(url) });
 */
export class RedisSessionStore implements SessionStore {
  /** There when the client can be duplicated: those who wait for a session are told of its release within a millisecond or two. */
  readonly whenReleased: SessionStore['whenReleased'];
  /** What runs say. */
  readonly feed: RunFeed;
  readonly #shared: Shared;
  readonly #tenants: readonly string[];
  readonly #tenant: string;
  readonly #listing: readonly [string, string];
  /** So that nothing is hashed for every call anew. */
  readonly #heldBy = new WeakMap<SessionLease, Held>();

  /** Throws `INVALID_VALUE` for a bad option; asks the server for nothing. */
  constructor(options: RedisSessionStoreOptions | TenantScope) {
    checkOptions(options);
    const isScope = 'shared' in options;
    this.#shared = isScope ? options.shared : share(options);
    this.#tenants = isScope ? options.tenants : [];
    this.#tenant = tenantText(this.#tenants);
    const tag = `${this.#shared.keyPrefix}{${hashOf(this.#tenant)}}`;
    this.#listing = [`${tag}:listing`, `${tag}:places`];
    if (this.#shared.releases !== undefined)
      this.whenReleased = (sessionId, signal) => this.#nextRelease(sessionId, signal);
    const places = {
      of: (sessionId: string) => this.#session(sessionId),
      heldBy: (lease: SessionLease) => this.#held(lease).session,
    };
    this.feed = new RedisRunFeed(this.#shared.feed, places);
  }

  async acquire(
    sessionId: string,
    options: { owner: string; ttlMs: number; takeover?: boolean },
  ): Promise<SessionLease | undefined> {
    const { owner, ttlMs, takeover = false } = options;
    checkTtl(ttlMs);
    const session = this.#session(sessionId);
    const given = [escapedText(owner), String(ttlMs), takeover ? '1' : '', session.id, this.#tenant];
    const { releases, channel } = this.#shared;
    const told = [String(releases?.since(session.token) ?? ''), channel, session.token];
    const answer = (await this.#run(scripts.acquire, session, ...given, ...told)) as [string, Field] | null;
    if (answer === null) return undefined;
    const [fence, unlisted] = answer;
    if (unlisted !== null) await this.#enlist(session, unlisted);
    return { sessionId, owner, fence: Number(fence) };
  }

  async renew(lease: SessionLease, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    const { session, owner, fence } = this.#held(lease);
    return (await this.#run(scripts.renew, withFeed(session), owner, fence, String(ttlMs))) === 1;
  }

  async release(lease: SessionLease): Promise<void> {
    const { session, owner, fence } = this.#held(lease);
    await this.#run(scripts.release, withFeed(session), owner, fence, this.#shared.channel, session.token);
  }

  async load(sessionId: string, options: { version?: number } = {}): Promise<StoredSession | undefined> {
    const { version } = options;
    if (version !== undefined && !Number.isSafeInteger(version)) return undefined;
    const loaded = await this.#run(
      scripts.load,
      this.#session(sessionId),
      version === undefined ? '' : String(version),
    );
    return loaded === null ? undefined : toSession(sessionId, loaded as Loaded);
  }

  async save(lease: SessionLease, save: SessionSave): Promise<void> {
    checkSave(save);
    const held = this.#held(lease);
    const unlisted = await this.#shared.saves.write(lease.sessionId, held, save);
    if (unlisted !== null) await this.#enlist(held.session, unlisted);
  }

  async accept(lease: SessionLease, input: AcceptedInput): Promise<AcceptedInput> {
    checkInput(input);
    const { id, run, turn, attempt, done } = input;
    const value = done || input.input === undefined ? '' : `,"input":${jsonText(input.input, 'input')}`;
    const record = `${JSON.stringify({ id, run, turn, attempt, done }).slice(0, -1)}${value}}`;
    const given = [escapedText(id), String(attempt), done ? '1' : '0', record];
    const { session, owner, fence } = this.#held(lease);
    const answer = await this.#run(scripts.accept, session, owner, fence, ...given);
    if (answer === null) throw new LeaseLostError(lease.sessionId);
    return storedJson(String(answer), here) as AcceptedInput;
  }

  /** One call for the page, and one for each session on it, all sent at once; the sessions are in slots of their own. */
  async list(
    options: { limit?: number; cursor?: string } = {},
  ): Promise<{ sessions: SessionSummary[]; next?: string }> {
    const { limit, after } = pageOf(options);
    const found: { place: number; summary: SessionSummary }[] = [];
    for (let from = after, isLast = false; found.length <= limit && !isLast; ) {
      const wanted = Math.min(limit + 1 - found.length, listedAtOnce);
      const lines = await this.#page(from, wanted);
      const summaries = await Promise.all(lines.map(({ member }) => this.#summary(member)));
      for (const [index, summary] of summaries.entries())
        if (summary !== undefined) found.push({ place: lines[index]?.place ?? 0, summary });
      isLast = lines.length < wanted;
      from = lines.at(-1)?.place ?? from;
    }
    const page = found.slice(0, limit);
    const last = page.at(-1);
    const sessions = page.map(({ summary }) => summary);
    return last === undefined || found.length <= limit ? { sessions } : { sessions, next: cursorAfter(last.place) };
  }

  async delete(sessionId: string): Promise<boolean> {
    const session = withFeed(this.#session(sessionId));
    const born = (await this.#run(scripts.erase, session, this.#shared.channel, session.token)) as Field;
    if (born === null) return false;
    await this.#unlist(memberOf(born, session));
    return true;
  }

  forTenant(tenant: string): SessionStore {
    return new RedisSessionStore({ shared: this.#shared, tenants: [...this.#tenants, tenant] });
  }

  /**
   * Enters a session that was created into the listing; then it is kept. In this order, because the two are in different
   * slots: what a crash leaves behind is forgotten by itself, or entered by whoever opens it next.
   */
  async #enlist(session: SessionKeys, born: string): Promise<void> {
    const member = memberOf(born, session);
    await this.#shared.connection.run(scripts.enlist, this.#listing, [member]);
    // Deleted meanwhile.
    if ((await this.#run(scripts.markListed, session, born)) !== 1) await this.#unlist(member);
  }

  async #unlist(member: string): Promise<void> {
    await this.#shared.connection.command('ZREM', this.#listing[0], member);
  }

  async #page(after: number, limit: number): Promise<{ member: string; place: number }[]> {
    const { connection } = this.#shared;
    const flat = (await connection.run(scripts.page, this.#listing, [String(after), String(limit)])) as string[];
    return Array.from({ length: flat.length / 2 }, (_, index) => ({
      member: flat[index * 2] ?? '',
      place: Number(flat[index * 2 + 1]),
    }));
  }

  /** What a line of the listing stands for; a line that stands for nothing any more is removed. */
  async #summary(member: string): Promise<SessionSummary | undefined> {
    const [born = '', id = ''] = splitOnce(member);
    const sessionId = unescapedText(id, here);
    const summary = await this.#run(scripts.summary, this.#session(sessionId), born);
    if (summary !== null) return toSummary(sessionId, summary as Summary);
    await this.#unlist(member);
    return undefined;
  }

  async #nextRelease(sessionId: string, signal: AbortSignal): Promise<void> {
    const session = this.#session(sessionId);
    await this.#shared.releases?.next(session.token, signal, async (since) => {
      const fence = (await this.#run(scripts.awaitRelease, session, String(since ?? ''))) as Field;
      return fence === null ? undefined : Number(fence);
    });
  }

  #run(script: Script, { keys }: SessionKeys, ...args: readonly string[]): Promise<unknown> {
    return this.#shared.connection.run(script, keys, args);
  }

  #session(sessionId: string): SessionKeys {
    return sessionKeys(this.#shared.keyPrefix, this.#tenant, sessionId);
  }

  #held(lease: SessionLease): Held {
    const known = this.#heldBy.get(lease);
    if (known !== undefined) return known;
    const { sessionId, owner, fence } = lease;
    const held = { session: this.#session(sessionId), owner: escapedText(owner), fence: String(fence) };
    this.#heldBy.set(lease, held);
    return held;
  }
}

function share({ client, keyPrefix = 'genkitx-agent:' }: RedisSessionStoreOptions): Shared {
  // A brace would begin the part of a key that decides its slot.
  if (typeof keyPrefix !== 'string' || /[{}]/.test(keyPrefix))
    throw new InvalidValueError('option', [
      { path: 'keyPrefix', expected: 'a text without braces', received: JSON.stringify(keyPrefix) },
    ]);
  const channel = `${keyPrefix}released`;
  const connection = new RedisConnection(client);
  const heard = noticesOn(client, channel);
  const feed = { connection, notices: heard ?? new Notices(pollInstead), channel };
  const saves = new Saves(connection);
  return { connection, saves, releases: heard && new Releases(heard), feed, keyPrefix, channel };
}
