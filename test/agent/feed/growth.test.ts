import { describe, expect, test } from 'vitest';
import { Growth } from '../../../src/agent/feed/growth.js';
import { Deferred } from '../../../src/internal/deferred.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { RecordingFeed } from '../../support/recording-feed.js';

const macrotask = () => new Promise((resolve) => setImmediate(resolve));

function waiting(before: RecordingFeed['before'], leaseTtlMs = 15_000) {
  const clock = new ManualClock();
  const feed = new RecordingFeed();
  feed.before = before;
  const growth = new Growth({ feed, sessionId: 'session', run: 'run', clock, leaseTtlMs });
  /** Has it resolved after so much time? */
  const isOverAfter = async (wait: Promise<void>, ms: number) => {
    let isOver = false;
    void wait.then(() => {
      isOver = true;
    });
    await macrotask();
    clock.advance(ms);
    await macrotask();
    return isOver;
  };
  return { growth, isOverAfter, feed };
}

describe('waiting for growth', () => {
  const never = new AbortController().signal;

  test('ends when the store says so', async () => {
    const grown = new Deferred<void>();
    const { growth, isOverAfter } = waiting(() => grown.promise);
    const wait = growth.beyond(3, never);
    expect(await isOverAfter(wait, 100)).toBe(false);
    grown.resolve();
    expect(await isOverAfter(wait, 0)).toBe(true);
  });

  test.each([
    [15_000, 2_000],
    [300, 300],
  ])('ends by itself, so that an expiry is seen: lease of %d ms', async (leaseTtlMs, ms) => {
    const { growth, isOverAfter } = waiting(() => new Promise(() => {}), leaseTtlMs);
    const wait = growth.beyond(0, never);
    expect(await isOverAfter(wait, ms - 1)).toBe(false);
    expect(await isOverAfter(wait, 1)).toBe(true);
  });

  test('asks again and again where the store cannot tell, less and less often', async () => {
    const { growth, isOverAfter } = waiting(() => Promise.reject(new TypeError('it cannot tell')));
    for (const ms of [20, 40, 80, 160, 320, 500, 500]) {
      const wait = growth.beyond(0, never);
      expect(await isOverAfter(wait, ms - 1)).toBe(false);
      expect(await isOverAfter(wait, 1)).toBe(true);
    }
  });

  test('asks again where the store fails at once, too', async () => {
    const { growth, isOverAfter, feed } = waiting(() => {});
    feed.whenGrown = () => {
      throw new TypeError('no route');
    };
    const wait = growth.beyond(0, never);
    expect(await isOverAfter(wait, 19)).toBe(false);
    expect(await isOverAfter(wait, 1)).toBe(true);
  });

  test('is given up with the signal, and the store is told', async () => {
    let told: AbortSignal | undefined;
    const { growth, isOverAfter } = waiting((_call, signal) => {
      told = signal;
      return new Promise(() => {});
    });
    const leaving = new AbortController();
    const wait = growth.beyond(0, leaving.signal);
    expect(await isOverAfter(wait, 0)).toBe(false);
    leaving.abort();
    expect(await isOverAfter(wait, 0)).toBe(true);
    expect(told?.aborted).toBe(true);
    expect(await isOverAfter(growth.beyond(0, leaving.signal), 0)).toBe(true);
  });
});
