import { describe, expect, it } from 'vitest';
import { Backpressure } from '../../src/connection/backpressure.js';
import { Outbox } from '../../src/connection/outbox.js';
import { AgentFlowError } from '../../src/errors.js';
import { collect, quiet, standstill, stateOf, take } from '../support/waiting.js';

function outbox(maxBufferedChunks: number): Outbox<number> {
  return new Outbox<number>('run', { maxBufferedChunks, replayChunks: 10 });
}

/** A handler that sends until it is done, one chunk after another; tells how far it came. */
function produce(box: Outbox<number>, count: number, inTurns = false): { sent: number; done: Promise<void> } {
  const progress = { sent: 0, done: Promise.resolve() };
  progress.done = (async () => {
    for (let chunk = 0; chunk < count; chunk++) {
      if (inTurns) box.startTurn(chunk + 1, 1);
      progress.sent += 1;
      await box.send(chunk);
      if (inTurns) box.endTurn(false);
    }
  })();
  return progress;
}

describe('backpressure', () => {
  it('has room up to its bound, and one promise for all who wait for more', async () => {
    const pressure = new Backpressure(2);
    pressure.add();
    expect([pressure.hasRoom, pressure.whenRoom()]).toEqual([true, undefined]);
    pressure.add();
    pressure.add();
    const room = pressure.whenRoom();
    expect([pressure.hasRoom, pressure.whenRoom() === room]).toEqual([false, true]);
    pressure.remove();
    expect(await stateOf(room ?? Promise.resolve())).toBe('pending');
    pressure.remove();
    await room;
    expect(pressure.hasRoom).toBe(true);
  });

  it('is let go without room, and then builds up again', async () => {
    const pressure = new Backpressure(1);
    pressure.add();
    const room = pressure.whenRoom();
    pressure.release();
    await room;
    expect(pressure.hasRoom).toBe(false);
    const again = pressure.whenRoom();
    pressure.clear();
    await again;
    expect([pressure.hasRoom, pressure.whenRoom()]).toEqual([true, undefined]);
  });

  type Step = 'readerCame' | 'readerLeft' | 'awaitOutput' | 'closeInput';
  it.each<[boolean, readonly Step[]]>([
    [false, []],
    [true, ['awaitOutput']],
    [false, ['closeInput']],
    [false, ['readerCame', 'readerLeft', 'closeInput']],
    [false, ['readerCame', 'awaitOutput', 'closeInput']],
    [false, ['readerCame', 'awaitOutput', 'readerLeft']],
    [true, ['readerCame', 'awaitOutput', 'readerLeft', 'closeInput']],
    [true, ['readerCame', 'readerLeft', 'awaitOutput']],
    [false, ['awaitOutput', 'readerCame', 'readerCame', 'readerLeft', 'closeInput']],
  ])('is for nobody: %s, after %o', (expected, steps) => {
    const pressure = new Backpressure(1);
    for (const step of steps) pressure[step]();
    expect(pressure.isForNobody).toBe(false);
    pressure.add();
    expect(pressure.isForNobody).toBe(expected);
  });

  it('throws a thousand times beyond the bound, and counts nothing then', () => {
    const pressure = new Backpressure(1);
    for (let chunk = 0; chunk < 1_000; chunk++) pressure.add();
    for (let more = 0; more < 2; more++)
      expect(() => pressure.add()).toThrow(expect.objectContaining({ code: 'CHUNK_BUFFER_FULL' }));
    pressure.remove();
    pressure.add();
  });
});

describe('a producer nobody reads', () => {
  it.each([1, 2, 3, 1_024])('stops with exactly %i chunks waiting', async (bound) => {
    const box = outbox(bound);
    const producer = produce(box, 200_000);
    expect(await standstill(() => producer.sent)).toBe(bound);
  });

  it('stops at the same bound when every chunk has a turn of its own', async () => {
    const box = outbox(8);
    const producer = produce(box, 200_000, true);
    expect(await standstill(() => producer.sent)).toBe(8);
  });

  it('goes on by as many as are read', async () => {
    const box = outbox(4);
    const producer = produce(box, 100);
    for (const read of [1, 2, 5]) {
      const before = await standstill(() => producer.sent);
      await take(box.receive(), read);
      expect(await standstill(() => producer.sent)).toBe(before + read);
    }
  });

  it('ends when it is read to the end', async () => {
    const box = outbox(4);
    const producer = produce(box, 5_000);
    void producer.done.then(() => box.end());
    expect(await collect(box.receive())).toEqual(Array.from({ length: 5_000 }, (_, chunk) => chunk));
  });

  it('is let go by the end of the run and by an interrupt', async () => {
    const box = outbox(2);
    const producer = produce(box, 3);
    await quiet();
    box.unblock();
    await quiet();
    expect(producer.sent).toBe(3);
    expect(await stateOf(producer.done)).toBe('pending');
    box.end();
    await producer.done;
  });

  it('is told when it never awaits and goes a thousand times beyond the bound', () => {
    const box = outbox(3);
    for (let chunk = 0; chunk < 3_000; chunk++) void box.send(chunk);
    expect(() => void box.send(3_000)).toThrow(AgentFlowError);
    expect(() => void box.send(3_000)).toThrow(expect.objectContaining({ code: 'CHUNK_BUFFER_FULL' }));
  });

  it('keeps every chunk it did not await', async () => {
    const box = outbox(3);
    for (let chunk = 0; chunk < 2_000; chunk++) void box.send(chunk);
    box.endTurn(false);
    expect(await collect(box.receive())).toHaveLength(2_000);
  });
});

describe('a caller who waits for the output', () => {
  it('lets 200,000 chunks go by that nobody reads', async () => {
    const box = outbox(1_024);
    const producer = produce(box, 200_000);
    await quiet();
    box.awaitOutput();
    await producer.done;
    expect(producer.sent).toBe(200_000);
  });

  it('loses nothing while somebody reads', async () => {
    const box = outbox(2);
    box.awaitOutput();
    const read = collect(box.receive());
    const producer = produce(box, 1_000);
    await producer.done;
    box.endTurn(false);
    expect(await read).toHaveLength(1_000);
  });

  it('loses nothing between two readings of an open conversation', async () => {
    const box = outbox(2);
    box.awaitOutput();
    const first = take(box.receive(), 1);
    const producer = produce(box, 10);
    void producer.done.then(() => box.endTurn(false));
    expect(await first).toEqual([0]);
    await quiet();
    expect(await collect(box.receive())).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('is not held up by what nobody reads any more, though the first turn was read', async () => {
    const box = outbox(2);
    void box.send(0);
    box.endTurn(false);
    expect(await collect(box.receive())).toEqual([0]);
    const producer = produce(box, 1_000);
    await quiet();
    expect(producer.sent).toBe(2);
    box.awaitOutput();
    await producer.done;
  });

  it('is not held up once the input is closed and the reader has left', async () => {
    const box = outbox(2);
    box.awaitOutput();
    const first = take(box.receive(), 1);
    const producer = produce(box, 1_000);
    await first;
    await quiet();
    expect(producer.sent).toBeLessThan(10);
    box.closeInput();
    await producer.done;
  });

  it('keeps what fits the bound, for a reader who comes late', async () => {
    const box = outbox(10);
    box.awaitOutput();
    await produce(box, 9).done;
    box.end();
    expect(await collect(box.receive())).toHaveLength(9);
  });
});
