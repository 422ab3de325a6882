/** What the cases of a feed are worth: each of these feeds breaks one rule, and a case must name it. */
import { describe, expect, test } from 'vitest';
import { LeaseLostError } from '../../src/errors.js';
import type { AbortListener, FeedEntries, RunFeed, SessionLease, SessionStore } from '../../src/session/store.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { feedOf } from '../../src/testing/session-store/feed-steps.js';
import { type StoreUnderTest, testSessionStore } from '../../src/testing/session-store-suite.js';

type Change = (feed: RunFeed, store: SessionStore) => Partial<RunFeed>;

/** The same store with another feed, for every tenant. */
function altered(store: SessionStore, change: Change): SessionStore {
  const feed = feedOf(store);
  const same: RunFeed = {
    append: (lease, entries) => feed.append(lease, entries),
    read: (id, options) => feed.read(id, options),
    whenGrown: (id, run, end, signal) => feed.whenGrown(id, run, end, signal),
    requestAbort: (id, run, reason) => feed.requestAbort(id, run, reason),
    listenForAbort: (lease, listener) => feed.listenForAbort(lease, listener),
  };
  const forTenant = store.forTenant.bind(store);
  return Object.assign(store, {
    feed: { ...same, ...change(feed, store) },
    forTenant: (tenant: string) => altered(forTenant(tenant), change),
  });
}

/** The names of the cases for feeds, and what they say. */
function feedCases(create: () => StoreUnderTest): [string, () => Promise<void>][] {
  const [all, others] = [true, false].map((feed) => {
    const cases: [string, () => Promise<void>][] = [];
    testSessionStore({ test: (name, run) => cases.push([name, run]), create, feed });
    return cases;
  });
  const known = new Set(others?.map(([name]) => name));
  return (all ?? []).filter(([name]) => !known.has(name));
}

async function failures(change: Change, only?: string): Promise<string[]> {
  const create = () => {
    const store = new SqliteSessionStore({ path: ':memory:' });
    return { store: altered(store, change), dispose: () => store.close() };
  };
  const failed: string[] = [];
  for (const [name, run] of feedCases(create)) {
    if (only === undefined || only === name) await run().catch(() => failed.push(name));
  }
  return failed;
}

const changed = (entries: FeedEntries, change: Partial<FeedEntries>) => ({ ...entries, ...change });

/** Gives the newest lease of a session out for any older one. */
function currentLeases(store: SessionStore) {
  const current = new Map<string, SessionLease>();
  const acquire = store.acquire.bind(store);
  store.acquire = async (id, options) => {
    const lease = await acquire(id, options);
    if (lease !== undefined) current.set(id, lease);
    return lease;
  };
  return (lease: SessionLease) => current.get(lease.sessionId) ?? lease;
}

