/** The suite is only worth what it catches: each of these stores breaks one rule, and a case must name it. */
import { describe, expect, test } from 'vitest';
import { LeaseLostError, SessionConflictError } from '../../src/errors.js';
import type { AcceptedInput, SessionLease, SessionStore, StoredSession } from '../../src/session/store.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { type SkippedCase, type StoreUnderTest, testSessionStore } from '../../src/testing/session-store-suite.js';

type Acquire = Parameters<SessionStore['acquire']>[1];

/** A store that passes everything on; what is given instead breaks it. */
function altered(store: SessionStore, change: (store: SessionStore) => Partial<SessionStore>): SessionStore {
  const same: SessionStore = {
    acquire: (id, options) => store.acquire(id, options),
    renew: (lease, ttlMs) => store.renew(lease, ttlMs),
    release: (lease) => store.release(lease),
    load: (id, options) => store.load(id, options),
    save: (lease, save) => store.save(lease, save),
    accept: (lease, input) => store.accept(lease, input),
    list: (options) => store.list(options),
    delete: (id) => store.delete(id),
    forTenant: (tenant) => altered(store.forTenant(tenant), change),
  };
  return { ...same, ...change(store) };
}

/** Runs every case, or the one of that name; answers the names of those that fail. */
async function failures(
  create: () => StoreUnderTest,
  skip: readonly SkippedCase[] = [],
  only?: string,
): Promise<string[]> {
  const cases: [string, () => Promise<void>][] = [];
  testSessionStore({ test: (name, run) => cases.push([name, run]), create, skip });
  const failed: string[] = [];
  for (const [name, run] of cases) {
    if (only === undefined || only === name) await run().catch(() => failed.push(name));
  }
  return failed;
}

function onManualClock(change: (store: SessionStore) => Partial<SessionStore>): () => StoreUnderTest {
  return () => {
    const clock = new ManualClock();
    const store = altered(new MemorySessionStore({ clock }), change);
    return { store, advance: (ms) => clock.advance(ms), reopen: async () => store };
  };
}

/** Every owner's newest lease, so that a broken store can pass a stale one off as current. */
function currentLeases(store: SessionStore) {
  const current = new Map<string, SessionLease>();
  const remember = async (id: string, options: Acquire) => {
    const lease = await store.acquire(id, options);
    if (lease !== undefined) current.set(id, lease);
    return lease;
  };
  return { remember, newest: (lease: SessionLease) => current.get(lease.sessionId) ?? lease };
}

