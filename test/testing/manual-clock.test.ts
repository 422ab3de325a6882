import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/testing/manual-clock.js';

test('it stands still until it is moved', () => {
  const clock = new ManualClock(1_000);
  expect(clock.now()).toBe(1_000);
  clock.advance(250);
  expect(clock.now()).toBe(1_250);
  expect(new ManualClock().now()).toBe(0);
});

test('timers fire in the order of time, then of setting, each at its own moment', () => {
  const clock = new ManualClock();
  const fired: [string, number][] = [];
  const set = (name: string, delayMs: number) => clock.after(delayMs, () => fired.push([name, clock.now()]));
  set('c', 30);
  set('a', 10);
  set('b1', 20);
  set('b2', 20);
  set('later', 31);
  clock.advance(30);
  expect(fired).toEqual([
    ['a', 10],
    ['b1', 20],
    ['b2', 20],
    ['c', 30],
  ]);
  clock.advance(1);
  expect(fired.at(-1)).toEqual(['later', 31]);
});

test('a timer fires once, and not at all when it was cancelled', () => {
  const clock = new ManualClock();
  let count = 0;
  clock.after(10, () => {
    count += 1;
  });
  const cancel = clock.after(10, () => {
    count += 100;
  });
  cancel();
  cancel();
  clock.advance(1_000);
  clock.advance(1_000);
  expect(count).toBe(1);
});

test('timers that a callback sets or cancels count at once', () => {
  const clock = new ManualClock();
  const fired: number[] = [];
  const tick = () => {
    fired.push(clock.now());
    clock.after(10, tick);
  };
  clock.after(10, tick);
  const cancel = clock.after(25, () => fired.push(-1));
  clock.after(20, cancel);
  clock.advance(45);
  expect(fired).toEqual([10, 20, 30, 40]);
});

test('a callback that sets itself again at once cannot stop time', () => {
  const clock = new ManualClock();
  let count = 0;
  const again = () => {
    count += 1;
    clock.after(0, again);
  };
  clock.after(0, again);
  clock.advance(5);
  expect(count).toBe(5);
});

test('a callback that throws stops the clock at its moment; the rest fires later', () => {
  const clock = new ManualClock();
  let late = false;
  clock.after(10, () => {
    throw new TypeError('no');
  });
  clock.after(20, () => {
    late = true;
  });
  expect(() => clock.advance(100)).toThrow('no');
  expect(clock.now()).toBe(10);
  clock.advance(10);
  expect(late).toBe(true);
});

test('time does not run backwards, nor for ever', () => {
  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => new ManualClock().advance(ms)).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }));
  }
});

test('many small steps are one big step', () => {
  const delays = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 20 });
  const steps = fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 20 });
  fc.assert(
    fc.property(delays, steps, (all, some) => {
      const firings = [some, [some.reduce((sum, step) => sum + step, 0)]].map((walk) => {
        const clock = new ManualClock();
        const fired: string[] = [];
        for (const [index, delay] of all.entries()) clock.after(delay, () => fired.push(`${index} at ${clock.now()}`));
        for (const step of walk) clock.advance(step);
        return { fired, now: clock.now() };
      });
      expect(firings[0]).toEqual(firings[1]);
    }),
  );
});