const broken: Record<string, { change: Change; caughtBy: string }> = {
  'takes any lease': {
    change: (feed, store) => {
      const newest = currentLeases(store);
      return { append: (lease, entries) => feed.append(newest(lease), entries) };
    },
    caughtBy: 'an append with a lease that is not the current one is refused and adds nothing',
  },
  'does not say which session was lost': {
    change: (feed) => ({
      append: (lease, entries) =>
        feed
          .append(lease, entries)
          .catch((error) => Promise.reject(error instanceof LeaseLostError ? new LeaseLostError('') : error)),
    }),
    caughtBy: 'an append with a lease that is not the current one is refused and adds nothing',
  },
  'adds again what is repeated': {
    change: (feed) => ({
      async append(lease, entries) {
        const page = await feed.read(lease.sessionId, { run: lease.owner, from: 0, limit: 1 });
        const start = page === undefined || page.end < entries.start ? entries.start : page.end;
        await feed.append(lease, changed(entries, { start }));
      },
    }),
    caughtBy: 'an append that is repeated, in whole or in part, adds nothing twice and changes nothing',
  },
  'closes gaps in silence': {
    change: (feed) => ({
      async append(lease, entries) {
        const page = await feed.read(lease.sessionId, { run: lease.owner, from: 0, limit: 1 });
        await feed.append(lease, changed(entries, { start: Math.min(entries.start, page?.end ?? 0) }));
      },
    }),
    caughtBy: 'a gap makes all older entries go',
  },
  'keeps everything': {
    change: (feed) => ({ append: (lease, entries) => feed.append(lease, changed(entries, { keep: 1_000_000 })) }),
    caughtBy: 'as many entries are kept as were asked for, and not many more',
  },
  'keeps too little': {
    change: (feed) => ({ append: (lease, entries) => feed.append(lease, changed(entries, { keep: 1 })) }),
    caughtBy: 'as many entries are kept as were asked for, and not many more',
  },
  'never forgets': {
    change: (feed) => ({ append: (lease, entries) => feed.append(lease, changed(entries, { ttlMs: 2 ** 31 - 1 })) }),
    caughtBy: 'once its run is over a feed is kept for its time after the last append, and then gone',
  },
  'forgets at once': {
    change: (feed) => ({ append: (lease, entries) => feed.append(lease, changed(entries, { ttlMs: 1 })) }),
    caughtBy: 'once its run is over a feed is kept for its time after the last append, and then gone',
  },
  'does not know a run that is silent': {
    change: (feed) => ({
      async read(id, options) {
        const page = await feed.read(id, options);
        return page?.end === 0 ? undefined : page;
      },
    }),
    caughtBy: 'a run that holds the session and has said nothing has an empty page',
  },
  'thinks every run goes on': {
    change: (feed) => ({
      async read(id, options) {
        const page = await feed.read(id, options);
        return page && { ...page, isHeld: true };
      },
    }),
    caughtBy: 'a run whose lease has expired does not hold the session, and may still speak until another takes it',
  },
  'reads the caller’s objects late': {
    change: (feed) => ({
      async append(lease, entries) {
        await Promise.resolve();
        await feed.append(lease, entries);
      },
    }),
    caughtBy: 'entries are taken at the moment of the call, and what is read is its reader’s own',
  },
  'takes what is not JSON': {
    change: (feed) => ({ append: (lease, entries) => feed.append(lease, entries).catch(() => {}) }),
    caughtBy: 'what is no entry, or no number in range, is refused and adds nothing',
  },
  'says that nobody is too far away to be asked': {
    change: (feed) => ({
      async requestAbort(id, run, reason) {
        await feed.requestAbort(id, run, reason);
        return true;
      },
    }),
    caughtBy: 'a run that does not hold the session cannot be asked to end',
  },
  'tells a run twice': {
    change: (feed) => ({
      listenForAbort: (lease, { onAbortRequested, onDeaf }: AbortListener) =>
        feed.listenForAbort(lease, {
          onAbortRequested(reason) {
            onAbortRequested(reason);
            onAbortRequested(reason);
          },
          onDeaf,
        }),
    }),
    caughtBy: 'of several requests the first reason counts, and the run is told once',
  },
  'tells who has stopped listening': {
    change: (feed) => ({
      listenForAbort(lease, listener) {
        feed.listenForAbort(lease, listener);
        return () => {};
      },
    }),
    caughtBy: 'a run that has stopped listening is not told',
  },
  'tells the next run what was meant for the last': {
    change: (feed) => {
      const reasons = new Map<string, string>();
      return {
        requestAbort(id, run, reason) {
          if (!reasons.has(id)) reasons.set(id, reason);
          return feed.requestAbort(id, run, reason);
        },
        listenForAbort: (lease, { onAbortRequested, onDeaf }: AbortListener) =>
          feed.listenForAbort(lease, {
            onAbortRequested: (reason) => onAbortRequested(reasons.get(lease.sessionId) ?? reason),
            onDeaf,
          }),
      };
    },
    caughtBy: 'a request to one run does not reach the next',
  },
};

describe('a feed that', () => {
  test.each(Object.entries(broken))('%s', async (_name, { change, caughtBy }) => {
    expect(await failures(change, caughtBy)).toEqual([caughtBy]);
  });

  test('breaks nothing passes, also where the store cannot tell who waits', async () => {
    expect(await failures(() => ({}))).toEqual([]);
    const deaf: Change = () => ({ whenGrown: (_id, _run, _end, signal) => Promise.reject(signal.reason ?? 'deaf') });
    expect(await failures(deaf)).toEqual([]);
  });
});

describe('whether a store keeps feeds', () => {
  const outcome = async (store: () => SessionStore, feed: boolean) => {
    const cases: [string, () => Promise<void>][] = [];
    testSessionStore({ test: (name, run) => cases.push([name, run]), create: () => ({ store: store() }), feed });
    const [name, run] = cases.find(([title]) => title.startsWith('a store that') && title.includes('said')) ?? [];
    await run?.();
    return name;
  };

  test('must be said', async () => {
    const [keeps, keepsNone] = [() => new SqliteSessionStore({ path: ':memory:' }), () => new MemorySessionStore()];
    expect(await outcome(keeps, true)).toBe('a store that is said to keep feeds keeps them');
    expect(await outcome(keepsNone, false)).toBe('a store that keeps feeds is said to do so');
    await expect(outcome(keeps, false)).rejects.toThrow('the option `feed` of the suite is wrong');
    await expect(outcome(keepsNone, true)).rejects.toThrow('the option `feed` of the suite is wrong');
  });
});