const broken: Record<string, { change: (store: SessionStore) => Partial<SessionStore>; caughtBy: string }> = {
  'does not compare before it sets': {
    change: (store) => ({
      async save(lease, save) {
        for (let expectedVersion = save.expectedVersion; ; ) {
          const error: unknown = await store.save(lease, { ...save, expectedVersion }).catch((reason) => reason);
          if (error === undefined) return;
          if (!(error instanceof SessionConflictError)) throw error;
          expectedVersion = error.actualVersion;
        }
      },
    }),
    caughtBy: 'of many saves at once exactly one wins',
  },
  'does not check the fence': {
    change: (store) => {
      const { remember, newest } = currentLeases(store);
      return { acquire: remember, save: (lease, save) => store.save(newest(lease), save) };
    },
    caughtBy: 'a takeover gets a held session and fences off its holder',
  },
  'renews whatever it is given': {
    change: () => ({ renew: async () => true }),
    caughtBy: 'a lease that was lost stays lost when the session is free again',
  },
  'never lets a lease expire': {
    change: (store) => ({ acquire: (id, options) => store.acquire(id, { ...options, ttlMs: 2 ** 31 - 1 }) }),
    caughtBy: 'an expired lease can be taken by another owner',
  },
  'lets everybody in': {
    change: (store) => ({ acquire: (id, options) => store.acquire(id, { ...options, takeover: true }) }),
    caughtBy: 'a session that is held is refused to every other owner',
  },
  'does not know takeovers': {
    change: (store) => ({ acquire: (id, { owner, ttlMs }) => store.acquire(id, { owner, ttlMs }) }),
    caughtBy: 'a takeover gets a held session and fences off its holder',
  },
  'does not extend a lease': {
    change: (store) => ({ renew: (lease) => store.renew(lease, 1) }),
    caughtBy: 'a renewed lease outlives its first time',
  },
  'frees the session for a lease that was lost': {
    change: (store) => {
      const { remember, newest } = currentLeases(store);
      return { acquire: remember, release: (lease) => store.release(newest(lease)) };
    },
    caughtBy: 'releasing a lost lease does not free the session',
  },
  'shows one tenant to another': {
    change: (store) => ({ forTenant: () => store }),
    caughtBy: 'a tenant sees only its own sessions',
  },
  'mixes up tenants whose names look alike': {
    change: (store) => ({
      forTenant: (tenant) => store.forTenant(tenant.replace(/[\ud800-\udfff]/g, '?')),
    }),
    caughtBy: 'any text is a tenant of its own',
  },
  'normalises ids': {
    change: (store) => ({
      acquire: (id, options) => store.acquire(id.normalize('NFC'), options),
      load: (id, options) => store.load(id.normalize('NFC'), options),
    }),
    caughtBy: 'any text is an id of its own',
  },
  'drops what a kept version needs': {
    change: (store) => {
      const keep = new Map<string, number>();
      return {
        async save(lease, save) {
          await store.save(lease, save);
          if (save.keepVersions !== undefined) keep.set(lease.sessionId, save.keepVersions);
        },
        async load(id, options) {
          const stored = await store.load(id, options);
          if (stored === undefined) return undefined;
          const oldestKept = stored.head - (keep.get(id) ?? stored.head) + 1;
          const firstPatch = stored.version - stored.patches.length + 1;
          return { ...stored, patches: stored.patches.slice(Math.max(0, oldestKept - firstPatch)) };
        },
      };
    },
    caughtBy: 'the newest keepVersions versions load after every save, however whole records are spaced',
  },
  'keeps what it should drop': {
    change: (store) => ({ save: (lease, { keepVersions: _, ...save }) => store.save(lease, save) }),
    caughtBy: 'versions that nothing needs are dropped',
  },
  'forgets to delete inputs': {
    change: (store) => {
      const left = new Map<string, readonly AcceptedInput[]>();
      return {
        async delete(id) {
          left.set(id, (await store.load(id))?.pending ?? []);
          return store.delete(id);
        },
        async load(id, options) {
          const stored = await store.load(id, options);
          return stored && { ...stored, pending: [...(left.get(id) ?? []), ...stored.pending] };
        },
      };
    },
    caughtBy: 'a session made again under the id of a deleted one has none of its past',
  },
  'lets the old holder write after a deletion': {
    change: (store) => {
      const { remember, newest } = currentLeases(store);
      const gone = new Set<string>();
      return {
        acquire: remember,
        async delete(id) {
          gone.add(id);
          return store.delete(id);
        },
        save: (lease, save) => store.save(gone.has(lease.sessionId) ? newest(lease) : lease, save),
      };
    },
    caughtBy: 'nor does the old lease of an owner who holds the new session',
  },
  'deletes in name only': {
    change: () => ({ delete: async () => true }),
    caughtBy: 'a deleted session is gone: versions, inputs, lease and its line in the listing',
  },
  'keeps the caller’s own objects': {
    change: (store) => {
      const kept = new Map<string, unknown>();
      return {
        async save(lease, save) {
          await store.save(lease, save);
          if (save.change.kind === 'checkpoint') kept.set(lease.sessionId, save.change.record);
        },
        async load(id, options) {
          const stored = await store.load(id, options);
          return stored && { ...stored, checkpoint: kept.get(id) };
        },
      };
    },
    caughtBy: 'what is done to a value after it was given is not seen',
  },
  'reads the caller’s objects late': {
    change: (store) => ({
      async save(lease, save) {
        await Promise.resolve();
        await store.save(lease, save);
      },
    }),
    caughtBy: 'what is done to a value after it was given is not seen',
  },
  'hands out its own objects': {
    change: (store) => {
      const cache = new Map<string, StoredSession | undefined>();
      return {
        async save(lease, save) {
          cache.clear();
          await store.save(lease, save);
        },
        async load(id, options) {
          const key = JSON.stringify([id, options]);
          if (!cache.has(key)) cache.set(key, await store.load(id, options));
          return cache.get(key);
        },
      };
    },
    caughtBy: 'what is done to a value that was handed out is not seen',
  },
  'runs an input twice': {
    change: () => ({ accept: async (_lease, input) => input }),
    caughtBy: 'an input is recorded, and its id answered with the record from then on',
  },
  'accepts inputs without the lease': {
    change: (store) => ({ accept: (lease, input) => store.accept(lease, input).catch(() => input) }),
    caughtBy: 'a takeover gets a held session and fences off its holder',
  },
  'lists by name': {
    change: (store) => ({
      async list(options) {
        const page = await store.list(options);
        return { ...page, sessions: page.sessions.sort((one, other) => (one.id < other.id ? -1 : 1)) };
      },
    }),
    caughtBy: 'sessions are listed in the order they were created, whoever was held or saved last',
  },
  'pages by counting': {
    change: (store) => ({
      async list({ limit = 100, cursor = '0' } = {}) {
        const { sessions } = await store.list({ limit: 1_000 });
        const end = Number(cursor) + limit;
        const page = sessions.slice(Number(cursor), end);
        return end < sessions.length ? { sessions: page, next: String(end) } : { sessions: page };
      },
    }),
    caughtBy: 'paging misses nothing and repeats nothing while sessions come and go',
  },
  'takes any cursor': {
    change: (store) => ({ list: (options) => store.list(options).catch(() => ({ sessions: [] })) }),
    caughtBy: 'a cursor that no page gave is refused',
  },
  'forgets the parent': {
    change: (store) => ({ save: (lease, { parent: _, ...save }) => store.save(lease, save) }),
    caughtBy: 'a fork remembers where it came from',
  },
  'calls every refusal a lost lease': {
    change: (store) => ({
      save: (lease, save) => store.save(lease, save).catch(() => Promise.reject(new LeaseLostError(lease.sessionId))),
    }),
    caughtBy: 'a save on anything but the head is a conflict and writes nothing',
  },
  'does not say which session was lost': {
    change: (store) => ({
      save: (lease, save) =>
        store
          .save(lease, save)
          .catch((error) => Promise.reject(error instanceof LeaseLostError ? new LeaseLostError('') : error)),
    }),
    caughtBy: 'a takeover gets a held session and fences off its holder',
  },
  'does not say which session has gone on': {
    change: (store) => ({
      save: (lease, save) =>
        store.save(lease, save).catch((error) => {
          if (!(error instanceof SessionConflictError)) throw error;
          throw new SessionConflictError('', error.expectedVersion, error.actualVersion);
        }),
    }),
    caughtBy: 'a save on anything but the head is a conflict and writes nothing',
  },
  'lists in circles': {
    change: (store) => ({
      async list({ cursor, ...options } = {}) {
        return { ...(await store.list(options)), ...(cursor === undefined ? {} : { next: cursor }) };
      },
    }),
    caughtBy: 'pages of any size make up the whole, and the last one has no next',
  },
  'adds renewals up': {
    change: (store) => {
      let renewals = 1;
      return {
        renew(lease, ttlMs) {
          renewals += 1;
          return store.renew(lease, ttlMs * renewals);
        },
      };
    },
    caughtBy: 'a renewed lease ends when its new time is over, however much of the old one was left',
  },
  'takes over only what was saved': {
    change: (store) => ({
      async acquire(id, options) {
        const isSaved = (await store.load(id)) !== undefined;
        return store.acquire(id, { ...options, takeover: options.takeover === true && isSaved });
      },
    }),
    caughtBy: 'a takeover gets a session that is held and was never saved',
  },
  'never says when it was updated': {
    change: (store) => ({
      async load(id, options) {
        const stored = await store.load(id, options);
        return stored && { ...stored, updatedAt: stored.createdAt };
      },
    }),
    caughtBy: 'times are ISO 8601: created once, updated by every save',
  },
  'weighs nothing': {
    change: (store) => ({
      async load(id, options) {
        const stored = await store.load(id, options);
        return stored && { ...stored, size: 0 };
      },
    }),
    caughtBy: 'the size of a version is that of what it is loaded from',
  },
  'saves no change that changes nothing': {
    change: (store) => ({
      async save(lease, save) {
        if (save.change.kind === 'checkpoint' || save.change.patch.length > 0) await store.save(lease, save);
      },
    }),
    caughtBy: 'a patch without operations is a version, too',
  },
  'goes on keeping as few versions as it was told once': {
    change: (store) => {
      let keep: { keepVersions?: number } = {};
      return {
        save(lease, { keepVersions, ...save }) {
          if (keepVersions !== undefined) keep = { keepVersions };
          return store.save(lease, { ...save, ...keep });
        },
      };
    },
    caughtBy: 'keepVersions is for one save: the next one without it drops nothing',
  },
  'knows no inputs of old versions': {
    change: (store) => ({
      async load(id, options) {
        const stored = await store.load(id, options);
        return stored && { ...stored, pending: stored.version === stored.head ? stored.pending : [] };
      },
    }),
    caughtBy: 'an input is pending whichever version is loaded',
  },
  'accepts inputs of saved sessions only': {
    change: (store) => ({
      async accept(lease, input) {
        if ((await store.load(lease.sessionId)) === undefined) throw new LeaseLostError(lease.sessionId);
        return store.accept(lease, input);
      },
    }),
    caughtBy: 'an input may be accepted before the first version',
  },
  'keeps what a released session has left': {
    change: (store) => ({
      async release(lease) {
        if ((await store.load(lease.sessionId)) !== undefined) await store.release(lease);
      },
    }),
    caughtBy: 'an input of a session that was never saved is forgotten with its release',
  },
  'ends an input by its own attempt only': {
    change: (store) => ({
      async accept(lease, input) {
        const pending = (await store.load(lease.sessionId))?.pending.find(({ id }) => id === input.id);
        return pending !== undefined && input.done && input.attempt > pending.attempt
          ? pending
          : store.accept(lease, input);
      },
    }),
    caughtBy: 'a higher attempt takes the place of a lower one, and not the other way round',
  },
};

