/** Cases: what was answered is there for the next process. Stores that keep nothing skip them. */
import assert from 'node:assert/strict';
import type { SessionStore } from '../../session/store.js';
import {
  allIds,
  create,
  hasGrown,
  hold,
  mustLoad,
  newestRecord,
  patch,
  refused,
  type StoreCase,
  type StoreUnderTest,
  whole,
} from './case.js';

const id = 'session';
const ttlMs = 60_000;

/** What a store that is opened again still knows. */
export const reopenCases: readonly StoreCase[] = [
  {
    name: 'a store opened again has every version and every input',
    async run(given) {
      const { store } = given;
      const lease = await hold(store, id);
      const parent = { sessionId: 'parent', version: 1 };
      await store.save(lease, { expectedVersion: 0, change: whole({ count: 0 }), parent });
      for (let version = 1; version < 10; version++)
        await store.save(lease, { expectedVersion: version, change: countTo(version) });
      await store.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false, input: 'text' });
      const before = await mustLoad(store, id);
      const again = await reopened(given);
      assert.deepEqual(await mustLoad(again, id), before);
      for (let version = 1; version <= 10; version++)
        assert.equal((await mustLoad(again, id, version)).patches.length, version - 1);
    },
  },
  {
    name: 'a lease outlives the process that took it, and so does its fence',
    async run(given) {
      const lease = await create(given.store, id);
      const again = await reopened(given);
      assert.equal(await again.acquire(id, { owner: 'run-2', ttlMs }), undefined);
      await again.save(lease, { expectedVersion: 1, change: countTo(1) });
      await again.release(lease);
      const next = await hold(again, id, 'run-2');
      hasGrown(lease, next);
      await refused(again.save(lease, { expectedVersion: 2, change: countTo(99) }), 'LEASE_LOST');
      assert.deepEqual(await newestRecord(again, id), { count: 1 });
    },
  },
  {
    name: 'a store opened again lists in the same order and knows the cursors of before',
    async run(given) {
      for (const name of ['c', 'a', 'b']) await create(given.store, name);
      const { next = '' } = await given.store.list({ limit: 1 });
      const again = await reopened(given);
      await create(again, '0');
      assert.deepEqual(await allIds(again), ['c', 'a', 'b', '0']);
      assert.deepEqual(
        (await again.list({ cursor: next })).sessions.map((session) => session.id),
        ['a', 'b', '0'],
      );
    },
  },
  {
    name: 'what was deleted is not there when the store is opened again',
    async run(given) {
      const lease = await create(given.store, id);
      await given.store.delete(id);
      const again = await reopened(given);
      assert.equal(await again.load(id), undefined);
      await refused(again.save(lease, { expectedVersion: 1, change: countTo(1) }), 'LEASE_LOST');
      hasGrown(lease, await hold(again, id));
    },
  },
  {
    name: 'tenants are still apart when the store is opened again',
    async run(given) {
      for (const tenant of ['a', 'b']) await create(given.store.forTenant(tenant), id, { tenant });
      const again = await reopened(given);
      for (const tenant of ['a', 'b']) assert.deepEqual(await newestRecord(again.forTenant(tenant), id), { tenant });
      assert.deepEqual(await allIds(again), []);
    },
  },
];

function countTo(value: number) {
  return patch({ op: 'replace', path: '/count', value });
}

async function reopened(given: StoreUnderTest): Promise<SessionStore> {
  assert.ok(given.reopen, '`create` gave no `reopen`: skip this case, with the reason, if the store keeps nothing');
  return given.reopen();
}
