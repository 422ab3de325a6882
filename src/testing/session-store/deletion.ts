/** Cases: a deleted session is gone, and stays gone for whoever held it. */
import assert from 'node:assert/strict';
import type { SessionLease, SessionStore } from '../../session/store.js';
import { create, hold, mustLoad, newestRecord, patch, refused, type StoreCase, whole } from './case.js';

const id = 'session';
const ttlMs = 60_000;
const input = { id: 'i', run: 'run-1', turn: 1, attempt: 1, done: false, input: 'secret' };

/** `delete`. */
export const deletionCases: readonly StoreCase[] = [
  {
    name: 'a deleted session is gone: versions, inputs, lease and its line in the listing',
    async run({ store }) {
      await createWithHistory(store);
      await create(store, 'another');
      assert.equal(await store.delete(id), true);
      for (const version of [undefined, 1, 2])
        assert.equal(await store.load(id, version === undefined ? {} : { version }), undefined);
      assert.deepEqual(
        (await store.list()).sessions.map((session) => session.id),
        ['another'],
      );
      assert.equal((await mustLoad(store, 'another')).head, 1);
      await hold(store, id, 'run-2');
    },
  },
  {
    name: 'deleting what is not there answers false',
    async run({ store }) {
      assert.equal(await store.delete(id), false);
      await create(store, id);
      assert.equal(await store.delete(id), true);
      assert.equal(await store.delete(id), false);
    },
  },
  {
    name: 'deleting a session that is held but was never saved answers false and ends the lease',
    async run({ store }) {
      const lease = await hold(store, id);
      assert.equal(await store.delete(id), false);
      await refused(store.save(lease, { expectedVersion: 0, change: whole({}) }), 'LEASE_LOST');
      await hold(store, id, 'run-2');
    },
  },
  {
    name: 'a session made again under the id of a deleted one has none of its past',
    async run({ store }) {
      await createWithHistory(store);
      await store.delete(id);
      const lease = await hold(store, id, 'run-2');
      await store.save(lease, { expectedVersion: 0, change: whole({ fresh: true }) });
      const { checkpoint, patches, head, pending, parent } = await mustLoad(store, id);
      assert.deepEqual(
        { checkpoint, patches, head, pending, parent },
        { checkpoint: { fresh: true }, patches: [], head: 1, pending: [], parent: undefined },
      );
      assert.equal(await store.load(id, { version: 2 }), undefined);
      const done = { id: 'done', run: 'run-2', turn: 5, attempt: 1, done: false };
      assert.deepEqual(await store.accept(lease, done), done);
    },
  },
  {
    name: 'whoever held a deleted session writes nothing, not even once it is there again',
    async run({ store }) {
      const old = await createWithHistory(store);
      await store.delete(id);
      await isRefused(store, old);
      assert.equal(await store.load(id), undefined);
      const lease = await hold(store, id, 'run-2');
      await isRefused(store, old);
      await store.save(lease, { expectedVersion: 0, change: whole({ count: 0 }) });
      await isRefused(store, old);
      assert.deepEqual(await newestRecord(store, id), { count: 0 });
    },
  },
  {
    name: 'nor does the old lease of an owner who holds the new session',
    async run({ store }) {
      const old = await create(store, id);
      await store.delete(id);
      const lease = await create(store, id);
      assert.equal(lease.owner, old.owner);
      await isRefused(store, old);
      await store.save(lease, { expectedVersion: 1, change: patch({ op: 'replace', path: '/count', value: 2 }) });
      assert.deepEqual(await newestRecord(store, id), { count: 2 });
    },
  },
];

async function createWithHistory(store: SessionStore): Promise<SessionLease> {
  const lease = await hold(store, id);
  const parent = { sessionId: 'parent', version: 1 };
  await store.save(lease, { expectedVersion: 0, change: whole({ count: 0, secret: true }), parent });
  await store.save(lease, { expectedVersion: 1, change: patch({ op: 'replace', path: '/count', value: 1 }) });
  await store.accept(lease, input);
  await store.accept(lease, { ...input, id: 'done', done: true });
  return lease;
}

async function isRefused(store: SessionStore, old: SessionLease): Promise<void> {
  assert.equal(await store.renew(old, ttlMs), false);
  for (const expectedVersion of [0, 1, 2]) {
    await refused(store.save(old, { expectedVersion, change: whole({ count: 99 }) }), 'LEASE_LOST');
  }
  await refused(store.accept(old, input), 'LEASE_LOST');
  await store.release(old);
}
