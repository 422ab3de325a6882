/** Cases: who waits for more of a feed is told when there is more, or when there will be none. */
import assert from 'node:assert/strict';
import { AgentFlowError } from '../../errors.js';
import type { FeedPage, SessionStore } from '../../session/store.js';
import type { StoreCase, StoreUnderTest } from './case.js';
import { feedOf, heard, feedSession as id, mustHear, runOf, say } from './feed-steps.js';

const rounds = 20;

/** `whenGrown`. */
export const feedGrowthCases: readonly StoreCase[] = [
  {
    name: 'who waits for a feed that has grown already goes on at once',
    async run({ store }) {
      const lease = await runOf(store);
      await say(store, lease, 0, 'a', 'b');
      for (const end of [0, 1]) await toldOf(store, id, 'run-1', end);
    },
  },
  {
    name: 'who waits for a run that does not hold the session goes on at once',
    async run({ store }) {
      await toldOf(store, id, 'run-1', 0);
      const lease = await runOf(store);
      await say(store, lease, 0, 'a');
      await toldOf(store, id, 'run-2', 0);
      await store.release(lease);
      await toldOf(store, id, 'run-1', 1);
    },
  },
  {
    name: 'who waits is told when the run says more, also through another store',
    async run(given) {
      const lease = await runOf(given.store);
      const another = await besides(given);
      for (const [speaker, listener] of bothWays(given.store, another)) {
        for (let round = 0; round < rounds; round++) {
          const { end } = await mustHear(speaker);
          const waiting = untilGrown(listener, 'run-1', end);
          await say(speaker, lease, end, `entry ${end}`);
          assert.deepEqual((await waiting)?.entries.at(-1), `entry ${end}`);
        }
      }
    },
  },
  {
    name: 'everybody who waits is told',
    async run(given) {
      const { store } = given;
      const another = await besides(given);
      const sessions = ['a', 'b', 'c'];
      const leases = await Promise.all(sessions.map((sessionId) => runOf(store, 'run-1', sessionId)));
      const waiting = sessions.flatMap((sessionId) =>
        [store, another, another].map((listener) => untilGrown(listener, 'run-1', 0, sessionId)),
      );
      for (const lease of leases) await say(store, lease, 0, lease.sessionId);
      const told = (await Promise.all(waiting)).map((page) => page?.entries[0]);
      assert.deepEqual(
        told,
        sessions.flatMap((sessionId) => [sessionId, sessionId, sessionId]),
      );
    },
  },
  {
    name: 'who waits is told when the run lets the session go',
    async run(given) {
      const { store } = given;
      const another = await besides(given);
      const endings: ((sessionId: string) => Promise<unknown>)[] = [
        async (sessionId) => store.release({ ...(await runOf(store, 'run-1', sessionId)) }),
        (sessionId) => runOf(store, 'run-2', sessionId),
        (sessionId) => store.delete(sessionId),
      ];
      for (const [index, end] of endings.entries()) {
        const sessionId = `session-${index}`;
        const lease = await runOf(store, 'run-1', sessionId);
        await say(store, lease, 0, 'a');
        const waiting = [store, another].map((listener) => untilOver(listener, sessionId));
        await end(sessionId);
        await Promise.all(waiting);
      }
    },
  },
  {
    name: 'who gives up waiting is told the reason of its signal',
    async run(given) {
      const { store } = given;
      await runOf(store);
      const enough = new AgentFlowError('RUN_ABORTED', 'enough');
      const feed = feedOf(store);
      await assert.rejects(feed.whenGrown(id, 'run-1', 0, AbortSignal.abort(enough)), enough);
      const giving = new AbortController();
      // Of a run that does not hold the session it is told at once.
      const canTell = await feed.whenGrown(id, 'nobody', 0, giving.signal).then(
        () => true,
        () => false,
      );
      const waiting = feed.whenGrown(id, 'run-1', 5, giving.signal);
      const other = untilGrown(store, 'run-1', 0);
      giving.abort(enough);
      // It may have been told too early instead.
      await waiting.catch((error: unknown) => assert.ok(error === enough || !canTell));
      await say(store, await runOf(store), 0, 'a');
      assert.deepEqual((await other)?.entries, ['a']);
    },
  },
];

/** A second store on the same database, where there can be one. */
async function besides({ store, another }: StoreUnderTest): Promise<SessionStore> {
  return another === undefined ? store : another();
}

function bothWays<T>(one: T, other: T): [T, T][] {
  return [
    [one, other],
    [other, one],
  ];
}

/** Waits as a store lets one wait: where it cannot tell, by asking again. */
async function toldOf(store: SessionStore, sessionId: string, run: string, end: number): Promise<void> {
  const { signal } = new AbortController();
  await feedOf(store)
    .whenGrown(sessionId, run, end, signal)
    .catch(() => new Promise((resolve) => setImmediate(resolve)));
}

/** Waits until a feed reaches beyond `end`; answers what is there then. */
async function untilGrown(
  store: SessionStore,
  run: string,
  end: number,
  sessionId = id,
): Promise<FeedPage | undefined> {
  for (;;) {
    await toldOf(store, sessionId, run, end);
    const page = await heard(store, run, sessionId);
    if (page === undefined || page.end > end || !page.isHeld) return page;
  }
}

async function untilOver(store: SessionStore, sessionId: string): Promise<void> {
  for (;;) {
    await toldOf(store, sessionId, 'run-1', 1);
    if ((await heard(store, 'run-1', sessionId))?.isHeld !== true) return;
  }
}
