/** Cases: one writer at a time, by a lease that is taken, kept and given up. */
import assert from 'node:assert/strict';
import {
  create,
  hasGrown,
  hold,
  holdShortly,
  letShortLeasesExpire,
  mustLoad,
  newestRecord,
  patch,
  refused,
  type StoreCase,
  shortLeaseMs,
  whole,
} from './case.js';

const id = 'session';
const ttlMs = 60_000;
const countTo = (value: number) => patch({ op: 'replace', path: '/count', value });

/** Taking, renewing and releasing. */
export const leaseCases: readonly StoreCase[] = [
  {
    name: 'a lease names the session, its owner and a fence',
    async run({ store }) {
      const { fence, ...lease } = await hold(store, id, 'run-1');
      assert.deepEqual(lease, { sessionId: id, owner: 'run-1' });
      assert.ok(Number.isSafeInteger(fence), `expected a fence that is a whole number, got ${String(fence)}`);
    },
  },
  {
    name: 'a session that is held is refused to every other owner',
    async run({ store }) {
      await hold(store, id, 'run-1');
      assert.equal(await store.acquire(id, { owner: 'run-2', ttlMs }), undefined);
      await create(store, 'another');
      assert.equal(await store.acquire(id, { owner: 'run-2', ttlMs, takeover: false }), undefined);
    },
  },
  {
    name: 'of many owners at once exactly one gets the lease',
    async run({ store }) {
      const leases = await Promise.all(
        Array.from({ length: 20 }, (_, index) => store.acquire(id, { owner: `run-${index}`, ttlMs })),
      );
      assert.equal(leases.filter((lease) => lease !== undefined).length, 1);
    },
  },
  {
    name: 'the holder may acquire again, and only its newest lease counts',
    async run({ store }) {
      const first = await create(store, id);
      const second = await hold(store, id);
      hasGrown(first, second);
      await refused(store.save(first, { expectedVersion: 1, change: countTo(1) }), 'LEASE_LOST');
      await store.save(second, { expectedVersion: 1, change: countTo(2) });
      assert.deepEqual(await newestRecord(store, id), { count: 2 });
    },
  },
  {
    name: 'a session held but never saved is not there, and released leaves nothing',
    async run({ store }) {
      const lease = await hold(store, id);
      assert.equal(await store.load(id), undefined);
      assert.deepEqual(await store.list(), { sessions: [] });
      await store.release(lease);
      assert.deepEqual(await store.list(), { sessions: [] });
      await refused(store.save(lease, { expectedVersion: 0, change: whole({}) }), 'LEASE_LOST');
      assert.equal(await store.load(id), undefined);
    },
  },
  {
    name: 'a release lets the next one in and ends the lease',
    async run({ store }) {
      const first = await create(store, id);
      await store.release(first);
      assert.equal(await store.renew(first, ttlMs), false);
      await refused(store.save(first, { expectedVersion: 1, change: countTo(1) }), 'LEASE_LOST');
      await store.save(await hold(store, id, 'run-2'), { expectedVersion: 1, change: countTo(2) });
      assert.deepEqual(await newestRecord(store, id), { count: 2 });
    },
  },
  {
    name: 'releasing twice does nothing',
    async run({ store }) {
      const lease = await create(store, id);
      await store.release(lease);
      await store.release(lease);
      assert.equal((await mustLoad(store, id)).head, 1);
      assert.equal(await store.renew(lease, ttlMs), false);
    },
  },
  {
    name: 'a lease that fits in all but one part is not the lease',
    async run({ store }) {
      const lease = await create(store, id);
      await create(store, 'another');
      const forgeries = [
        { ...lease, fence: lease.fence + 1 },
        { ...lease, fence: lease.fence - 1 },
        ...[lease.fence + 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 70].map((fence) => ({ ...lease, fence })),
        { ...lease, owner: 'run-2' },
        { ...lease, owner: '' },
        { ...lease, sessionId: 'another' },
        { ...lease, sessionId: 'unknown' },
      ];
      for (const forgery of forgeries) {
        await refused(store.save(forgery, { expectedVersion: 1, change: countTo(99) }), 'LEASE_LOST');
        assert.equal(await store.renew(forgery, ttlMs), false);
        await store.release(forgery);
      }
      assert.deepEqual(await newestRecord(store, id), { count: 0 });
      assert.deepEqual(await newestRecord(store, 'another'), { count: 0 });
      assert.equal(await store.renew(lease, ttlMs), true);
    },
  },
  {
    name: 'fences only grow, across release, takeover and deletion',
    async run({ store }) {
      const fences: number[] = [];
      for (let round = 0; round < 3; round++) {
        const first = await create(store, id);
        await store.release(first);
        const second = await hold(store, id, 'run-2');
        const third = await store.acquire(id, { owner: 'run-3', ttlMs, takeover: true });
        fences.push(first.fence, second.fence, third?.fence ?? 0);
        await store.delete(id);
      }
      assert.deepEqual(
        fences,
        [...new Set(fences)].sort((one, other) => one - other),
      );
    },
  },
  {
    name: 'an expired lease can be taken by another owner',
    async run(given) {
      const { store } = given;
      const first = await holdShortly(store, id);
      await letShortLeasesExpire(given);
      const second = await hold(store, id, 'run-2');
      hasGrown(first, second);
    },
  },
  {
    name: 'an expired lease that nobody took still writes',
    async run(given) {
      const { store } = given;
      const lease = await holdShortly(store, id);
      await letShortLeasesExpire(given);
      await store.save(lease, { expectedVersion: 0, change: whole({ count: 1 }) });
      assert.equal(await store.renew(lease, ttlMs), true);
      assert.equal(await store.acquire(id, { owner: 'run-2', ttlMs }), undefined);
    },
  },
  {
    name: 'a renewed lease outlives its first time',
    async run(given) {
      const { store } = given;
      const lease = await holdShortly(store, id);
      assert.equal(await store.renew(lease, ttlMs), true);
      await letShortLeasesExpire(given);
      assert.equal(await store.acquire(id, { owner: 'run-2', ttlMs }), undefined);
      await store.save(lease, { expectedVersion: 0, change: whole({ count: 1 }) });
    },
  },
  {
    name: 'a renewed lease ends when its new time is over, however much of the old one was left',
    async run(given) {
      const { store } = given;
      const lease = await hold(store, id);
      for (let time = 0; time < 3; time++) assert.equal(await store.renew(lease, shortLeaseMs), true);
      await letShortLeasesExpire(given);
      hasGrown(lease, await hold(store, id, 'run-2'));
    },
  },
  {
    name: 'a lease for no time, or for no number, is refused',
    async run({ store }) {
      const lease = await hold(store, id);
      for (const bad of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
        await refused(
          store.acquire('other', { owner: 'run-1', ttlMs: bad }),
          'INVALID_VALUE',
          `taking it for ${bad} ms`,
        );
        await refused(store.renew(lease, bad), 'INVALID_VALUE', `renewing it for ${bad} ms`);
      }
    },
  },
];
