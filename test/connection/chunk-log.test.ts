import { describe, expect, it } from 'vitest';
import { advance, ChunkLog, TurnEnd, TurnStart } from '../../src/connection/chunk-log.js';
import { stateOf } from '../support/waiting.js';

function logOf(entries: readonly unknown[], keep = 10_000): ChunkLog<unknown> {
  const log = new ChunkLog<unknown>(keep);
  for (const entry of entries) log.append(entry);
  return log;
}

describe('a log of chunks', () => {
  it('keeps what is appended where it was appended, undefined too', () => {
    const log = logOf(['a', undefined, null]);
    expect([log.end, log.at(0), log.at(1), log.at(2), log.at(3)]).toEqual([3, 'a', undefined, null, undefined]);
    expect(log.start).toEqual({ index: 0, turn: 0, attempt: 1, seq: 0 });
  });

  it('wakes everybody who waits for more, once', async () => {
    const log = logOf([]);
    const waits = [log.grown(), log.grown()];
    log.append('a');
    await Promise.all(waits);
    const next = log.grown();
    expect(await stateOf(next)).toBe('pending');
    log.wake();
    await next;
  });

  it('forgets only what has been read and is beyond its bound, and knows where the rest stands', () => {
    const log = logOf([], 100);
    log.append(new TurnStart(1, 1));
    for (let chunk = 0; chunk < 5_000; chunk++) log.append(chunk);
    log.forget(10);
    expect(log.start.index).toBe(0);
    log.forget(5_001);
    const { start } = log;
    expect(start.index).toBeGreaterThan(4_000);
    expect(log.end - start.index).toBeGreaterThanOrEqual(100);
    expect(start).toEqual({ index: start.index, turn: 1, attempt: 1, seq: start.index - 1 });
    expect(log.at(start.index)).toBe(start.index - 1);
    expect(log.at(start.index - 1)).toBeUndefined();
    expect(log.end).toBe(5_001);
  });

  it('holds no more than about twice its bound when all is read as it comes', () => {
    const log = logOf([], 1_000);
    let most = 0;
    for (let chunk = 0; chunk < 100_000; chunk++) {
      log.append(chunk);
      log.forget(log.end);
      most = Math.max(most, log.end - log.start.index);
    }
    expect(most).toBeLessThan(1_000 + 2_048);
  });
});

describe('places', () => {
  it('count chunks from the start of each turn, and go on between turns', () => {
    const entries = ['hello', new TurnStart(1, 2), 'a', 'b', new TurnEnd(false), 'between', new TurnStart(2, 1), 'c'];
    let place = { index: 0, turn: 0, attempt: 1, seq: 0 };
    const places = entries.map((entry) => {
      const { turn, attempt, seq } = place;
      place = advance(place, entry);
      return [turn, attempt, seq];
    });
    expect(places).toEqual([
      [0, 1, 0],
      [0, 1, 1],
      [1, 2, 0],
      [1, 2, 1],
      [1, 2, 2],
      [1, 2, 3],
      [1, 2, 4],
      [2, 1, 0],
    ]);
  });
});
