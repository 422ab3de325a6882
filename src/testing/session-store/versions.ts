/** Cases: versions follow one another, and none is lost. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { SessionLease, SessionSave, SessionStore } from '../../session/store.js';
import {
  create,
  eventually,
  hold,
  mustLoad,
  newestRecord,
  patch,
  recordOf,
  refused,
  type StoreCase,
  whole,
} from './case.js';

const id = 'session';
const countTo = (value: number) => patch({ op: 'replace', path: '/count', value });

/** Versions and the compare-and-set between them. */
export const versionCases: readonly StoreCase[] = [
  {
    name: 'a session that was never saved is not there',
    async run({ store }) {
      assert.equal(await store.load(id), undefined);
      assert.equal(await store.load(id, { version: 1 }), undefined);
    },
  },
  {
    name: 'the first version is what was saved',
    async run({ store }) {
      await create(store, id, { count: 7 });
      const { checkpoint, patches, version, head, pending, ...rest } = await mustLoad(store, id);
      assert.deepEqual(
        { checkpoint, patches, version, head, pending, id: rest.id },
        { checkpoint: { count: 7 }, patches: [], version: 1, head: 1, pending: [], id },
      );
      assert.equal(rest.parent, undefined);
    },
  },
  {
    name: 'every version loads, from the newest whole record at or before it',
    run: ({ store }) => everyVersionLoads(store),
  },
  {
    name: 'a version that was never saved is not there',
    async run({ store }) {
      await create(store, id);
      for (const version of [0, -1, 2, 1.5, Number.NaN, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY]) {
        assert.equal(await store.load(id, { version }), undefined, `version ${version}`);
      }
    },
  },
  {
    name: 'a save on anything but the head is a conflict and writes nothing',
    async run({ store }) {
      const lease = await create(store, id);
      await store.save(lease, { expectedVersion: 1, change: countTo(1) });
      for (const expectedVersion of [0, 1, 3]) {
        const change = expectedVersion === 0 ? whole({ count: 99 }) : countTo(99);
        const {
          sessionId,
          actualVersion,
          expectedVersion: named,
        } = (await refused(store.save(lease, { expectedVersion, change }), 'SESSION_CONFLICT')) as Facts;
        assert.deepEqual(
          { sessionId, named, actualVersion },
          { sessionId: id, named: expectedVersion, actualVersion: 2 },
        );
      }
      assert.deepEqual(recordOf(await mustLoad(store, id)), { count: 1 });
      assert.equal((await mustLoad(store, id)).head, 2);
    },
  },
  {
    name: 'a save to a session that was never created is a conflict',
    async run({ store }) {
      await refused(store.save(await hold(store, id), { expectedVersion: 1, change: countTo(1) }), 'SESSION_CONFLICT');
      assert.equal(await store.load(id), undefined);
    },
  },
  { name: 'of many saves at once exactly one wins', run: ({ store }) => oneOfManyWins(store) },
  {
    name: 'twenty read-modify-writes at once, each retried on conflict, count to twenty',
    async run({ store }) {
      const lease = await create(store, id);
      await Promise.all(Array.from({ length: 20 }, () => increment(store, lease)));
      assert.deepEqual(await newestRecord(store, id), { count: 20 });
      assert.equal((await mustLoad(store, id)).head, 21);
    },
  },
  {
    name: 'twenty owners at once, each waiting for the lease, count to twenty',
    async run({ store }) {
      await store.release(await create(store, id));
      const work = async (owner: string) => {
        const lease = await eventually(() => store.acquire(id, { owner, ttlMs: 60_000 }));
        await increment(store, lease);
        await store.release(lease);
      };
      await Promise.all(Array.from({ length: 20 }, (_, index) => work(`run-${index}`)));
      assert.deepEqual(await newestRecord(store, id), { count: 20 });
    },
  },
  {
    name: 'a save that makes no sense is refused and writes nothing',
    async run({ store }) {
      const lease = await hold(store, id);
      const change = whole({});
      const isRefused = (save: SessionSave) => refused(store.save(lease, save), 'INVALID_VALUE', inspect(save));
      await isRefused({ expectedVersion: 0, change: patch() });
      await isRefused({ expectedVersion: 0, change: whole(undefined) });
      for (const expectedVersion of [-1, 0.5, Number.NaN]) await isRefused({ expectedVersion, change });
      for (const version of [0, -1, 1.5, Number.NaN])
        await isRefused({ expectedVersion: 0, change, parent: { sessionId: 'p', version } });
      assert.equal(await store.load(id), undefined);
      await store.save(lease, { expectedVersion: 0, change });
      await isRefused({ expectedVersion: 1, change, parent: { sessionId: 'p', version: 1 } });
      for (const keepVersions of [0, -1, 1.5, Number.NaN])
        await isRefused({ expectedVersion: 1, change, keepVersions });
      assert.equal((await mustLoad(store, id)).head, 1);
    },
  },
  {
    name: 'a fork remembers where it came from',
    async run({ store }) {
      const parent = { sessionId: '../other\ud800', version: 3 };
      const lease = await hold(store, id);
      await store.save(lease, { expectedVersion: 0, change: whole({ count: 0 }), parent });
      await store.save(lease, { expectedVersion: 1, change: countTo(1) });
      assert.deepEqual((await mustLoad(store, id)).parent, parent);
      assert.deepEqual((await mustLoad(store, id, 1)).parent, parent);
      assert.deepEqual((await store.list()).sessions[0]?.parent, parent);
      await store.save(lease, { expectedVersion: 2, change: whole({ count: 2 }), keepVersions: 1 });
      assert.deepEqual((await mustLoad(store, id)).parent, parent);
    },
  },
  {
    name: 'a patch without operations is a version, too',
    async run({ store }) {
      const lease = await create(store, id, { count: 7 });
      await store.save(lease, { expectedVersion: 1, change: patch() });
      assert.deepEqual([(await mustLoad(store, id)).head, await newestRecord(store, id)], [2, { count: 7 }]);
    },
  },
  { name: 'the size of a version is that of what it is loaded from', run: ({ store }) => sizesAreTold(store) },
  {
    name: 'times are ISO 8601: created once, updated by every save',
    async run({ store, advance }) {
      const lease = await create(store, id);
      const first = await mustLoad(store, id);
      for (const time of [first.createdAt, first.updatedAt]) assert.equal(new Date(time).toISOString(), time);
      assert.equal(first.updatedAt, first.createdAt);
      await advance?.(1_000);
      let head = 1;
      const savedLater = async () => {
        await store.save(lease, { expectedVersion: head, change: countTo(head) });
        head += 1;
        const stored = await mustLoad(store, id);
        assert.equal(stored.createdAt, first.createdAt);
        return stored.updatedAt > first.updatedAt ? stored : undefined;
      };
      const expected = 'expected `updatedAt` to change with a later save';
      // Where the clock is not ours to move, a save that falls into another millisecond than the first one comes soon.
      const newest = advance === undefined ? await eventually(savedLater, expected) : await savedLater();
      assert.ok(newest, expected);
      assert.equal((await mustLoad(store, id, 1)).updatedAt, newest.updatedAt);
    },
  },
];