describe('a store that', () => {
  test.each(Object.entries(broken))('%s', async (_name, { change, caughtBy }) => {
    expect(await failures(onManualClock(change), [], caughtBy)).toEqual([caughtBy]);
  });
});

test('a store that breaks nothing passes, with a clock that is moved and with one that is waited for', async () => {
  expect(await failures(onManualClock(() => ({})))).toEqual([]);
  const store = () => new MemorySessionStore();
  const create = () => {
    const same = store();
    return { store: same, reopen: async () => same };
  };
  expect(await failures(create)).toEqual([]);
});

test('a store that is not opened again must say why', async () => {
  const without = () => ({ store: new MemorySessionStore() });
  const failed = await failures(without);
  expect(failed.length).toBeGreaterThan(0);
  expect(
    await failures(
      without,
      failed.map((name) => ({ case: name, reason: 'it keeps nothing' })),
    ),
  ).toEqual([]);
});

test('what `create` should have answered is said, and a store that cannot be disposed of hides no failure', async () => {
  const messages = async (given: unknown) => {
    const found: string[] = [];
    const cases: (() => Promise<void>)[] = [];
    testSessionStore({ test: (_name, run) => cases.push(run), create: () => given as StoreUnderTest });
    for (const run of cases.slice(0, 2)) await run().catch((error: Error) => found.push(error.message));
    return found;
  };
  const advice = 'expected `create` to answer `{ store }`, with a store in it';
  expect(await messages(new MemorySessionStore())).toEqual([advice, advice]);
  expect(await messages(undefined)).toEqual([advice, advice]);
  const broken = altered(new MemorySessionStore(), () => ({ load: () => Promise.reject(new Error('no disk')) }));
  const dispose = () => {
    throw new Error('cannot be closed either');
  };
  expect(await messages({ store: broken, dispose })).toEqual(['no disk', 'no disk']);
  expect(await messages({ store: new MemorySessionStore(), dispose })).toContain('cannot be closed either');
});

