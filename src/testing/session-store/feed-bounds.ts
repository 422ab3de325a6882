/** Cases: what of a feed is kept: so many entries, for so long, and nothing twice. */
import assert from 'node:assert/strict';
import type { SessionStore } from '../../session/store.js';
import { create, hold, letShortLeasesExpire, mustLoad, refused, type StoreCase } from './case.js';
import { feedOf, heard, feedSession as id, mustHear, runOf, say } from './feed-steps.js';

const ttlMs = 60_000;
/** As long as the leases that the suite lets expire. */
const shortTtlMs = 50;
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

/** Repeats, gaps, bounds, expiry and deletion. */
export const feedBoundCases: readonly StoreCase[] = [
  {
    name: 'an append that is repeated, in whole or in part, adds nothing twice and changes nothing',
    async run({ store }) {
      const lease = await runOf(store);
      await say(store, lease, 0, 'a', 'b', 'c');
      await say(store, lease, 0, 'A', 'B', 'C');
      await say(store, lease, 1, 'B');
      assert.deepEqual((await mustHear(store)).entries, ['a', 'b', 'c']);
      await say(store, lease, 1, 'B', 'C', 'd', 'e');
      await say(store, lease, 5, 'f');
      await say(store, lease, 4, 'E', 'F', 'g');
      const { first, end, entries } = await mustHear(store);
      assert.deepEqual({ first, end, entries }, { first: 0, end: 7, entries: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] });
    },
  },
  {
    name: 'a gap makes all older entries go',
    async run({ store }) {
      const lease = await runOf(store);
      await say(store, lease, 0, 'a', 'b');
      await say(store, lease, 2, 'c');
      await say(store, lease, 10, 'k', 'l');
      const page = { run: 'run-1', first: 10, end: 12, isHeld: true };
      assert.deepEqual(await mustHear(store), { ...page, start: 10, entries: ['k', 'l'] });
      assert.deepEqual(await feedOf(store).read(id, { from: 11, limit: 9 }), { ...page, start: 11, entries: ['l'] });
      await say(store, lease, 8, 'I', 'J', 'K', 'L', 'm');
      assert.deepEqual(await mustHear(store), { ...page, end: 13, start: 10, entries: ['k', 'l', 'm'] });
    },
  },
  {
    name: 'a feed may begin with a gap',
    async run({ store }) {
      const lease = await runOf(store);
      await say(store, lease, 7, 'h');
      const { first, end, start, entries } = await mustHear(store);
      assert.deepEqual({ first, end, start, entries }, { first: 7, end: 8, start: 7, entries: ['h'] });
    },
  },
  { name: 'as many entries are kept as were asked for, and not many more', run: ({ store }) => keepsTheNewest(store) },
  {
    name: 'an append of more entries than are to be kept has its last ones kept',
    async run({ store }) {
      const lease = await runOf(store);
      await feedOf(store).append(lease, { start: 0, entries: numbers(0, 50), keep: 3, ttlMs });
      await feedOf(store).append(lease, { start: 50, entries: numbers(50, 60), keep: 3, ttlMs });
      const page = await mustHear(store);
      assert.deepEqual(page.entries.slice(-3), [57, 58, 59]);
      assert.deepEqual(page.entries, numbers(page.first, 60));
    },
  },
  {
    name: 'once its run is over a feed is kept for its time after the last append, and then gone',
    async run(given) {
      const { store } = given;
      const sessions = { short: [shortTtlMs], long: [ttlMs], prolonged: [shortTtlMs, ttlMs] };
      for (const [sessionId, times] of Object.entries(sessions)) {
        const lease = await create(store, sessionId);
        for (const [start, time] of times.entries()) {
          await feedOf(store).append(lease, { start, entries: [start], keep: 9, ttlMs: time });
        }
        await store.release(lease);
      }
      await letShortLeasesExpire(given);
      assert.equal(await heard(store, undefined, 'short'), undefined);
      assert.equal(await heard(store, 'run-1', 'short'), undefined);
      assert.deepEqual((await mustHear(store, 'run-1', 'long')).entries, [0]);
      assert.deepEqual((await mustHear(store, 'run-1', 'prolonged')).entries, [0, 1]);
    },
  },
  {
    name: 'what has expired does not come back when the session is held again, by whomever',
    async run(given) {
      const { store } = given;
      const lease = await runOf(store);
      await feedOf(store).append(lease, { start: 0, entries: ['a', 'b'], keep: 9, ttlMs: shortTtlMs });
      await store.release(lease);
      await letShortLeasesExpire(given);
      assert.equal(await heard(store), undefined);
      const second = await runOf(store, 'run-2');
      assert.equal(await heard(store, 'run-1'), undefined);
      await say(store, second, 0, 'x');
      assert.deepEqual((await mustHear(store)).entries, ['x']);
    },
  },
  {
    name: 'while its run holds the session a feed does not expire',
    async run(given) {
      const { store } = given;
      const lease = await runOf(store);
      await feedOf(store).append(lease, { start: 0, entries: ['a', 'b'], keep: 9, ttlMs: shortTtlMs });
      await letShortLeasesExpire(given);
      assert.deepEqual((await mustHear(store)).entries, ['a', 'b']);
      await say(store, lease, 2, 'c');
      assert.deepEqual((await mustHear(store)).entries, ['a', 'b', 'c']);
    },
  },
  {
    name: 'deleting a session erases its feed',
    async run({ store }) {
      const lease = await runOf(store);
      await say(store, lease, 0, 'secret');
      await store.delete(id);
      assert.equal(await heard(store), undefined);
      assert.equal(await heard(store, 'run-1'), undefined);
      await refused(feedOf(store).append(lease, { start: 1, entries: ['x'], keep: 9, ttlMs }), 'LEASE_LOST');
      const again = await create(store, id);
      assert.deepEqual((await mustHear(store)).entries, []);
      await say(store, again, 0, 'new');
      assert.deepEqual((await mustHear(store, 'run-1')).entries, ['new']);
    },
  },
  {
    name: 'of a session that was never saved no feed is left, once it is released',
    async run({ store }) {
      const lease = await hold(store, id);
      await say(store, lease, 0, 'a');
      assert.deepEqual((await mustHear(store)).entries, ['a']);
      await store.release(lease);
      assert.equal(await heard(store), undefined);
      assert.equal(await heard(store, 'run-1'), undefined);
    },
  },
  {
    name: 'a feed adds nothing to its session, nor to the listing',
    async run({ store }) {
      const lease = await runOf(store);
      const before = [await mustLoad(store, id), await store.list()];
      await say(store, lease, 0, 'a');
      await feedOf(store).requestAbort(id, 'run-1', 'enough');
      assert.deepEqual([await mustLoad(store, id), await store.list()], before);
    },
  },
];

async function keepsTheNewest(store: SessionStore): Promise<void> {
  const lease = await runOf(store);
  for (let start = 0; start < 1_000; start++) {
    await feedOf(store).append(lease, { start, entries: [start], keep: 10, ttlMs });
    if (start % 100 !== 99) continue;
    const { first, end, entries } = await mustHear(store);
    assert.equal(end, start + 1);
    assert.ok(first <= end - 10, `only ${end - first} entries were kept`);
    assert.deepEqual(entries, numbers(first, end));
  }
  const { first, end } = await mustHear(store);
  assert.ok(end - first <= 500, `${end - first} entries were kept`);
}
