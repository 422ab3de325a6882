import { describe, expect, test } from 'vitest';
import type { Clock } from '../../src/internal/clock.js';
import { Deferred } from '../../src/internal/deferred.js';
import { holdSession } from '../../src/session/lease.js';
import type { SessionStore } from '../../src/session/store.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { errorOf, quiet, stateOf } from '../support/waiting.js';

const never = new AbortController().signal;

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