test('a store is disposed of after every case, whether it passes or not', async () => {
  let open = 0;
  const create = () => {
    open += 1;
    const dispose = () => {
      open -= 1;
    };
    return { store: new MemorySessionStore(), dispose };
  };
  expect((await failures(create)).length).toBeGreaterThan(0);
  expect(open).toBe(0);
});

describe('a skip', () => {
  const skip = [{ case: 'an empty store lists nothing', reason: 'the author says so' }];
  const create = onManualClock(() => ({}));

  test("goes through the runner's own skip, with its reason in the title", () => {
    const titles: string[] = [];
    testSessionStore({ test: Object.assign(() => {}, { skip: (title: string) => titles.push(title) }), create, skip });
    expect(titles).toEqual(['an empty store lists nothing (skipped: the author says so)']);
  });

  test('keeps its reason in the title where the runner knows no skip', () => {
    const titles: string[] = [];
    testSessionStore({ test: (title) => titles.push(title), create, skip });
    expect(titles).toContain('an empty store lists nothing (skipped: the author says so)');
  });

  test.each([
    ['an unknown case', { case: 'no such case', reason: 'because' }],
    ['no reason', { case: 'an empty store lists nothing', reason: ' ' }],
  ])('with %s is refused', (_what, one) => {
    const suite = () => testSessionStore({ test: () => {}, create, skip: [one] });
    expect(suite).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }));
  });
});
