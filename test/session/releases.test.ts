import { describe, expect, test } from 'vitest';
import type { Clock } from '../../src/internal/clock.js';
import { Deferred } from '../../src/internal/deferred.js';
import { holdSession } from '../../src/session/lease.js';
import { type Ear, Notices, Releases } from '../../src/session/releases.js';
import type { SessionStore } from '../../src/session/store.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { errorOf, quiet, stateOf } from '../support/waiting.js';

const never = new AbortController().signal;
const held = async () => true;

/** Ears that a test can speak into. */
class Line {
  readonly ears: { tell(token: string | undefined): void; breakDown(): void; isStopped: boolean }[] = [];
  /** Thrown by the next opening. */
  failure: unknown;

  readonly open = async (onTold: (token: string | undefined) => void, onEnd: () => void): Promise<Ear> => {
    await quiet();
    if (this.failure !== undefined) throw this.failure;
    const ear = { tell: onTold, breakDown: onEnd, isStopped: false };
    this.ears.push(ear);
    return {
      stop: () => {
        ear.isStopped = true;
      },
    };
  };
}

describe('waits for releases', () => {
  test('many share one connection, which is closed when the last is over', async () => {
    const line = new Line();
    const clock = new ManualClock();
    const releases = new Notices(line.open, clock);
    const [a, alsoA, b] = [
      releases.next('a', never, held),
      releases.next('a', never, held),
      releases.next('b', never, held),
    ];
    await quiet();
    expect(line.ears).toHaveLength(1);
    line.ears[0]?.tell('unknown');
    line.ears[0]?.tell('a');
    await Promise.all([a, alsoA]);
    expect(await stateOf(b)).toBe('pending');
    expect(line.ears[0]?.isStopped).toBe(false);
    line.ears[0]?.tell('b');
    await b;
    clock.advance(400);
    const soon = releases.next('a', never, held);
    clock.advance(400);
    line.ears[0]?.tell('a');
    await soon;
    expect(line.ears).toHaveLength(1);
    expect(line.ears[0]?.isStopped).toBe(false);
    clock.advance(500);
    await quiet();
    expect(line.ears[0]?.isStopped).toBe(true);
    const later = releases.next('a', never, held);
    await quiet();
    expect(line.ears).toHaveLength(2);
    line.ears[1]?.tell('a');
    await later;
  });

  test('a session that is free is told at once, and only once somebody listens', async () => {
    const line = new Line();
    await new Notices(line.open).next('a', never, async () => {
      expect(line.ears).toHaveLength(1);
      return false;
    });
  });

  test('a release while the session is looked at is not missed', async () => {
    const line = new Line();
    await new Notices(line.open).next('a', never, async () => {
      line.ears[0]?.tell('a');
      return true;
    });
  });

  test('a connection that breaks wakes everybody, and the next wait opens another', async () => {
    const line = new Line();
    const releases = new Notices(line.open);
    const waits = [releases.next('a', never, held), releases.next('b', never, held)];
    await quiet();
    line.ears[0]?.breakDown();
    await Promise.all(waits);
    const next = releases.next('a', never, held);
    await quiet();
    line.ears[1]?.tell('a');
    await next;
  });

  test('a signal ends the wait, before it began, while the connection opens and after', async () => {
    const line = new Line();
    const clock = new ManualClock();
    const releases = new Notices(line.open, clock);
    const reason = new Error('enough');
    expect(await errorOf(releases.next('a', AbortSignal.abort(reason), held))).toBe(reason);
    for (const isOpen of [false, true]) {
      const controller = new AbortController();
      const wait = errorOf(releases.next('a', controller.signal, held));
      if (isOpen) await quiet();
      controller.abort(reason);
      expect(await wait).toBe(reason);
    }
    clock.advance(500);
    await quiet();
    expect(line.ears.every(({ isStopped }) => isStopped)).toBe(true);
  });

  test('what fails is told, and tried again by the next wait', async () => {
    const line = new Line();
    const releases = new Notices(line.open);
    line.failure = new Error('nobody listens');
    expect(await errorOf(releases.next('a', never, held))).toBe(line.failure);
    line.failure = undefined;
    const broken = new Error('cannot be asked');
    expect(await errorOf(releases.next('a', never, () => Promise.reject(broken)))).toBe(broken);
    await releases.next('a', never, async () => false);
  });
});

