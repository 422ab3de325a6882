/** The feeds of runs in Redis: a list of entries beside the session, in the same slot, told to those who watch. */
import { AgentFlowError, LeaseLostError } from '../../errors.js';
import type { Notices } from '../../session/notices.js';
import type { AbortListener, FeedEntries, FeedPage, RunFeed } from '../../session/run-feed.js';
import type { SessionLease } from '../../session/store.js';
import { checkStretch, escapedText, feedTexts, storedJson, unescapedText } from '../../session/store-checks.js';
import { here } from './answers.js';
import type { RedisConnection } from './client.js';
import * as scripts from './feed-scripts.js';

/** What the feeds of all tenants of one store have in common. */
export interface FeedParts {
  readonly connection: RedisConnection;
  readonly notices: Notices;
  readonly channel: string;
}

/** Where the feed of a session is. */
export interface FeedPlace {
  /** The session's hash, and the list of its entries. */
  readonly feedKeys: readonly [string, string];
  /** What all that is told of the session begins with. */
  readonly token: string;
}

/** Finds places: of a session, and of one that is held, which is asked for again and again. */
export interface FeedPlaces {
  of(sessionId: string): FeedPlace;
  heldBy(lease: SessionLease): FeedPlace;
}

/** Run, whether it holds the session, first, end, entries; the last three only when something is kept. */
type Page = [run: string, isHeld: number, first?: string, end?: string, entries?: string[]];

/** The feeds of one tenant. */
export class RedisRunFeed implements RunFeed {
  readonly #parts: FeedParts;
  readonly #places: FeedPlaces;

  constructor(parts: FeedParts, places: FeedPlaces) {
    this.#parts = parts;
    this.#places = places;
  }

  async append(lease: SessionLease, entries: FeedEntries): Promise<void> {
    const texts = feedTexts(entries);
    const { connection, channel } = this.#parts;
    const { sessionId, owner, fence } = lease;
    const { feedKeys: keys, token } = this.#places.heldBy(lease);
    const numbers = [fence, entries.start, entries.keep, entries.ttlMs].map(String);
    const given = [escapedText(owner), ...numbers, channel, `${token} grown`];
    if ((await connection.run(scripts.append, keys, [...given, ...texts])) !== 1) throw new LeaseLostError(sessionId);
  }

  async read(
    sessionId: string,
    options: { readonly run?: string; readonly from: number; readonly limit: number },
  ): Promise<FeedPage | undefined> {
    checkStretch(options);
    const { from, limit } = options;
    // Marked, because an empty text is a run too.
    const wanted = options.run === undefined ? '' : `=${escapedText(options.run)}`;
    const { feedKeys: keys } = this.#places.of(sessionId);
    const page = await this.#parts.connection.run(scripts.read, keys, [wanted, String(from), String(limit)]);
    return page === null ? undefined : toPage(page as Page, from);
  }

  async whenGrown(sessionId: string, run: string, end: number, signal: AbortSignal): Promise<void> {
    const { connection, notices } = this.#parts;
    const { feedKeys: keys, token } = this.#places.of(sessionId);
    await notices.next(`${token} grown`, signal, async () => {
      return (await connection.run(scripts.watch, keys, [escapedText(run), String(end)])) === 1;
    });
  }

  async requestAbort(sessionId: string, run: string, reason: string): Promise<boolean> {
    const { connection, channel } = this.#parts;
    const { feedKeys: keys, token } = this.#places.of(sessionId);
    const given = [escapedText(run), escapedText(reason), channel, `${token} ends`];
    return (await connection.run(scripts.requestAbort, keys, given)) === 1;
  }

  listenForAbort(lease: SessionLease, listener: AbortListener): () => void {
    const { connection, notices } = this.#parts;
    const { feedKeys: keys, token } = this.#places.heldBy(lease);
    const given = [escapedText(lease.owner), String(lease.fence)];
    let isOver = false;
    const stop = () => {
      if (isOver) return false;
      isOver = true;
      listening.stop();
      return true;
    };
    const fail = (error: unknown) => {
      if (stop()) listener.onDeaf(error);
    };
    const ask = async () => {
      const reason = await connection.run(scripts.abortRequest, keys, given);
      if (reason !== null && stop()) listener.onAbortRequested(unescapedText(String(reason), here));
    };
    const listening = notices.listen(`${token} ends`, {
      onTold: () => void ask().catch(fail),
      onBroken: () => fail(new AgentFlowError('STORE_FAILED', 'The subscription to Redis is gone')),
    });
    // It may have been asked before it listened.
    listening.ready.then(ask).catch(fail);
    return () => void stop();
  }
}

function toPage([run, held, first = '0', end = '0', texts = []]: Page, from: number): FeedPage {
  const entries = texts.map((text) => storedJson(text, here));
  const start = Math.max(from, Number(first));
  return { run: unescapedText(run, here), first: Number(first), end: Number(end), start, entries, isHeld: held === 1 };
}
