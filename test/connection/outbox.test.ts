import { describe, expect, it } from 'vitest';
import { Outbox } from '../../src/connection/outbox.js';
import { AgentFlowError } from '../../src/errors.js';
import { collect, collectToError, errorOf, quiet, stateOf, take } from '../support/waiting.js';

const failure = new AgentFlowError('HANDLER_FAILED', 'it broke');

function outbox<Stream = unknown>(bounds: { maxBufferedChunks?: number; replayChunks?: number } = {}): Outbox<Stream> {
  return new Outbox<Stream>('run', { maxBufferedChunks: 1_024, replayChunks: 10_000, ...bounds });
}

describe('reading', () => {
  it('delivers every value, the falsy ones and undefined too', async () => {
    const box = outbox();
    const falsy = ['', 0, -0, false, null, undefined, Number.NaN, 0n];
    for (const chunk of falsy) await box.send(chunk);
    box.endTurn(false);
    expect(await collect(box.receive())).toEqual(falsy);
  });

  it('ends at the end of each turn, with a fresh iterator for the next', async () => {
    const box = outbox<number>();
    for (const turn of [1, 2]) {
      box.startTurn(turn, 1);
      void box.send(turn * 10);
      void box.send(turn * 10 + 1);
      box.endTurn(false);
    }
    expect(await collect(box.receive())).toEqual([10, 11]);
    expect(await collect(box.receive())).toEqual([20, 21]);
    expect(await stateOf(box.receive().next())).toBe('pending');
  });

  it('answers done again and again once it has ended', async () => {
    const box = outbox<number>();
    box.endTurn(false);
    void box.send(1);
    const reader = box.receive();
    expect(await reader.next()).toEqual({ value: undefined, done: true });
    expect(await reader.next()).toEqual({ value: undefined, done: true });
    expect(await take(box.receive(), 1)).toEqual([1]);
  });

  it('ends a turn once, also when nothing that was read is kept', async () => {
    const box = outbox<number>({ replayChunks: 0 });
    box.startTurn(1, 1);
    // As many entries as are forgotten in one go.
    for (let chunk = 0; chunk < 1_022; chunk++) void box.send(chunk);
    box.endTurn(false);
    await collect(box.receive());
    box.endTurn(false);
    expect(await stateOf(box.receive().next())).toBe('pending');
  });

  it('goes on with what is left after a break', async () => {
    const box = outbox<number>();
    for (const chunk of [1, 2, 3, 4]) void box.send(chunk);
    expect(await take(box.receive(), 1)).toEqual([1]);
    expect(await take(box.receive(), 2)).toEqual([2, 3]);
    box.endTurn(false);
    expect(await collect(box.receive())).toEqual([4]);
  });

  it('answers reads in the order they were asked, also one that comes when a chunk is already there', async () => {
    const box = outbox<number>();
    const reader = box.receive();
    const answered: unknown[] = [];
    const ask = () => void reader.next().then(({ value }) => answered.push(value));
    ask();
    void box.send(1);
    ask();
    ask();
    void box.send(2);
    void box.send(3);
    await quiet();
    expect(answered).toEqual([1, 2, 3]);
  });

  it('reaches several readers that wait, each with its own chunk, and then all with the end of the turn', async () => {
    const box = outbox<number>();
    const [one, other] = [box.receive(), box.receive()];
    const reads = [one.next(), other.next(), one.next(), other.next()];
    void box.send(1);
    void box.send(2);
    box.endTurn(false);
    const done = { value: undefined, done: true };
    expect(await Promise.all(reads)).toEqual([{ value: 1, done: false }, { value: 2, done: false }, done, done]);
  });

  it('has room at once for a handler whose reader waits, however small the bound', async () => {
    const box = outbox<number>({ maxBufferedChunks: 1 });
    const read = box.receive().next();
    expect(await stateOf(box.send(1))).toBe('resolved');
    expect(await read).toEqual({ value: 1, done: false });
  });

  it('loses no chunk to a reader that left while it waited', async () => {
    const box = outbox<number>();
    const left = box.receive();
    const waiting = left.next();
    expect(await left.return?.()).toEqual({ value: undefined, done: true });
    expect(await waiting).toEqual({ value: undefined, done: true });
    void box.send(1);
    box.endTurn(false);
    expect(await collect(box.receive())).toEqual([1]);
  });

  it('gives each chunk to one of two readers, and ends both with the turn', async () => {
    const box = outbox<number>();
    const readers = [collect(box.receive()), collect(box.receive())];
    for (let chunk = 0; chunk < 10; chunk++) {
      void box.send(chunk);
      await quiet();
    }
    box.endTurn(false);
    const [first = [], second = []] = await Promise.all(readers);
    expect([...first, ...second].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(first.length).toBeGreaterThan(0);
    expect(second.length).toBeGreaterThan(0);
  });

  it('ends a reader that looked away while another one read on to the next turn', async () => {
    const box = outbox<number>();
    for (const chunk of [1, 2]) void box.send(chunk);
    box.endTurn(false);
    void box.send(3);
    box.endTurn(false);
    const slow = box.receive();
    expect(await slow.next()).toEqual({ value: 1, done: false });
    expect(await collect(box.receive())).toEqual([2]);
    expect(await slow.next()).toEqual({ value: undefined, done: true });
    expect(await collect(box.receive())).toEqual([3]);
  });

  it('answers two waits of one reader in order', async () => {
    const box = outbox<number>();
    const reader = box.receive();
    const waits = [reader.next(), reader.next(), reader.next()];
    void box.send(1);
    void box.send(2);
    box.endTurn(false);
    expect(await Promise.all(waits)).toEqual([
      { value: 1, done: false },
      { value: 2, done: false },
      { value: undefined, done: true },
    ]);
  });

  it('reads across turns until the run ends when asked to', async () => {
    const box = outbox<number>();
    const all = collect(box.receive(true));
    for (const turn of [1, 2, 3]) {
      box.startTurn(turn, 1);
      void box.send(turn);
      box.endTurn(false, turn === 2 ? failure : undefined);
      await quiet();
    }
    box.end();
    expect(await all).toEqual([1, 2, 3]);
  });
});

describe('errors', () => {
  it('delivers what was sent before the error, then throws it at every reader to come', async () => {
    const box = outbox<number>();
    for (const chunk of [1, 2]) void box.send(chunk);
    box.end(failure);
    expect(await collectToError(box.receive())).toEqual({ chunks: [1, 2], error: failure });
    expect(await errorOf(collect(box.receive()))).toBe(failure);
    expect(await errorOf(box.receive().next())).toBe(failure);
  });

  it('throws at every reader that waits', async () => {
    const box = outbox<number>();
    const readers = [box.receive().next(), box.receive().next(), box.receive().next()];
    const errors = Promise.all(readers.map(errorOf));
    box.end(failure);
    expect(await errors).toEqual([failure, failure, failure]);
  });

  it('throws the error of a turn at the readers of that turn alone', async () => {
    const box = outbox<number>();
    const readers = [collectToError(box.receive()), collectToError(box.receive())];
    await quiet();
    box.endTurn(false, failure);
    void box.send(2);
    box.endTurn(false);
    expect(await Promise.all(readers)).toEqual([
      { chunks: [], error: failure },
      { chunks: [], error: failure },
    ]);
    expect(await collect(box.receive())).toEqual([2]);
  });

  it('counts the first end only', async () => {
    const box = outbox<number>();
    box.end();
    box.end(failure);
    expect(await collect(box.receive())).toEqual([]);
  });

  it('ignores what comes after the end', async () => {
    const box = outbox<number>();
    box.end();
    await box.send(1);
    box.startTurn(1, 1);
    box.endTurn(false);
    expect(await collect(box.receive())).toEqual([]);
  });

  it('never becomes an unhandled rejection', async () => {
    const box = outbox<number>();
    void box.receive().next();
    box.end(failure);
    void box.receive().next();
    void box.watch().next();
    await quiet();
  });
});
