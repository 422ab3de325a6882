import { expect, test } from 'vitest';
import { pause } from '../../src/providers/pause.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { errorOf, stateOf } from '../support/waiting.js';

test('a pause is over in time, or when it is given up', async () => {
  const clock = new ManualClock();
  const controller = new AbortController();
  const first = pause(clock, 100, controller.signal);
  const second = pause(clock, 200, controller.signal);
  clock.advance(99);
  expect(await stateOf(first)).toBe('pending');
  clock.advance(1);
  await first;
  controller.abort('enough');
  expect(await errorOf(second)).toBe('enough');
  expect(await errorOf(pause(clock, 1, controller.signal))).toBe('enough');
});
