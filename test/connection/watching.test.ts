import { describe, expect, it } from 'vitest';
import type { Cursor } from '../../schemas/index.js';
import type { WatchEvent } from '../../src/connection/connection.js';
import { Outbox } from '../../src/connection/outbox.js';
import { AgentFlowError } from '../../src/errors.js';
import { collect, collectToError, errorOf, quiet, stateOf, take } from '../support/waiting.js';

const failure = new AgentFlowError('RUN_ABORTED', 'stopped');

function outbox(replayChunks = 10_000): Outbox<string> {
  return new Outbox<string>('run', { maxBufferedChunks: 1_000_000, replayChunks });
}

function speak(box: Outbox<string>, turns: readonly (readonly string[])[], firstTurn = 1): void {
  turns.forEach((chunks, index) => {
    box.startTurn(firstTurn + index, 1);
    for (const chunk of chunks) void box.send(chunk);
    box.endTurn(false);
  });
}

const said = (events: readonly WatchEvent<string>[]): string[] =>
  events.map((event) => (event.type === 'chunk' ? event.chunk : event.interrupted ? '!' : '.'));

const cursor = (turn: number, seq: number, rest: Partial<Cursor> = {}): Cursor => ({
  run: 'run',
  turn,
  seq,
  attempt: 1,
  ...rest,
});

describe('a watcher', () => {
  it('sees chunks and turn ends with where they stand, and takes nothing from the reader', async () => {
    const box = outbox();
    speak(box, [['a', 'b'], ['c']]);
    box.end();
    expect(await collect(box.watch())).toEqual([
      { type: 'chunk', cursor: cursor(1, 0), chunk: 'a' },
      { type: 'chunk', cursor: cursor(1, 1), chunk: 'b' },
      { type: 'turnEnd', cursor: cursor(1, 2), interrupted: false },
      { type: 'chunk', cursor: cursor(2, 0), chunk: 'c' },
      { type: 'turnEnd', cursor: cursor(2, 1), interrupted: false },
    ]);
    expect(await collect(box.receive(true))).toEqual(['a', 'b', 'c']);
  });

  it('may come before the first chunk, in the middle, and after the end', async () => {
    const box = outbox();
    const early = collect(box.watch());
    await quiet();
    speak(box, [['a', 'b']]);
    const middle = collect(box.watch());
    await quiet();
    speak(box, [['c']], 2);
    box.end();
    const late = collect(box.watch());
    for (const seen of await Promise.all([early, middle, late])) expect(said(seen)).toEqual(['a', 'b', '.', 'c', '.']);
  });

  it('goes on after any cursor it has seen, missing nothing and repeating nothing', async () => {
    const box = outbox();
    speak(box, [['a', 'b'], [], ['c', 'd']]);
    box.end();
    const all = await collect(box.watch());
    for (const [index, { cursor: after }] of all.entries()) {
      expect(await collect(box.watch({ after }))).toEqual(all.slice(index + 1));
    }
  });

  it('sees what is said before the first turn as turn 0', async () => {
    const box = outbox();
    void box.send('hello');
    speak(box, [['a']]);
    box.end();
    const [greeting, ...rest] = await collect(box.watch());
    expect(greeting).toEqual({ type: 'chunk', cursor: cursor(0, 0), chunk: 'hello' });
    expect(said(rest)).toEqual(['a', '.']);
  });

  it('sees everything of a run when its cursor is from another one', async () => {
    const box = outbox();
    box.startTurn(1, 2);
    void box.send('again');
    box.end();
    const events = await collect(box.watch({ after: cursor(7, 3, { run: 'the one that died' }) }));
    expect(events).toEqual([{ type: 'chunk', cursor: cursor(1, 0, { attempt: 2 }), chunk: 'again' }]);
  });

  it('waits where a cursor points to what is still to come', async () => {
    const box = outbox();
    const seen = collect(box.watch({ after: cursor(2, 0) }));
    speak(box, [['a'], ['b', 'c']]);
    box.end();
    expect(said(await seen)).toEqual(['c', '.']);
  });

  it('sees that a turn was cut short, and that one failed', async () => {
    const box = outbox();
    box.startTurn(1, 1);
    box.endTurn(true);
    box.startTurn(2, 1);
    box.endTurn(false, failure);
    box.end();
    expect(await collect(box.watch())).toEqual([
      { type: 'turnEnd', cursor: cursor(1, 0), interrupted: true },
      { type: 'turnEnd', cursor: cursor(2, 0), interrupted: false, error: failure },
    ]);
  });

  it('sees what there was before the error that ends the run', async () => {
    const box = outbox();
    void box.send('a');
    const waiting = collectToError(box.watch());
    await quiet();
    box.end(failure);
    const late = collectToError(box.watch());
    for (const { chunks, error } of await Promise.all([waiting, late])) {
      expect(said(chunks)).toEqual(['a']);
      expect(error).toBe(failure);
    }
  });
});

