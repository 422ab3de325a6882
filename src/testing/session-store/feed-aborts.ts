/** Cases: a run is asked to end, from wherever, and hears of it; nobody else does. */
import assert from 'node:assert/strict';
import { Deferred } from '../../internal/deferred.js';
import type { SessionLease, SessionStore } from '../../session/store.js';
import { create, hold, holdShortly, letShortLeasesExpire, type StoreCase } from './case.js';
import { feedOf, feedSession as id, runOf } from './feed-steps.js';
import { hostileTexts } from './hostile.js';

/** `requestAbort` and `listenForAbort`. */
export const feedAbortCases: readonly StoreCase[] = [
  {
    name: 'a run is told the reason when it is asked to end, also through another store',
    async run(given) {
      const { store } = given;
      const another = (await given.another?.()) ?? store;
      for (const [index, asking] of [store, another, another].entries()) {
        const sessionId = `session-${index}`;
        const listener = listen(store, await runOf(store, 'run-1', sessionId));
        assert.equal(await feedOf(asking).requestAbort(sessionId, 'run-1', `reason ${index}`), true);
        assert.equal(await listener.next, `reason ${index}`);
        listener.stop();
      }
    },
  },
  {
    name: 'a request that came before the run listened is not lost',
    async run({ store }) {
      const lease = await runOf(store);
      assert.equal(await feedOf(store).requestAbort(id, 'run-1', 'early'), true);
      assert.equal(await listen(store, lease).next, 'early');
    },
  },
  {
    name: 'of several requests the first reason counts, and the run is told once',
    async run({ store }) {
      const lease = await runOf(store);
      const listener = listen(store, lease);
      for (const reason of ['first', 'second']) {
        assert.equal(await feedOf(store).requestAbort(id, 'run-1', reason), true);
      }
      assert.equal(await listener.next, 'first');
      assert.equal(await listen(store, lease).next, 'first');
      assert.deepEqual(listener.told, ['first']);
    },
  },
  {
    name: 'every run hears of its own request only',
    async run({ store }) {
      const listeners = new Map<string, Listening>();
      for (const sessionId of ['a', 'b', 'c']) {
        listeners.set(sessionId, listen(store, await runOf(store, `run of ${sessionId}`, sessionId)));
      }
      for (const sessionId of ['b', 'c', 'a']) {
        assert.equal(await feedOf(store).requestAbort(sessionId, `run of ${sessionId}`, `end ${sessionId}`), true);
        assert.equal(await listeners.get(sessionId)?.next, `end ${sessionId}`);
      }
      for (const [sessionId, { told }] of listeners) assert.deepEqual(told, [`end ${sessionId}`]);
    },
  },
  {
    name: 'a run that does not hold the session cannot be asked to end',
    async run(given) {
      const { store } = given;
      const feed = feedOf(store);
      assert.equal(await feed.requestAbort(id, 'run-1', 'x'), false);
      const lease = await create(store, id);
      assert.equal(await feed.requestAbort(id, 'run-2', 'x'), false);
      await store.release(lease);
      assert.equal(await feed.requestAbort(id, 'run-1', 'x'), false);
      await holdShortly(store, id);
      await letShortLeasesExpire(given);
      assert.equal(await feed.requestAbort(id, 'run-1', 'x'), false);
      await hold(store, id, 'run-2');
      assert.equal(await feed.requestAbort(id, 'run-1', 'x'), false);
    },
  },
  {
    name: 'a request to one run does not reach the next',
    async run({ store }) {
      const first = await runOf(store);
      assert.equal(await feedOf(store).requestAbort(id, 'run-1', 'for the first'), true);
      const second = listen(store, await runOf(store, 'run-2'));
      assert.equal(await feedOf(store).requestAbort(id, 'run-2', 'for the second'), true);
      assert.equal(await second.next, 'for the second');
      const late = listen(store, first);
      await store.delete(id);
      const third = listen(store, await runOf(store, 'run-1'));
      assert.equal(await feedOf(store).requestAbort(id, 'run-1', 'for the third'), true);
      assert.equal(await third.next, 'for the third');
      assert.deepEqual(late.told, []);
      late.stop();
    },
  },
  {
    name: 'a run that has stopped listening is not told',
    async run({ store }) {
      const lease = await runOf(store);
      const stopped = listen(store, lease);
      const listening = listen(store, await runOf(store, 'run-1', 'another'));
      stopped.stop();
      stopped.stop();
      await feedOf(store).requestAbort(id, 'run-1', 'x');
      await feedOf(store).requestAbort('another', 'run-1', 'y');
      assert.equal(await listening.next, 'y');
      assert.equal(await listen(store, lease).next, 'x');
      assert.deepEqual(stopped.told, []);
    },
  },
  {
    name: 'a tenant asks no run of another to end',
    async run({ store }) {
      const [a, b] = [store.forTenant('a'), store.forTenant('b')];
      const listeners = [a, b].map(async (scope) => listen(scope, await runOf(scope)));
      const [ofA, ofB] = await Promise.all(listeners);
      assert.equal(await feedOf(store).requestAbort(id, 'run-1', 'from outside'), false);
      assert.equal(await feedOf(b).requestAbort(id, 'run-1', 'within b'), true);
      assert.equal(await ofB?.next, 'within b');
      assert.equal(await feedOf(a).requestAbort(id, 'run-1', 'within a'), true);
      assert.equal(await ofA?.next, 'within a');
      assert.deepEqual([ofA?.told, ofB?.told], [['within a'], ['within b']]);
    },
  },
  {
    name: 'any text is a reason',
    async run({ store }) {
      for (const [index, reason] of hostileTexts.entries()) {
        const lease = await runOf(store, `run-${index}`);
        await feedOf(store).requestAbort(id, `run-${index}`, reason);
        assert.ok((await listen(store, lease).next) === reason, `reason ${index} was changed`);
      }
    },
  },
];

interface Listening {
  /** All it was told so far. */
  readonly told: string[];
  /** What it was told first; rejects when the store can tell no more, however often it is asked. */
  readonly next: Promise<string>;
  stop(): void;
}

/** So often one listens again to a store that has become deaf. */
const mostTries = 1_000;

function listen(store: SessionStore, lease: SessionLease): Listening {
  const told: string[] = [];
  const next = new Deferred<string>();
  let tries = 0;
  let stop = () => {};
  let isStopped = false;
  const begin = () => {
    tries += 1;
    if (isStopped) return;
    stop = feedOf(store).listenForAbort(lease, {
      onAbortRequested(reason) {
        told.push(reason);
        next.resolve(reason);
      },
      onDeaf: (error) => void (tries < mostTries ? setImmediate(begin) : next.reject(error)),
    });
  };
  begin();
  const end = () => {
    isStopped = true;
    stop();
  };
  return { told, next: next.promise, stop: end };
}
