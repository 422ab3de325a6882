/** Cases: the fence. Who has lost a session writes nothing to it any more. */
import assert from 'node:assert/strict';
import type { SessionLease, SessionStore } from '../../session/store.js';
import {
  create,
  hasGrown,
  hold,
  holdShortly,
  isLost,
  letShortLeasesExpire,
  mustLoad,
  newestRecord,
  patch,
  refused,
  type StoreCase,
  whole,
} from './case.js';

const id = 'session';
const ttlMs = 60_000;
const input = { id: 'i', run: 'run-1', turn: 1, attempt: 1, done: false };

/** Losing a session to another owner. */
export const takeoverCases: readonly StoreCase[] = [
  {
    name: 'a takeover gets a held session and fences off its holder',
    async run({ store }) {
      const first = await create(store, id);
      const second = await takeOver(store, 'run-2');
      hasGrown(first, second);
      await isFencedOff(store, first);
      await stillWrites(store, second);
    },
  },
  {
    name: 'a takeover of a session that is free, or unknown, is an acquisition',
    async run({ store }) {
      const first = await takeOver(store, 'run-1');
      await store.save(first, { expectedVersion: 0, change: whole({ count: 0 }) });
      await store.release(first);
      await stillWrites(store, await takeOver(store, 'run-2'));
    },
  },
  {
    name: 'a takeover gets a session that is held and was never saved',
    async run({ store }) {
      const first = await hold(store, id);
      const second = await takeOver(store, 'run-2');
      await refused(store.save(first, { expectedVersion: 0, change: whole({ count: 99 }) }), 'LEASE_LOST');
      await store.save(second, { expectedVersion: 0, change: whole({ count: 0 }) });
      assert.deepEqual(await newestRecord(store, id), { count: 0 });
    },
  },
  {
    name: 'who takes an expired lease fences off its holder',
    async run(given) {
      const { store } = given;
      await store.release(await create(store, id));
      const first = await holdShortly(store, id);
      await letShortLeasesExpire(given);
      const second = await hold(store, id, 'run-2');
      await isFencedOff(store, first);
      await stillWrites(store, second);
    },
  },
  {
    name: 'a lease that was lost stays lost when the session is free again',
    async run({ store }) {
      const first = await create(store, id);
      await store.release(await takeOver(store, 'run-2'));
      await isFencedOff(store, first);
    },
  },
  {
    name: 'a lease that was lost stays lost when its owner holds the session again',
    async run({ store }) {
      const first = await create(store, id);
      await takeOver(store, 'run-2');
      const again = await takeOver(store, 'run-1');
      await isFencedOff(store, first);
      await stillWrites(store, again);
    },
  },
  {
    name: 'releasing a lost lease does not free the session',
    async run({ store }) {
      const first = await create(store, id);
      const second = await takeOver(store, 'run-2');
      await store.release(first);
      assert.equal(await store.acquire(id, { owner: 'run-3', ttlMs }), undefined);
      await stillWrites(store, second);
    },
  },
  {
    name: 'a lost lease is told before a conflict',
    async run({ store }) {
      const first = await create(store, id);
      await takeOver(store, 'run-2');
      await refused(store.save(first, { expectedVersion: 5, change: whole({}) }), 'LEASE_LOST');
    },
  },
];

async function takeOver(store: SessionStore, owner: string): Promise<SessionLease> {
  const lease = await store.acquire(id, { owner, ttlMs, takeover: true });
  assert.ok(lease, 'expected the takeover to get the lease');
  return lease;
}

async function isFencedOff(store: SessionStore, lease: SessionLease): Promise<void> {
  const before = await mustLoad(store, id);
  assert.equal(await store.renew(lease, ttlMs), false);
  await isLost(store.save(lease, { expectedVersion: before.head, change: whole({ count: 99 }) }), id);
  await isLost(store.accept(lease, input), id);
  assert.deepEqual(await mustLoad(store, id), before);
}

async function stillWrites(store: SessionStore, lease: SessionLease): Promise<void> {
  const { head } = await mustLoad(store, id);
  const change = patch({ op: 'replace', path: '/count', value: 7 });
  await store.save(lease, { expectedVersion: head, change });
  assert.deepEqual(await newestRecord(store, id), { count: 7 });
}
