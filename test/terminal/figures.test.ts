import { describe, expect, it } from 'vitest';
import { count, dollars, duration, shortRef, timeOfDay } from '../../src/terminal/figures.js';

describe('figures', () => {
  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1_000, '1.0 s'],
    [59_949, '59.9 s'],
    [59_951, '1 min 0 s'],
    [61_000, '1 min 1 s'],
    [3_600_000, '1 h 0 min'],
    [7_380_000, '2 h 3 min'],
    [Number.POSITIVE_INFINITY, 'no limit'],
  ])('%d ms is %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  it.each([
    [0, '$0.00'],
    [12.345, '$12.35'],
    [0.0123, '$0.0123'],
    [0.00001, '$0.000010'],
  ])('%d US dollars are %s', (usd, text) => {
    expect(dollars(usd)).toBe(text);
  });

  it('are counted, timed and shortened', () => {
    expect([count(1, 'prompt'), count(0, 'prompt')]).toEqual(['1 prompt', '0 prompts']);
    expect(timeOfDay(new Date(2026, 0, 2, 3, 4, 5).getTime())).toBe('03:04:05');
    expect(shortRef('f988e4b8-baba-4060-b167-a3ccd6436a8e')).toBe('f988e4b8');
  });
});