interface Facts {
  readonly sessionId: string;
  readonly expectedVersion: number;
  readonly actualVersion: number;
}

async function everyVersionLoads(store: SessionStore): Promise<void> {
  const wholeOnes = [1, 7, 8, 20];
  const expected: { log: number[] }[] = [];
  const lease = await hold(store, id);
  for (let version = 1; version <= 30; version++) {
    const log = [...(expected.at(-1)?.log ?? []), version];
    expected.push({ log });
    const change = wholeOnes.includes(version) ? whole({ log }) : patch({ op: 'add', path: '/log/-', value: version });
    await store.save(lease, { expectedVersion: version - 1, change });
  }
  for (const [index, record] of expected.entries()) {
    const version = index + 1;
    const stored = await mustLoad(store, id, version);
    assert.deepEqual(recordOf(stored), record);
    assert.deepEqual([stored.version, stored.head], [version, 30]);
    const newestWhole = Math.max(...wholeOnes.filter((one) => one <= version));
    assert.equal(stored.patches.length, version - newestWhole, `patches of version ${version}`);
  }
}

async function sizesAreTold(store: SessionStore): Promise<void> {
  const lease = await create(store, id, { text: 'x'.repeat(1_000) });
  const more = (key: string) => patch({ op: 'add', path: `/${key}`, value: 'x'.repeat(3_000) });
  await store.save(lease, { expectedVersion: 1, change: more('a') });
  await store.save(lease, { expectedVersion: 2, change: more('b') });
  await store.save(lease, { expectedVersion: 3, change: whole({ text: 'x'.repeat(500) }) });
  const sizes = [1_000, 4_000, 7_000, 500];
  for (const [index, least] of sizes.entries()) {
    const { size } = await mustLoad(store, id, index + 1);
    // A store may write its JSON with more or fewer blanks than another.
    assert.ok(
      size >= least && size < least + 500,
      `expected version ${index + 1} to be some ${least} long, got ${size}`,
    );
  }
}

async function oneOfManyWins(store: SessionStore): Promise<void> {
  const lease = await create(store, id);
  for (let head = 1; head <= 5; head++) {
    const results = await Promise.allSettled(
      Array.from({ length: 30 }, (_, index) =>
        store.save(lease, { expectedVersion: head, change: countTo(head * 100 + index) }),
      ),
    );
    const winners = results.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []));
    assert.equal(winners.length, 1);
    for (const result of results)
      if (result.status === 'rejected') assert.equal(result.reason.code, 'SESSION_CONFLICT');
    assert.deepEqual(await newestRecord(store, id), { count: head * 100 + (winners[0] ?? 0) });
    assert.equal((await mustLoad(store, id)).head, head + 1);
  }
}

async function increment(store: SessionStore, lease: SessionLease): Promise<void> {
  await eventually(async () => {
    const stored = await mustLoad(store, id);
    const { count } = recordOf(stored) as { count: number };
    try {
      await store.save(lease, { expectedVersion: stored.head, change: countTo(count + 1) });
      return true;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'SESSION_CONFLICT') return undefined;
      throw error;
    }
  });
}