test('whoever waits for a session is known to wait until the signal fires', async () => {
  const line = new Line();
  const releases = new Releases(new Notices(line.open));
  const waiting = new AbortController();
  const asked: (number | undefined)[] = [];
  const wait = (fence: number | undefined) =>
    releases.next('a', waiting.signal, async (since) => {
      asked.push(since);
      return fence;
    });
  expect(releases.since('a')).toBeUndefined();
  const first = wait(7);
  await quiet();
  expect(releases.since('a')).toBe(7);
  line.ears[0]?.tell('a');
  await first;
  const second = wait(9);
  await quiet();
  line.ears[0]?.tell('a');
  await second;
  await wait(undefined);
  expect(asked).toEqual([undefined, 7, 7]);
  expect(releases.since('a')).toBe(7);
  expect(releases.since('b')).toBeUndefined();
  waiting.abort();
  expect(releases.since('a')).toBeUndefined();
});

describe('a connection that waits for a session', () => {
  /** A store that is told of releases, and everything it was asked. */
  function telling(whenReleased: NonNullable<SessionStore['whenReleased']>) {
    const store = Object.assign(new MemorySessionStore(), { whenReleased });
    let tries = 0;
    const acquire = store.acquire.bind(store);
    store.acquire = async (...given) => {
      tries += 1;
      return acquire(...given);
    };
    return { store, tries: () => tries };
  }

  const hold = (store: SessionStore, owner: string, clock: Clock, signal = never) =>
    holdSession(store, 'session', { policy: 'queue', owner, clock, ttlMs: 60_000, signal, onLost: () => {} });

  test('is woken by the store, with no time gone by', async () => {
    let release = () => {};
    const { store, tries } = telling((_id, signal) => {
      signal.addEventListener('abort', () => signals.push(signal));
      return new Promise((resolve) => {
        release = resolve;
      });
    });
    const signals: AbortSignal[] = [];
    const other = await store.acquire('session', { owner: 'other', ttlMs: 60_000 });
    const waiting = hold(store, 'me', new ManualClock());
    await quiet();
    release();
    await quiet();
    expect(await stateOf(waiting)).toBe('pending');
    expect(tries()).toBe(3);
    await store.release(other ?? expect.fail());
    release();
    await (await waiting).release();
    expect(signals).toHaveLength(2);
  });

  test('asks less often, because only a death goes untold', async () => {
    const told: SessionStore['whenReleased'][] = [
      undefined,
      () => new Promise(() => {}),
      () => Promise.reject(new Error()),
      () => {
        throw new Error();
      },
    ];
    const triesInAMinute: number[] = [];
    for (const whenReleased of told) {
      const { store, tries } = telling(whenReleased ?? (() => new Promise(() => {})));
      if (whenReleased === undefined) Object.assign(store, { whenReleased: undefined });
      const other = await store.acquire('session', { owner: 'other', ttlMs: 3_600_000 });
      const clock = new ManualClock();
      const waiting = hold(store, 'me', clock);
      for (let passed = 0; passed < 60_000; passed += 20) {
        await quiet();
        clock.advance(20);
      }
      triesInAMinute.push(tries());
      await store.release(other ?? expect.fail());
      await quiet();
      clock.advance(2_000);
      await (await waiting).release();
    }
    const [asking = 0, hearing = 0, ...deaf] = triesInAMinute;
    expect(asking).toBeGreaterThan(110);
    expect(hearing).toBeLessThan(45);
    // Of one that cannot tell nothing is heard, whatever it promised.
    expect(deaf).toEqual([asking, asking]);
  });

  test('is woken again after a time in which the store could not tell', async () => {
    const waits: Deferred<void>[] = [];
    const { store } = telling(() => {
      const wait = new Deferred<void>();
      waits.push(wait);
      return wait.promise;
    });
    const other = await store.acquire('session', { owner: 'other', ttlMs: 60_000 });
    const clock = new ManualClock();
    const waiting = hold(store, 'me', clock);
    await quiet();
    waits[0]?.reject(new Error('the server is away'));
    await quiet();
    clock.advance(20);
    await quiet();
    expect(waits).toHaveLength(2);
    await store.release(other ?? expect.fail());
    waits[1]?.resolve();
    await (await waiting).release();
  });

  test('can be called off at any time', async () => {
    const { store } = telling((_id, signal) => new Promise((_, reject) => signal.addEventListener('abort', reject)));
    await store.acquire('session', { owner: 'other', ttlMs: 60_000 });
    const controller = new AbortController();
    const waiting = errorOf(hold(store, 'me', new ManualClock(), controller.signal));
    await quiet();
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await waiting).toBe(reason);
  });
});
