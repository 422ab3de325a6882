import { describe, expect, test } from 'vitest';
import { agentDefinition } from '../../../src/agent/definition.js';
import { feedTtlMs, Publisher, publish } from '../../../src/agent/feed/publisher.js';
import { ChunkLog, TurnEnd, TurnStart } from '../../../src/connection/chunk-log.js';
import { AgentFlowError, InvalidValueError, LeaseLostError } from '../../../src/errors.js';
import { Deferred } from '../../../src/internal/deferred.js';
import { MemorySessionStore } from '../../../src/stores/memory.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { RecordingFeed } from '../../support/recording-feed.js';

const lease = { sessionId: 'session', owner: 'run', fence: 1 };
const keep = 30;
const nobody = { abort: () => {}, fail: () => {} };
const storeFailed = () => new AgentFlowError('STORE_FAILED', 'not now');

function publisher(logKeep = 10_000) {
  const clock = new ManualClock();
  const feed = new RecordingFeed();
  const log = new ChunkLog<unknown>(logKeep);
  const aborts: string[] = [];
  const failures: AgentFlowError[] = [];
  const connection = {
    abort: (reason: string) => void aborts.push(reason),
    fail: (error: AgentFlowError) => void failures.push(error),
  };
  const one = new Publisher({ feed, lease, log, keep, clock, connection });
  /** Lets so much time pass, and all that comes of it. */
  const pass = async (ms: number) => {
    clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { publisher: one, clock, feed, log, aborts, failures, pass };
}

const starts = (feed: RecordingFeed) => feed.appended.map(({ start, entries }) => [start, entries.length]);
const chunk = (seq: number, value: unknown) => ({ at: [1, 1, seq], chunk: value });

describe('where nothing can be kept', () => {
  test.each([
    ['no store', undefined],
    ['a store without feeds', new MemorySessionStore()],
  ])('%s', (_what, store) => {
    const log = new ChunkLog<string>(10);
    const definition = agentDefinition({ name: 'x', ...(store === undefined ? {} : { store }) });
    expect(publish(definition, lease, nobody, { log })).toBeUndefined();
    expect(log.follower).toBeUndefined();
  });

  test('a run without a lease', () => {
    const store = Object.assign(new MemorySessionStore(), { feed: new RecordingFeed() });
    const log = new ChunkLog<string>(10);
    expect(publish(agentDefinition({ name: 'x', store }), undefined, nobody, { log })).toBeUndefined();
    expect(publish(agentDefinition({ name: 'x', store }), lease, nobody, { log })).toBeDefined();
  });
});

describe('appends', () => {
  test('take what is said within some milliseconds, each entry with its place', async () => {
    const { feed, log, pass } = publisher();
    for (const entry of [new TurnStart(1, 1), 'a', { b: undefined }, new TurnEnd(true), 'after']) log.append(entry);
    expect(feed.appended).toEqual([]);
    await pass(10);
    expect(feed.appended).toEqual([
      {
        start: 0,
        entries: [
          { at: [0, 1, 0], turnStart: true },
          chunk(0, 'a'),
          chunk(1, {}),
          { at: [1, 1, 2], turnEnd: { interrupted: true } },
          chunk(3, 'after'),
        ],
        keep,
        ttlMs: feedTtlMs,
      },
    ]);
    await pass(10_000);
    expect(feed.appended.length).toBe(1);
    log.append('b');
    await pass(10);
    expect(feed.appended[1]).toMatchObject({ start: 5, entries: [chunk(4, 'b')] });
  });

  test('are not made for a turn that has said nothing yet', async () => {
    const { feed, log, pass } = publisher();
    log.append(new TurnStart(1, 1));
    await pass(1_000);
    expect(feed.appended).toEqual([]);
    log.append('a');
    await pass(10);
    expect(starts(feed)).toEqual([[0, 2]]);
  });

  test('begin with what was said before', async () => {
    const clock = new ManualClock();
    const feed = new RecordingFeed();
    const log = new ChunkLog<string>(10);
    log.append('early');
    new Publisher({ feed, lease, log, keep, clock, connection: nobody });
    clock.advance(10);
    await new Promise((resolve) => setImmediate(resolve));
    expect(starts(feed)).toEqual([[0, 1]]);
  });

  test('are made one at a time, so that batches form themselves', async () => {
    const { feed, log, pass } = publisher();
    const slow = new Deferred<void>();
    feed.before = () => slow.promise;
    log.append(0);
    await pass(10);
    for (let number = 1; number < 100; number++) {
      log.append(number);
      await pass(10);
    }
    expect(feed.appended).toEqual([]);
    slow.resolve();
    await pass(0);
    await pass(10);
    expect(starts(feed)).toEqual([
      [0, 1],
      [1, 99],
    ]);
  });

  test('are bounded, in entries and in characters', async () => {
    const { feed, log, pass } = publisher();
    for (let number = 0; number < 1_200; number++) log.append(number);
    for (let round = 0; round < 3; round++) await pass(10);
    expect(starts(feed)).toEqual([
      [0, 500],
      [500, 500],
      [1_000, 200],
    ]);
    for (let number = 0; number < 5; number++)
      log.append(number % 2 === 0 ? 'x'.repeat(150_000) : ['y'.repeat(150_000)]);
    for (let round = 0; round < 3; round++) await pass(10);
    expect(starts(feed).slice(3)).toEqual([
      [1_200, 2],
      [1_202, 2],
      [1_204, 1],
    ]);
  });
});

describe('a store that fails', () => {
  test('is asked again, later each time, with the same and what has come since', async () => {
    const { feed, log, pass } = publisher();
    let tries = 0;
    feed.before = () => {
      tries += 1;
      if (tries <= 4) throw storeFailed();
    };
    log.append('a');
    for (const [afterMs, expected] of [
      [10, 1],
      [99, 1],
      [1, 2],
      [499, 2],
      [1, 3],
      [1_999, 3],
      [1, 4],
      [1_999, 4],
    ] as const) {
      log.append('more');
      await pass(afterMs);
      expect(tries).toBe(expected);
    }
    await pass(1);
    expect(starts(feed)).toEqual([[0, 9]]);
  });

  test('leaves a gap when the log could not wait, and nothing else', async () => {
    const { feed, log, pass } = publisher(10);
    feed.before = () => {
      throw storeFailed();
    };
    log.append('first');
    await pass(10);
    for (let number = 0; number < 5_000; number++) {
      log.append(number);
      log.forget(log.end);
    }
    feed.before = () => {};
    for (let round = 0; round < 30; round++) await pass(100);
    const [first] = feed.appended;
    expect(first?.start).toBe(log.start.index);
    expect(feed.entries).toEqual(
      Array.from({ length: 5_001 - log.start.index }, (_, index) => ({
        at: [0, 1, log.start.index + index],
        chunk: log.start.index + index - 1,
      })),
    );
  });

  test('for good with some entries, goes on without them', async () => {
    const { feed, log, pass } = publisher();
    feed.before = () => {
      throw new InvalidValueError('option', []);
    };
    log.append('impossible');
    await pass(10);
    feed.before = () => {};
    log.append('a');
    await pass(10);
    expect(starts(feed)).toEqual([[1, 1]]);
  });

  test('because the run has lost its session, is left alone, and the run is told', async () => {
    const { publisher: one, feed, log, failures, pass } = publisher();
    let tries = 0;
    feed.before = () => {
      tries += 1;
      throw new LeaseLostError('session');
    };
    log.append('a');
    await pass(10);
    log.append('b');
    await pass(100_000);
    expect(tries).toBe(1);
    expect(failures).toEqual([new LeaseLostError('session')]);
    await one.end(failures[0]);
    expect(tries).toBeLessThanOrEqual(2);
    expect(failures.length).toBe(1);
  });

  test('to take the end of a run that has lost its session, does not make it fail', async () => {
    const { publisher: one, feed, log, failures, pass } = publisher();
    feed.before = () => {
      throw new LeaseLostError('session');
    };
    log.append('a');
    const ending = one.end();
    await pass(10);
    await ending;
    expect(failures).toEqual([]);
  });

  test('is asked without a pause by a run that says more than goes at once', async () => {
    const { feed, log, pass } = publisher();
    for (let number = 0; number < 1_400; number++) log.append(number);
    await pass(10);
    expect(starts(feed)).toEqual([[0, 500]]);
    await pass(1);
    expect(starts(feed)[1]).toEqual([500, 500]);
    await pass(9);
    expect(feed.appended.length).toBe(2);
    await pass(1);
    expect(starts(feed)[2]).toEqual([1_000, 400]);
  });
});

describe('the end of a run', () => {
  test('takes what is left with it', async () => {
    const { publisher: one, feed, log, pass } = publisher();
    for (const entry of [new TurnStart(2, 3), 'a']) log.append(entry);
    await one.end();
    expect(feed.entries).toEqual([
      { at: [0, 1, 0], turnStart: true },
      { at: [2, 3, 0], chunk: 'a' },
      { at: [2, 3, 1], runEnd: { finishReason: 'stop' } },
    ]);
    log.append('too late');
    await pass(1_000);
    expect(feed.appended.length).toBe(1);
  });

  test('waits for the append that is going on, and says the rest in as many as it takes', async () => {
    const { publisher: one, feed, log, pass } = publisher();
    const slow = new Deferred<void>();
    feed.before = () => slow.promise;
    log.append(0);
    await pass(10);
    for (let number = 1; number < 600; number++) log.append(number);
    const ending = one.end();
    slow.resolve();
    await ending;
    expect(starts(feed)).toEqual([
      [0, 1],
      [1, 500],
      [501, 100],
    ]);
    expect(feed.entries.at(-1)).toEqual({ at: [0, 1, 600], runEnd: { finishReason: 'stop' } });
  });

  test.each([
    ['aborted', new AgentFlowError('RUN_ABORTED', 'enough', { cause: new Error('why') })],
    ['failed', new AgentFlowError('HANDLER_FAILED', 'oh', { status: 'NOT_FOUND', details: { a: 1, b: () => {} } })],
  ])('says why: %s', async (finishReason, error) => {
    const { publisher: one, feed } = publisher();
    await one.end(error);
    const { status, code, message } = error;
    const details = error.details === undefined ? {} : { details: { a: 1 } };
    expect(feed.entries).toEqual([
      { at: [0, 1, 0], runEnd: { finishReason, error: { status, code, message, ...details } } },
    ]);
  });

  test('is said again until the store takes it', async () => {
    const { publisher: one, feed, clock } = publisher();
    let tries = 0;
    feed.before = () => {
      tries += 1;
      if (tries <= 3) throw storeFailed();
    };
    let isOver = false;
    void one.end().then(() => {
      isOver = true;
    });
    for (let ms = 0; ms < 2_700; ms += 50) {
      clock.advance(50);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(isOver).toBe(true);
    expect(starts(feed)).toEqual([[0, 1]]);
  });

  test.each([
    ['hangs', () => new Promise<void>(() => {})],
    ['fails', () => Promise.reject(storeFailed())],
  ])('does not wait for ever for a store that %s', async (_how, before) => {
    const { publisher: one, feed, log, pass } = publisher();
    feed.before = before;
    log.append('a');
    await pass(10);
    let isOver = false;
    const ending = one.end().then(() => {
      isOver = true;
    });
    for (let ms = 0; ms < 2_900; ms += 100) await pass(100);
    expect(isOver).toBe(false);
    await pass(200);
    await ending;
    expect(feed.appended).toEqual([]);
  });
});

describe('the wish that a run end', () => {
  test('is listened for again when the store would not listen', async () => {
    const clock = new ManualClock();
    const feed = new RecordingFeed();
    const listen = feed.listenForAbort.bind(feed);
    feed.listenForAbort = () => {
      throw new TypeError('no ears');
    };
    new Publisher({ feed, lease, log: new ChunkLog<string>(10), keep, clock, connection: nobody });
    feed.listenForAbort = listen;
    clock.advance(1_999);
    expect(feed.listeners.size).toBe(0);
    clock.advance(1);
    expect(feed.listeners.size).toBe(1);
  });

  test('reaches it, until it has ended', async () => {
    const { publisher: one, feed, aborts } = publisher();
    expect(feed.listeners.size).toBe(1);
    for (const listener of feed.listeners) listener.onAbortRequested('enough');
    expect(aborts).toEqual(['enough']);
    const [listener] = feed.listeners;
    await one.end();
    expect(feed.listeners.size).toBe(0);
    listener?.onAbortRequested('late');
    expect(aborts).toEqual(['enough']);
  });

  test('is listened for again when the store has become deaf', async () => {
    const { publisher: one, feed, aborts, pass } = publisher();
    const [listener] = feed.listeners;
    feed.listeners.clear();
    listener?.onDeaf(storeFailed());
    await pass(1_999);
    expect(feed.listened).toBe(1);
    await pass(1);
    expect(feed.listened).toBe(2);
    for (const again of feed.listeners) again.onAbortRequested('enough');
    expect(aborts).toEqual(['enough']);
    listener?.onDeaf(storeFailed());
    await one.end();
    await pass(10_000);
    expect(feed.listened).toBe(2);
  });
});
