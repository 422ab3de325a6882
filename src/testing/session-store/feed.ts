/** Cases: what a run says is read back, by whom it concerns and as it was. */
import assert from 'node:assert/strict';
import type { SessionStore } from '../../session/store.js';
import { create, hold, isLost, letShortLeasesExpire, refused, type StoreCase, shortLeaseMs } from './case.js';
import { feedOf, heard, feedSession as id, mustHear, runOf, say } from './feed-steps.js';
import { hostileRecord, hostileTexts } from './hostile.js';

const ttlMs = 60_000;

/** `append` and `read`. */
export const feedCases: readonly StoreCase[] = [
  {
    name: 'what a run says is read back in order, page by page',
    async run({ store }) {
      const lease = await runOf(store);
      await say(store, lease, 0, 'a', 'b', 'c');
      await say(store, lease, 3, 'd');
      await say(store, lease, 4, 'e', 'f', 'g');
      const page = { run: 'run-1', first: 0, end: 7, isHeld: true };
      for (const [from, entries] of [
        [0, ['a', 'b']],
        [2, ['c', 'd']],
        [4, ['e', 'f']],
        [6, ['g']],
        [7, []],
        [9, []],
      ] as const) {
        assert.deepEqual(await feedOf(store).read(id, { from, limit: 2 }), { ...page, start: from, entries });
      }
      const all = { ...page, start: 0, entries: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] };
      assert.deepEqual(await mustHear(store), all);
      assert.deepEqual(await mustHear(store, 'run-1'), all);
    },
  },
  {
    name: 'a run that holds the session and has said nothing has an empty page',
    async run({ store }) {
      await runOf(store);
      const empty = { run: 'run-1', first: 0, end: 0, start: 0, entries: [], isHeld: true };
      assert.deepEqual(await heard(store), empty);
      assert.deepEqual(await heard(store, 'run-1'), empty);
    },
  },
  {
    name: 'of a run there never was nothing is read',
    async run({ store }) {
      assert.equal(await heard(store), undefined);
      assert.equal(await heard(store, 'run-1'), undefined);
      const lease = await runOf(store);
      assert.equal(await heard(store, 'run-2'), undefined);
      await say(store, lease, 0, 'a');
      assert.equal(await heard(store, 'run-2'), undefined);
      assert.equal(await heard(store, 'run-1', 'another'), undefined);
    },
  },
  {
    name: 'a run that is over is read until the next one speaks',
    async run({ store }) {
      const first = await runOf(store);
      await say(store, first, 0, 'a', 'b');
      await store.release(first);
      const over = { run: 'run-1', first: 0, end: 2, start: 0, entries: ['a', 'b'], isHeld: false };
      assert.deepEqual(await heard(store), over);
      const second = await runOf(store, 'run-2');
      assert.equal((await mustHear(store)).run, 'run-2', 'the run that holds the session comes first');
      assert.deepEqual(await heard(store, 'run-1'), over);
      await say(store, second, 0, 'x');
      assert.equal(await heard(store, 'run-1'), undefined);
      const next = { run: 'run-2', first: 0, end: 1, start: 0, entries: ['x'], isHeld: true };
      assert.deepEqual(await heard(store), next);
      assert.deepEqual(await heard(store, 'run-2'), next);
    },
  },
  {
    name: 'a run whose lease has expired does not hold the session, and may still speak until another takes it',
    async run(given) {
      const { store } = given;
      await store.release(await create(store, id));
      const first = await hold(store, id);
      await say(store, first, 0, 'a');
      assert.equal((await mustHear(store)).isHeld, true);
      await store.renew(first, shortLeaseMs);
      await letShortLeasesExpire(given);
      assert.equal((await mustHear(store)).isHeld, false);
      await say(store, first, 1, 'b');
      assert.deepEqual((await mustHear(store)).entries, ['a', 'b']);
      await hold(store, id, 'run-2');
      await refused(feedOf(store).append(first, { start: 2, entries: ['c'], keep: 9, ttlMs }), 'LEASE_LOST');
      assert.deepEqual((await mustHear(store, 'run-1')).entries, ['a', 'b']);
    },
  },
  {
    name: 'an append with a lease that is not the current one is refused and adds nothing',
    async run({ store }) {
      const lease = await runOf(store);
      await say(store, lease, 0, 'a');
      await create(store, 'another');
      const append = { start: 1, entries: ['b'], keep: 9, ttlMs };
      for (const forgery of [
        { ...lease, fence: lease.fence + 1 },
        { ...lease, fence: lease.fence - 1 },
        { ...lease, owner: 'run-2' },
        { ...lease, sessionId: 'another' },
        { ...lease, sessionId: 'unknown' },
      ]) {
        await refused(feedOf(store).append(forgery, append), 'LEASE_LOST');
      }
      const second = await runOf(store, 'run-2');
      await isLost(feedOf(store).append(lease, append), id);
      assert.deepEqual((await mustHear(store, 'run-1')).entries, ['a']);
      await store.release(second);
      await refused(feedOf(store).append(second, append), 'LEASE_LOST');
      assert.equal(await heard(store, 'run-2'), undefined);
    },
  },
  {
    name: 'a tenant reads no feed of another, and adds to none',
    async run({ store }) {
      const [a, b] = [store.forTenant('a'), store.forTenant('b')];
      const lease = await runOf(a);
      await say(a, lease, 0, 'secret');
      for (const other of [b, store, a.forTenant('a')]) {
        assert.equal(await heard(other), undefined);
        assert.equal(await heard(other, 'run-1'), undefined);
        await refused(feedOf(other).append(lease, { start: 1, entries: ['x'], keep: 9, ttlMs }), 'LEASE_LOST');
      }
      await say(b, await runOf(b), 0, 'other');
      assert.deepEqual((await mustHear(store.forTenant('a'))).entries, ['secret']);
      assert.deepEqual((await mustHear(b)).entries, ['other']);
    },
  },
  { name: 'any text is a session and a run with a feed of its own', run: ({ store }) => anyTextHasItsOwn(store) },
  {
    name: 'any JSON is an entry, and comes back as it was',
    async run({ store }) {
      const lease = await runOf(store);
      const entries = [hostileRecord, null, 0, '', false, [], {}, [hostileRecord], '\ud800', 'x'.repeat(2_000_000)];
      await say(store, lease, 0, ...entries);
      for (const [index, entry] of entries.entries()) await say(store, lease, entries.length + index, entry);
      assert.deepEqual((await mustHear(store)).entries, [...entries, ...entries]);
      assert.equal(Reflect.get({}, 'polluted'), undefined);
    },
  },
  { name: 'what is no entry, or no number in range, is refused and adds nothing', run: ({ store }) => bad(store) },
  {
    name: 'entries are taken at the moment of the call, and what is read is its reader’s own',
    async run({ store }) {
      const lease = await runOf(store);
      const given = { ...lease };
      const entry = { text: 'given' };
      const append = { start: 0, entries: [entry], keep: 9, ttlMs };
      const appending = feedOf(store).append(given, append);
      entry.text = 'changed';
      append.entries.push({ text: 'changed' });
      append.start = 5;
      given.sessionId = 'changed';
      await appending;
      const page = await mustHear(store);
      assert.deepEqual(page.entries, [{ text: 'given' }]);
      Reflect.set(page.entries[0] as object, 'text', 'scribbled');
      assert.deepEqual((await mustHear(store)).entries, [{ text: 'given' }]);
    },
  },
];

