/** What a store that is told of releases must do, whatever tells it. */
import { expect, test } from 'vitest';
import { holdSession } from '../../src/session/lease.js';
import type { SessionStore } from '../../src/session/store.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import {
  create,
  eventually,
  hold,
  holdShortly,
  letShortLeasesExpire,
  whole,
} from '../../src/testing/session-store/case.js';
import { errorOf, stateOf } from './waiting.js';

const never = new AbortController().signal;
/** So long a session that is released is certainly kept for those who waited; what took longer than that shows nothing. */
const leastKeptMs = 400;

/** Stores on one empty database. */
export interface ReleaseStores {
  /** Makes a store with a client of its own. */
  open(): Promise<SessionStore>;
  /** How many sessions are marked as awaited in the database. */
  awaited(): Promise<number>;
}

/** Waits for the release of a session; fails when the store cannot be told. */
export function released(
  store: SessionStore,
  sessionId = 'session',
  signal = new AbortController().signal,
): Promise<void> {
  return store.whenReleased?.(sessionId, signal) ?? Promise.reject(new Error('This store is not told of releases'));
}

/** Registers the cases; `create` is called once for each. */
export function testReleases(createStores: () => Promise<ReleaseStores>): void {
  const releaseCase = (name: string, run: (given: Given) => Promise<void>) =>
    test(name, async () => run(new Given(await createStores())));

  releaseCase('a release is told', async (given) => {
    const theirs = await given.open();
    const lease = await create(theirs, 'session');
    const wait = released(await given.open());
    await given.untilAwaited(1);
    expect(await stateOf(wait)).toBe('pending');
    await theirs.release(lease);
    await wait;
    expect(await given.awaited()).toBe(0);
  });

  releaseCase('so is the release of what was never saved, and a deletion', async (given) => {
    const theirs = await given.open();
    const mine = await given.open();
    const lease = await hold(theirs, 'never saved');
    await create(theirs, 'deleted');
    const waits = [released(mine, 'never saved'), released(mine, 'deleted')];
    await given.untilAwaited(2);
    await theirs.release(lease);
    await theirs.delete('deleted');
    await Promise.all(waits);
  });

  releaseCase('of a session that is free, unknown or expired nothing has to be waited for', async (given) => {
    const theirs = await given.open();
    const mine = await given.open();
    await theirs.release(await create(theirs, 'free'));
    await holdShortly(theirs, 'expired');
    await letShortLeasesExpire({ store: theirs });
    for (const id of ['free', 'unknown', 'expired']) await released(mine, id);
    expect(await given.awaited()).toBe(0);
  });

  releaseCase('the release of another session, or in another tenant, is not told', async (given) => {
    const theirs = await given.open();
    const mine = await given.open();
    const lease = await create(theirs, 'session');
    const another = await create(theirs, 'another');
    const tenants = await create(theirs.forTenant('a'), 'session');
    const wait = released(mine);
    const otherWaits = [released(mine, 'another'), released(mine.forTenant('a'))];
    await given.untilAwaited(3);
    await theirs.release(another);
    await theirs.forTenant('a').release(tenants);
    await Promise.all(otherWaits);
    expect(await stateOf(wait)).toBe('pending');
    await theirs.release(lease);
    await wait;
  });

  releaseCase('everybody who waits is told, again and again', async (given) => {
    const theirs = await given.open();
    const others = [await given.open(), await given.open()];
    for (let round = 0; round < 5; round++) {
      const lease = await eventually(() => theirs.acquire('session', { owner: 'theirs', ttlMs: 60_000 }));
      const waits = others.flatMap((store) => [released(store), released(store)]);
      await given.untilAwaited(1);
      await theirs.release(lease);
      await Promise.all(waits);
    }
  });

  releaseCase('a session that was waited for is theirs who waited, for a moment', async (given) => {
    const theirs = await given.open();
    const mine = await given.open();
    const ttlMs = 60_000;
    let isInTime = false;
    while (!isInTime) {
      const lease = await hold(theirs, 'session');
      await theirs.save(lease, { expectedVersion: (await theirs.load('session'))?.head ?? 0, change: whole({}) });
      const waiting = new AbortController();
      const wait = released(mine, 'session', waiting.signal);
      await given.untilAwaited(1);
      const startedAt = performance.now();
      await theirs.release(lease);
      await wait;
      // Whoever has just had it, and whoever comes now, has to wait; who waited has it whenever they ask.
      const again = await theirs.acquire('session', { owner: 'again', ttlMs });
      isInTime = performance.now() - startedAt < leastKeptMs;
      if (isInTime) expect(again).toBeUndefined();
      if (again !== undefined) await theirs.release(again);
      const next = await mine.acquire('session', { owner: 'mine', ttlMs });
      waiting.abort();
      expect(next?.fence).toBeGreaterThan(lease.fence);
      await mine.release(next ?? expect.fail());
    }
    await theirs.release(await hold(theirs, 'session'));
  });

  releaseCase('a session is not kept for long for those who do not come', async (given) => {
    const theirs = await given.open();
    const lease = await create(theirs, 'session');
    const waiting = new AbortController();
    const wait = released(await given.open(), 'session', waiting.signal);
    await given.untilAwaited(1);
    await theirs.release(lease);
    await wait;
    waiting.abort();
    const options = { owner: 'again', ttlMs: 60_000 };
    expect(await theirs.acquire('session', { ...options, takeover: true })).toBeDefined();
    await theirs.delete('session');
    const again = await create(theirs, 'session');
    const second = new AbortController();
    const wait2 = released(await given.open(), 'session', second.signal);
    await given.untilAwaited(1);
    await theirs.release(again);
    await wait2;
    second.abort();
    await eventually(() => theirs.acquire('session', options));
  });

  releaseCase('a wait can be called off', async (given) => {
    const theirs = await given.open();
    const mine = await given.open();
    // No other case's session: a late word of a release there would end the wait, as it may.
    const id = 'called off';
    const lease = await create(theirs, id);
    const controller = new AbortController();
    const other = released(mine, id);
    await given.untilAwaited(1);
    // Not at once with the other: of two who ask in one moment a database may send one to ask again.
    const wait = errorOf(released(mine, id, controller.signal));
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await wait).toBe(reason);
    await theirs.release(lease);
    await other;
  });

  releaseCase('connections that queue for a session follow one another with no time gone by', async (given) => {
    const clock = new ManualClock();
    const order: number[] = [];
    const queue = async (number: number) => {
      const owner = `waiting-${number}`;
      const options = { policy: 'queue', owner, clock, ttlMs: 60_000, signal: never, onLost: () => {} } as const;
      const held = await holdSession(await given.open(), 'session', options);
      order.push(number);
      await held.release();
    };
    const first = await given.open();
    const lease = await create(first, 'session', {});
    const waiting = Array.from({ length: 6 }, (_, number) => queue(number));
    await given.untilAwaited(1);
    await first.release(lease);
    await Promise.all(waiting);
    expect(order.sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  releaseCase('a connection that could not be told for a while counts among those who wait again', async (given) => {
    const clock = new ManualClock();
    const first = await given.open();
    const lease = await create(first, 'session', {});
    const mine = await given.open();
    const { whenReleased } = mine;
    let failures = 0;
    Object.assign(mine, {
      whenReleased: async (...wait: [string, AbortSignal]) => {
        if (failures > 0) return whenReleased?.(...wait);
        failures += 1;
        throw new Error('the server is away');
      },
    });
    const options = { policy: 'queue', owner: 'mine', clock, ttlMs: 60_000, signal: never, onLost: () => {} } as const;
    const waiting = holdSession(mine, 'session', options);
    await eventually(async () => (failures === 1 ? true : undefined));
    await eventually(async () => {
      clock.advance(20);
      return (await given.awaited()) === 1 ? true : undefined;
    });
    await first.release(lease);
    await (await waiting).release();
  });
}

class Given implements ReleaseStores {
  readonly #stores: ReleaseStores;

  constructor(stores: ReleaseStores) {
    this.#stores = stores;
  }

  open(): Promise<SessionStore> {
    return this.#stores.open();
  }

  awaited(): Promise<number> {
    return this.#stores.awaited();
  }

  /** The stores have taken note of those who wait. */
  async untilAwaited(sessions: number): Promise<void> {
    await eventually(async () => ((await this.awaited()) === sessions ? true : undefined));
  }
}