describe('many watchers', () => {
  it('each see every chunk once and in order, whenever they come and however slow they are', async () => {
    const box = outbox();
    const watchers: Promise<WatchEvent<string>[]>[] = [];
    const expected: string[] = [];
    for (let turn = 1; turn <= 50; turn++) {
      watchers.push(collect(box.watch()), slowly(box.watch()));
      speak(box, [[`${turn}a`, `${turn}b`]], turn);
      expected.push(`${turn}a`, `${turn}b`, '.');
      if (turn % 7 === 0) await quiet();
    }
    box.end();
    for (const seen of await Promise.all(watchers)) expect(said(seen)).toEqual(expected);
  });

  async function slowly(source: AsyncIterable<WatchEvent<string>>): Promise<WatchEvent<string>[]> {
    const all: WatchEvent<string>[] = [];
    for await (const event of source) {
      if (all.length % 10 === 0) await quiet();
      all.push(event);
    }
    return all;
  }
});

describe('what is no longer kept', () => {
  it('begins with the oldest chunk that is kept', async () => {
    const box = outbox(100);
    await speakAndRead(box, 10_000);
    box.end();
    const seen = said(await collect(box.watch()));
    expect(seen.at(-1)).toBe('9999');
    expect(seen.length).toBeGreaterThanOrEqual(100);
    expect(seen.length).toBeLessThan(4_000);
    expect(seen).toEqual(Array.from({ length: seen.length }, (_, index) => String(10_000 - seen.length + index)));
  });

  it.each([
    ['one of this run', {}],
    ['one of another run', { run: 'earlier' }],
  ])('is refused with CURSOR_EXPIRED to a cursor that comes before it: %s', async (_, other) => {
    const box = outbox(100);
    await speakAndRead(box, 10_000);
    expect(await errorOf(collect(box.watch({ after: cursor(1, 3, other) })))).toMatchObject({
      code: 'CURSOR_EXPIRED',
      status: 'OUT_OF_RANGE',
      details: { turn: 1 },
    });
    box.end();
    expect(said(await collect(box.watch({ after: cursor(1, 9_997) })))).toEqual(['9998', '9999']);
  });

  it('is refused to a watcher that fell behind, never skipped', async () => {
    const box = outbox(100);
    box.startTurn(1, 1);
    void box.send('first');
    const watcher = box.watch();
    expect(await watcher.next()).toMatchObject({ value: { chunk: 'first' } });
    await speakAndRead(box, 10_000);
    expect(await errorOf(watcher.next())).toMatchObject({ code: 'CURSOR_EXPIRED' });
  });

  it('is never what the reader has not had yet', async () => {
    const box = outbox(0);
    box.startTurn(1, 1);
    for (let chunk = 0; chunk < 5_000; chunk++) void box.send(String(chunk));
    box.end();
    expect(await collect(box.watch())).toHaveLength(5_000);
    expect(await collect(box.receive())).toHaveLength(5_000);
  });

  async function speakAndRead(box: Outbox<string>, count: number): Promise<void> {
    box.startTurn(1, 1);
    for (let chunk = 0; chunk < count; chunk++) {
      void box.send(String(chunk));
      await take(box.receive(), 1);
    }
  }
});

describe('leaving', () => {
  it('ends with the signal, whether it has fired already or fires while waiting', async () => {
    const box = outbox();
    void box.send('a');
    expect(await collect(box.watch({ signal: AbortSignal.abort() }))).toEqual([]);
    const controller = new AbortController();
    const waiting = collect(box.watch({ signal: controller.signal }));
    const other = collect(box.watch());
    await quiet();
    controller.abort();
    expect(said(await waiting)).toEqual(['a']);
    expect(await stateOf(other)).toBe('pending');
    box.end();
    expect(said(await other)).toEqual(['a']);
  });

  it('with break disturbs nobody', async () => {
    const box = outbox();
    speak(box, [['a', 'b']]);
    expect(said(await take(box.watch(), 1))).toEqual(['a']);
    box.end();
    expect(said(await collect(box.watch()))).toEqual(['a', 'b', '.']);
    expect(await collect(box.receive())).toEqual(['a', 'b']);
  });
});