async function anyTextHasItsOwn(store: SessionStore): Promise<void> {
  for (const [index, text] of hostileTexts.entries()) {
    await say(store, await hold(store, text, text), 0, { index });
  }
  for (const [index, text] of hostileTexts.entries()) {
    const page = await mustHear(store, text, text);
    assert.ok(page.run === text, `run ${index} was mixed up`);
    assert.deepEqual(page.entries, [{ index }]);
    const other = hostileTexts[(index + 1) % hostileTexts.length] ?? '';
    assert.equal(await heard(store, other, text), undefined, `run ${index} was taken for another`);
  }
}

async function bad(store: SessionStore): Promise<void> {
  const lease = await runOf(store);
  const feed = feedOf(store);
  const good = { start: 0, entries: ['a'], keep: 9, ttlMs };
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  for (const entry of [cycle, 1n, undefined, () => {}]) {
    await refused(feed.append(lease, { ...good, entries: ['a', entry] }), 'INVALID_VALUE');
  }
  await refused(feed.append(lease, { ...good, entries: [] }), 'INVALID_VALUE');
  for (const number of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    await refused(feed.append(lease, { ...good, start: number }), 'INVALID_VALUE');
    await refused(feed.append(lease, { ...good, keep: number }), 'INVALID_VALUE');
    await refused(feed.append(lease, { ...good, ttlMs: number }), 'INVALID_VALUE');
    await refused(feed.read(id, { from: number, limit: 1 }), 'INVALID_VALUE');
    await refused(feed.read(id, { from: 0, limit: number }), 'INVALID_VALUE');
  }
  await refused(feed.append(lease, { ...good, keep: 0 }), 'INVALID_VALUE');
  await refused(feed.append(lease, { ...good, ttlMs: 2 ** 31 }), 'INVALID_VALUE');
  await refused(feed.read(id, { from: 0, limit: 0 }), 'INVALID_VALUE');
  assert.deepEqual((await mustHear(store)).entries, []);
}
