import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/internal/clock.js';

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

test('it tells the time in milliseconds since the epoch', () => {
  expect(systemClock.now()).toBe(1_000);
});

test('it calls back once, after the delay', () => {
  const callback = vi.fn();
  systemClock.after(50, callback);
  vi.advanceTimersByTime(49);
  expect(callback).not.toHaveBeenCalled();
  vi.advanceTimersByTime(100);
  expect(callback).toHaveBeenCalledOnce();
});

test('a callback that was cancelled is not called, and cancelling again does nothing', () => {
  const callback = vi.fn();
  const cancel = systemClock.after(50, callback);
  cancel();
  cancel();
  vi.advanceTimersByTime(100);
  expect(callback).not.toHaveBeenCalled();
});

test('a wait longer than a timer can hold is waited for', () => {
  const days = 24 * 60 * 60 * 1_000;
  const callback = vi.fn();
  systemClock.after(60 * days, callback);
  vi.advanceTimersByTime(60 * days - 1);
  expect(callback).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(callback).toHaveBeenCalledOnce();

  const cancelled = vi.fn();
  const cancel = systemClock.after(60 * days, cancelled);
  vi.advanceTimersByTime(40 * days);
  cancel();
  vi.advanceTimersByTime(60 * days);
  expect(cancelled).not.toHaveBeenCalled();
});

test('a waiting timer does not keep the process alive', () => {
  vi.useRealTimers();
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const cancel = systemClock.after(60_000, () => {});
  expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout')).toHaveLength(before);
  cancel();
});
