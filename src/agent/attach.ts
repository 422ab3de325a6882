/** Attaching to the run of a session, wherever it runs: in this process directly, elsewhere through the store's feed. */
import type { Attachment, AttachOptions } from '../connection/attachment.js';
import type { RunEnd } from '../connection/connection.js';
import { assertCursor } from '../connection/run-connection.js';
import { isAfter, silent } from '../connection/watching.js';
import { assertOptions, assertSignal } from '../errors/options.js';
import { AgentFlowError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import { inStore } from '../session/in-store.js';
import { isPassingOwner } from '../session/passing-owner.js';
import type { FeedPage, RunFeed, SessionStore } from '../session/store.js';
import { type AttachedRun, asAttached, type LocalRun, type LocalRuns } from './feed/attached-run.js';
import { asFeedEntry } from './feed/entries.js';
import { Growth } from './feed/growth.js';
import { RemoteRun } from './feed/remote-run.js';

/** Whose runs are looked for. */
export interface RunSources<Stream> {
  readonly runs: LocalRuns<Stream>;
  readonly store: SessionStore | undefined;
  readonly clock: Clock;
  readonly leaseTtlMs: number;
}

/** The agents of this process, by the store they share. */
const agentsOf = new WeakMap<SessionStore, Set<LocalRuns<unknown>>>();

/** Makes the runs of an agent known to the other agents of this process that have the same store. */
export function shareRuns(store: SessionStore, runs: LocalRuns<unknown>): void {
  agentsOf.set(store, (agentsOf.get(store) ?? new Set()).add(runs));
}

/** Attaches at once; what goes wrong arrives when it is watched or aborted. Throws `INVALID_VALUE` for options that are none. */
export function attach<Stream>(
  sources: RunSources<Stream>,
  sessionId: string,
  options: AttachOptions = {},
): Attachment<Stream> {
  assertOptions(options);
  const { from, signal } = options;
  assertSignal(signal, 'signal');
  assertCursor(from, 'from');
  const search = new RunSearch(sources, sessionId, from);
  const run = silent(search.find());
  const watching = { ...(from === undefined ? {} : { after: from }), ...(signal === undefined ? {} : { signal }) };
  return {
    sessionId,
    abort: (reason): Promise<RunEnd> => silent(run.then((found) => found.abort(reason))),
    [Symbol.asyncIterator]: () => iteratorOf(async () => (await run).watch(watching)),
  };
}

/** An iterator that can be used while it is still looked for. */
function iteratorOf<T>(find: () => Promise<AsyncIterableIterator<T>>): AsyncIterableIterator<T> {
  let found: Promise<AsyncIterableIterator<T>> | undefined;
  const next = async (): Promise<IteratorResult<T>> => {
    found ??= find();
    return (await found).next();
  };
  const leave = async (): Promise<IteratorResult<T>> => {
    found ??= find();
    return (await found.catch(() => undefined))?.return?.() ?? { value: undefined, done: true };
  };
  const iterator: AsyncIterableIterator<T> = {
    next: () => silent(next()),
    return: () => silent(leave()),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

/** The search for the run to attach to. */
class RunSearch<Stream> {
  readonly #sources: RunSources<Stream>;
  readonly #sessionId: string;
  readonly #from: AttachOptions['from'];

  constructor(sources: RunSources<Stream>, sessionId: string, from: AttachOptions['from']) {
    this.#sources = sources;
    this.#sessionId = sessionId;
    this.#from = from;
  }

  /** Looks into this process in the call itself, so that nothing of a run there is missed. */
  async find(): Promise<AttachedRun<Stream>> {
    const local = this.#localRuns();
    const holding = local.find(({ hasSession }) => hasSession);
    const seen = local.find(({ run }) => run === this.#from?.run);
    const feed = this.#sources.store?.feed;
    if (seen !== undefined) return asAttached(seen);
    if (holding !== undefined && (this.#from === undefined || feed === undefined)) return asAttached(holding);
    if (feed !== undefined) return this.#startFromFeed(feed, holding);
    const [waiting] = local;
    if (waiting !== undefined) return asAttached(waiting);
    throw notRunning(this.#sources.store === undefined ? '' : '; its store keeps no feeds of runs in others');
  }

  #localRuns(): LocalRun<Stream>[] {
    const { store, runs } = this.#sources;
    const agents = (store === undefined ? undefined : agentsOf.get(store)) ?? [];
    const all = new Set<LocalRuns<Stream>>([runs, ...(agents as Iterable<LocalRuns<Stream>>)]);
    return [...all].flatMap((one) => [...one.runsOf(this.#sessionId)]);
  }

  async #startFromFeed(feed: RunFeed, holding: LocalRun<Stream> | undefined): Promise<AttachedRun<Stream>> {
    const from = this.#from;
    const state = from === undefined ? 'gone' : await this.#stateOf(feed, from);
    if (from !== undefined && state === 'going on') return this.#remote(feed, from.run);
    if (holding !== undefined) return asAttached(holding);
    const newest = await this.#newest(feed);
    // One that is here may have got the session meanwhile, or is about to.
    const local = this.#localRuns();
    const opening = newest?.isHeld ? local.find(({ run }) => run === newest.run) : local[0];
    if (opening !== undefined) return asAttached(opening);
    if (from !== undefined && state === 'seen' && !newest?.isHeld) return this.#remote(feed, from.run);
    if (newest === undefined) throw notRunning(', and nothing is kept of one in another');
    return this.#remote(feed, newest.run);
  }

  /** The run that holds the session, else the newest that is kept. Who is no run and only holds it in passing is waited for. */
  async #newest(feed: RunFeed): Promise<FeedPage | undefined> {
    const { clock, leaseTtlMs } = this.#sources;
    const { signal } = new AbortController();
    for (;;) {
      const page = await inStore(() => feed.read(this.#sessionId, { from: 0, limit: 1 }));
      if (page === undefined || !isPassingOwner(page.run)) return page;
      const { run, end } = page;
      await new Growth({ feed, sessionId: this.#sessionId, run, clock, leaseTtlMs }).beyond(end, signal);
    }
  }

  /** Is there more to come of a run than what was seen of it? */
  async #stateOf(feed: RunFeed, from: NonNullable<AttachOptions['from']>): Promise<'going on' | 'seen' | 'gone'> {
    const { run } = from;
    const read = (start: number, limit: number) =>
      inStore(() => feed.read(this.#sessionId, { run, from: start, limit }));
    const oldest = await read(0, 1);
    if (oldest === undefined) return 'gone';
    if (oldest.isHeld) return 'going on';
    // The last two: how the run ended, and what it said before.
    const last = await read(Math.max(0, oldest.end - 2), 2);
    const entries = (last?.entries ?? []).map(asFeedEntry);
    const hasMore = entries.some((entry) => {
      const [turn, attempt, seq] = entry.at;
      return !('runEnd' in entry || 'turnStart' in entry) && isAfter({ run, turn, attempt, seq }, from);
    });
    return hasMore ? 'going on' : 'seen';
  }

  #remote(feed: RunFeed, run: string): AttachedRun<Stream> {
    const { store, clock, leaseTtlMs } = this.#sources;
    if (store === undefined) throw notRunning('');
    return new RemoteRun<Stream>({ store, feed, sessionId: this.#sessionId, run, clock, leaseTtlMs });
  }
}

function notRunning(why: string): AgentFlowError {
  return new AgentFlowError('SESSION_NOT_RUNNING', `No run is open for this session in this process${why}`);
}
