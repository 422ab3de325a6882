import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { AgentFlowError, InvalidValueError, LeaseLostError } from '../../src/errors.js';
import { isPassingOwner, passingOwner } from '../../src/session/passing-owner.js';
import type { RunFeed, SessionLease, SessionStore } from '../../src/session/store.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { create, eventually, mustLoad, refused, whole } from '../../src/testing/session-store/case.js';
import { chunksOf, machines, rest, seen, take, talker } from '../support/talkers.js';
import { quiet, stateOf } from '../support/waiting.js';

const sessionId = 'session';

/** An agent that talks and one that looks on from another process. */
function pair(options: Parameters<typeof talker>[1] = {}) {
  const open = machines();
  return { open, here: talker(open(), options), there: talker(open(), options) };
}

describe('a run of another process', () => {
  test('is seen as the process that runs it sees it, from the beginning and while it goes on', async () => {
    const { here, there } = pair();
    const last = here.hold('c');
    const connection = here.open({ sessionId });
    const local = seen(connection.watch());
    await connection.send(['a', { b: [1, null] }]);
    await connection.send(['', 0, 'c']);
    const attachment = there.attach(sessionId);
    expect(attachment.sessionId).toBe(sessionId);
    const events = attachment[Symbol.asyncIterator]();
    const first = await take(events, 5);
    expect(chunksOf(first)).toEqual(['a', { b: [1, null] }, '|', '', 0]);
    last.resolve();
    connection.close();
    await connection.output();
    const remaining = await seen(rest(events));
    expect(remaining).toMatchObject({ chunks: ['c', '|'], error: undefined });
    expect([...first, ...remaining.all]).toEqual((await local).all);
  });

  test('goes on after any cursor, while it runs and when it is over', async () => {
    const { here, there } = pair();
    const last = here.hold('e');
    const connection = here.open({ sessionId });
    await connection.send(['a', 'b']);
    await connection.send(['c', 'd', 'e']);
    const all = await take(there.attach(sessionId)[Symbol.asyncIterator](), 5);
    const live = all.map(({ cursor }) => seen(there.attach(sessionId, { from: cursor })));
    last.resolve();
    connection.close();
    await connection.output();
    const everything = ['a', 'b', '|', 'c', 'd', 'e', '|'];
    for (const [index, { cursor }] of all.entries()) {
      const expected = { chunks: everything.slice(index + 1), error: undefined };
      expect(await live[index]).toMatchObject(expected);
      expect(await seen(there.attach(sessionId, { from: cursor }))).toMatchObject(expected);
    }
  });

  test('can be attached to before it has said anything', async () => {
    const { here, there } = pair();
    const connection = here.open({ sessionId });
    await eventually(async () => connection.hasSession || undefined);
    const watching = seen(there.attach(sessionId));
    void connection.send(['a']);
    connection.close();
    expect(await watching).toMatchObject({ chunks: ['a', '|'], error: undefined });
  });

  test('that has lost its session ends at its next word, long before its lease would be renewed', async () => {
    const { open, here } = pair({ leaseTtlMs: 600_000 });
    const next = here.hold('b');
    const connection = here.open({ sessionId });
    await connection.send(['a', 'b']);
    expect(await open().acquire(sessionId, { owner: 'next', ttlMs: 60_000, takeover: true })).toBeDefined();
    next.resolve();
    expect(await connection.done).toMatchObject({ finishReason: 'failed', error: { code: 'LEASE_LOST' } });
    expect(await here.stopped).toBeInstanceOf(LeaseLostError);
  });

  test('that says nothing at all ends for those who watch it', async () => {
    const { here, there } = pair();
    const connection = here.open({ sessionId });
    await eventually(async () => connection.hasSession || undefined);
    const watching = seen(there.attach(sessionId));
    connection.close();
    await connection.output();
    expect(await watching).toEqual({ all: [], chunks: [], error: undefined });
  });

  test('tells its error after its chunks, with its facts and without a stack', async () => {
    const { open, here, there } = pair();
    const connection = here.open({ sessionId });
    const local = seen(connection.watch());
    const issues = [{ path: 'x', expected: 'a', received: 'b' }];
    await connection.send(['a', new InvalidValueError('artifact', issues)]);
    connection.close();
    await connection.output().catch(() => {});
    const { chunks, all, error } = await seen(there.attach(sessionId));
    expect(chunks).toEqual(['a', '|']);
    expect(error).toBeInstanceOf(InvalidValueError);
    expect(error).toMatchObject({ code: 'INVALID_VALUE', kind: 'artifact', issues });
    const told = await local;
    expect(error?.toJSON()).toEqual(told.error?.toJSON());
    expect(all.at(-1)).toMatchObject({ type: 'turnEnd', error: expect.any(InvalidValueError) });
    const page = await open().feed.read(sessionId, { from: 0, limit: 99 });
    expect(JSON.stringify(page)).not.toContain('talkers.ts');
  });

  test('that was cut short, or failed for a reason of its own, says so', async () => {
    const { here, there } = pair();
    const connection = here.open({ sessionId });
    here.hold('b');
    await connection.send(['a', 'b']);
    const events = there.attach(sessionId)[Symbol.asyncIterator]();
    await take(events, 1);
    await connection.send(['c', new TypeError('unheard of')], { policy: 'interrupt' });
    connection.close();
    await connection.output().catch(() => {});
    const { all, error } = await seen(rest(events));
    expect(all.find(({ type }) => type === 'turnEnd')).toMatchObject({ interrupted: true });
    expect(error).toMatchObject({ code: 'HANDLER_FAILED', status: 'INTERNAL', message: 'unheard of' });
  });

  test('of another tenant is not seen', async () => {
    const open = machines();
    const here = talker(open().forTenant('a'));
    const connection = here.open({ sessionId });
    await connection.send(['secret']);
    expect((await take(talker(open().forTenant('a')).attach(sessionId)[Symbol.asyncIterator](), 1)).length).toBe(1);
    for (const store of [open(), open().forTenant('b')]) {
      expect(await seen(talker(store).attach(sessionId))).toMatchObject({ error: { code: 'SESSION_NOT_RUNNING' } });
    }
    await connection[Symbol.asyncDispose]();
  });

  test('is left by `break` and by the signal, and goes on', async () => {
    const { here, there } = pair();
    const connection = here.open({ sessionId });
    await connection.send(['a', 'b']);
    for await (const event of there.attach(sessionId)) {
      expect(event).toMatchObject({ chunk: 'a' });
      break;
    }
    const leaving = new AbortController();
    const events = there.attach(sessionId, { signal: leaving.signal })[Symbol.asyncIterator]();
    await take(events, 3);
    const waiting = events.next();
    leaving.abort();
    expect(await waiting).toEqual({ value: undefined, done: true });
    const other = there.attach(sessionId)[Symbol.asyncIterator]();
    await take(other, 3);
    const alsoWaiting = other.next();
    expect(await other.return?.()).toEqual({ value: undefined, done: true });
    expect(await alsoWaiting).toEqual({ value: undefined, done: true });
    await connection.send(['c']);
    connection.close();
    expect(await connection.output()).toMatchObject({ output: 'over' });
    const late = await seen(there.attach(sessionId, { signal: AbortSignal.abort() }));
    expect(late).toEqual({ all: [], chunks: [], error: undefined });
  });

  test('may be followed by the next run of the session', async () => {
    const { here, there } = pair();
    const first = here.open({ sessionId });
    await first.send(['a', 'b']);
    first.close();
    await first.output();
    const [a, , end] = (await seen(there.attach(sessionId))).all;
    const second = here.open({ sessionId });
    const held = here.hold('c');
    await eventually(async () => second.hasSession || undefined);
    // What is left of the first comes first; who has seen all of it sees the second.
    expect(await seen(there.attach(sessionId, a && { from: a.cursor }))).toMatchObject({ chunks: ['b', '|'] });
    const events = there.attach(sessionId, end && { from: end.cursor })[Symbol.asyncIterator]();
    const waiting = events.next();
    void second.send(['c']);
    held.resolve();
    expect((await waiting).value).toMatchObject({ chunk: 'c', cursor: { turn: 1, seq: 0 } });
    second.close();
    await second.output();
    expect(await seen(there.attach(sessionId, a && { from: a.cursor }))).toMatchObject({ chunks: ['c', '|'] });
  });
});

describe('what cannot be seen', () => {
  test.each<[string, () => SessionStore | undefined]>([
    ['in a shared store', () => machines()()],
    ['in a store without feeds', () => new MemorySessionStore()],
    ['without a store', () => undefined],
  ])('nothing runs: %s', async (_where, open) => {
    const attachment = talker(open()).attach(sessionId);
    expect(await seen(attachment)).toMatchObject({ chunks: [], error: { code: 'SESSION_NOT_RUNNING' } });
    await refused(attachment.abort(), 'SESSION_NOT_RUNNING');
  });

  test('does no harm to who does not look at the answers', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    onTestFinished(() => void process.off('unhandledRejection', note));
    for (const store of [machines()(), undefined]) {
      const attachment = talker(store).attach(sessionId);
      void attachment.abort();
      const events = attachment[Symbol.asyncIterator]();
      void events.next();
      void events.return?.();
      await refused(attachment.abort(), 'SESSION_NOT_RUNNING');
    }
    await quiet();
    expect(unhandled).toEqual([]);
  });

  test('a cursor that is none', () => {
    const from = { run: 'x', turn: -1, seq: 0, attempt: 1 };
    expect(() => talker(undefined).attach(sessionId, { from })).toThrow(InvalidValueError);
  });

  test('chunks that are no longer kept', async () => {
    const { here, there } = pair({ replayChunks: 20, maxBufferedChunks: 5 });
    const connection = here.open({ sessionId });
    const reading = (async () => {
      for await (const _ of connection.receive());
    })();
    await connection.send(['first']);
    await reading;
    const events = there.attach(sessionId)[Symbol.asyncIterator]();
    const [first] = await take(events, 2);
    const numbers = Array.from({ length: 4_000 }, (_, index) => index);
    void connection.send(numbers);
    connection.close();
    await connection.output();
    expect(await seen(there.attach(sessionId, { from: first.cursor }))).toMatchObject({
      chunks: [],
      error: { code: 'CURSOR_EXPIRED' },
    });
    const late = await seen(there.attach(sessionId));
    expect(late.error).toBeUndefined();
    expect(late.chunks.length).toBeGreaterThan(20);
    expect(late.chunks).toEqual([...numbers, '|'].slice(-late.chunks.length));
    // Who was there all the time has seen all, or a gap, but nothing else.
    const { chunks, error } = await seen(rest(events));
    expect(chunks).toEqual([...numbers, '|'].slice(0, chunks.length));
    if (chunks.length <= numbers.length) expect(error).toMatchObject({ code: 'CURSOR_EXPIRED' });
  });

  test.each([
    ['a date', new Date(0), '', 'an instance of Date'],
    ['a map within', { list: [new Map()] }, 'list.0', 'an instance of Map'],
    ['nothing', undefined, '', 'undefined'],
    ['a number JSON has not', { n: Number.NaN }, 'n', 'NaN'],
  ])('a chunk that is not JSON: %s', async (_what, chunk, path, received) => {
    const { here, there } = pair();
    const connection = here.open({ sessionId });
    const local = seen(connection.watch());
    await connection.send(['a', chunk, 'b']);
    connection.close();
    await connection.output();
    expect((await local).chunks).toEqual(['a', chunk, 'b', '|']);
    const { chunks, error } = await seen(there.attach(sessionId));
    expect(chunks).toEqual(['a']);
    expect(error).toMatchObject({
      code: 'INVALID_VALUE',
      issues: [{ path, received }],
      details: { cursor: { turn: 1, seq: 1 } },
    });
    const from = { run: connection.run, turn: 1, seq: 1, attempt: 1 };
    expect(await seen(there.attach(sessionId, { from }))).toMatchObject({ error: { code: 'INVALID_VALUE' } });
  });

  test('a feed that holds something else', async () => {
    const { open, there } = pair();
    const store = open();
    const lease = await create(store, sessionId);
    await store.feed.append(lease, { start: 0, entries: ['what is this'], keep: 9, ttlMs: 60_000 });
    expect(await seen(there.attach(sessionId))).toMatchObject({ chunks: [], error: { code: 'STORE_CORRUPT' } });
  });
});

describe('a run of this process', () => {
  test('is watched directly, also through another agent on the same store', async () => {
    const store = machines()();
    const read = vi.spyOn(store.feed, 'read');
    const here = talker(store);
    const connection = here.open({ sessionId });
    const chunk = { when: new Date(0) };
    await connection.send(['a', chunk]);
    for (const agent of [here, talker(store)]) {
      const events = await take(agent.attach(sessionId)[Symbol.asyncIterator](), 2);
      expect(events[1]).toMatchObject({ chunk: { when: chunk.when } });
      const [{ cursor }] = events;
      expect(chunksOf(await take(agent.attach(sessionId, { from: cursor })[Symbol.asyncIterator](), 2))).toEqual([
        chunk,
        '|',
      ]);
    }
    expect(read).not.toHaveBeenCalled();
    const end = talker(store).attach(sessionId).abort('enough');
    expect(await end).toMatchObject({ sessionId, finishReason: 'aborted', error: { cause: 'enough' } });
    await refused(connection.output(), 'RUN_ABORTED');
  });

  test.each([
    ['with a store without feeds', () => new MemorySessionStore()],
    ['without a store', () => undefined],
  ])('is attached to %s', async (_what, open) => {
    const here = talker(open());
    const connection = here.open({ sessionId });
    const watching = seen(here.attach(sessionId));
    await connection.send(['a']);
    connection.close();
    expect(await watching).toMatchObject({ chunks: ['a', '|'], error: undefined });
  });

  test('is attached to while it opens', async () => {
    const { here } = pair();
    const connection = here.open({ sessionId });
    const watching = seen(here.attach(sessionId));
    void connection.send(['a']);
    connection.close();
    expect(await watching).toMatchObject({ chunks: ['a', '|'], error: undefined });
  });

  test('that waits for its session is not taken for the one that has it', async () => {
    const { here, there } = pair();
    const first = here.open({ sessionId });
    await first.send(['a']);
    const second = there.open({ sessionId });
    const events = there.attach(sessionId)[Symbol.asyncIterator]();
    expect(chunksOf(await take(events, 2))).toEqual(['a', '|']);
    await events.return?.();
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
  });
});

describe('abort', () => {
  test('ends the run of another process, and is confirmed', async () => {
    const { here, there } = pair();
    here.hold('b');
    const connection = here.open({ sessionId });
    await connection.send(['a', 'b']);
    const attachment = there.attach(sessionId);
    const events = attachment[Symbol.asyncIterator]();
    await take(events, 1);
    const end = await attachment.abort('the user left');
    expect(end).toMatchObject({ sessionId, finishReason: 'aborted', error: { code: 'RUN_ABORTED' } });
    const reason = await here.stopped;
    expect(reason).toMatchObject({ code: 'RUN_ABORTED', cause: 'the user left' });
    expect(await connection.done).toMatchObject({ finishReason: 'aborted', error: reason });
    expect((await seen(rest(events))).error).toMatchObject({ code: 'RUN_ABORTED', status: 'CANCELLED' });
    expect(await there.attach(sessionId).abort()).toMatchObject({ finishReason: 'aborted' });
  });

  test.each([
    [undefined, 'It was asked for from another process'],
    [new AgentFlowError('TURN_BUSY', 'too busy'), 'too busy'],
    [7, '7'],
    [Object.assign(new TypeError(), { message: 7 }), '7'],
    [Symbol('why'), 'Symbol(why)'],
    [Object.create(null), 'It was asked for from another process'],
  ])('tells the reason as text: %s', async (reason, text) => {
    const { here, there } = pair();
    const connection = here.open({ sessionId });
    await eventually(async () => connection.hasSession || undefined);
    expect(await there.attach(sessionId).abort(reason)).toMatchObject({ finishReason: 'aborted' });
    expect(await here.stopped).toMatchObject({ cause: text });
  });

  test('by many at once is one abort, and all who watch are told', async () => {
    const { here, there } = pair();
    here.hold('b');
    const connection = here.open({ sessionId });
    await connection.send(['a', 'b']);
    const watching = Array.from({ length: 50 }, () => seen(there.attach(sessionId)));
    const ends = await Promise.all(Array.from({ length: 20 }, (_, index) => there.attach(sessionId).abort(`${index}`)));
    for (const end of ends) expect(end).toMatchObject({ finishReason: 'aborted', error: { code: 'RUN_ABORTED' } });
    for (const one of await Promise.all(watching))
      expect(one).toMatchObject({ chunks: ['a'], error: { code: 'RUN_ABORTED' } });
  });

  test('of a run that is over answers how it ended', async () => {
    const { here, there } = pair();
    const connection = here.open({ sessionId });
    await connection.send(['a']);
    connection.close();
    await connection.output();
    expect(await there.attach(sessionId).abort()).toEqual({ sessionId, finishReason: 'stop' });
  });
});

describe('a run whose process has died', () => {
  /** A run that will never say how it ended. */
  async function dying(leaseTtlMs: number) {
    const { open } = pair();
    const [store, other] = [open(), open()];
    const there = talker(other, { leaseTtlMs });
    await store.release(await create(store, sessionId));
    const lease = await store.acquire(sessionId, { owner: 'dead', ttlMs: leaseTtlMs });
    if (lease === undefined) throw new AgentFlowError('SESSION_BUSY', 'The session is held');
    const entries = [
      { at: [0, 1, 0], turnStart: true },
      { at: [1, 1, 0], chunk: 'a' },
    ];
    await store.feed.append(lease, { start: 0, entries, keep: 9, ttlMs: 60_000 });
    return { store, other, there, lease };
  }

  test('ends with a lost lease for those who watch, after its chunks', async () => {
    const { there } = await dying(100);
    const { chunks, error } = await seen(there.attach(sessionId));
    expect(chunks).toEqual(['a']);
    expect(error).toBeInstanceOf(LeaseLostError);
    expect(error?.message).toContain('did not say how it ended');
  });

  test('is fenced off when its lease has expired, and then the abort is confirmed', async () => {
    const { store, other, there, lease } = await dying(100);
    const fencing = vi.spyOn(other, 'acquire');
    const end = await there.attach(sessionId).abort('enough');
    expect(end).toMatchObject({ sessionId, finishReason: 'failed', error: { code: 'LEASE_LOST' } });
    await refused(store.save(lease, { expectedVersion: 1, change: whole({}) }), 'LEASE_LOST');
    expect((await mustLoad(store, sessionId)).head).toBe(1);
    expect(await store.acquire(sessionId, { owner: 'next', ttlMs: 1_000 })).toBeDefined();
    expect(isPassingOwner(fencing.mock.calls[0]?.[1].owner ?? '')).toBe(true);
  });

  test('before it has said anything ends in the same way', async () => {
    const { open } = pair();
    const [store, other] = [open(), open()];
    await store.release(await create(store, sessionId));
    const lease = await store.acquire(sessionId, { owner: 'dead', ttlMs: 60_000 });
    if (lease === undefined) throw new AgentFlowError('SESSION_BUSY', 'The session is held');
    const waits = vi.spyOn(other.feed, 'whenGrown');
    const attachment = talker(other, { leaseTtlMs: 1_000 }).attach(sessionId);
    const ends = Promise.all([seen(attachment), attachment.abort()]);
    await eventually(async () => waits.mock.calls.length >= 2 || undefined, 'expected both to wait for its words');
    await store.renew(lease, 1);
    const [{ error }, end] = await ends;
    expect(error).toBeInstanceOf(LeaseLostError);
    expect(end).toMatchObject({ finishReason: 'failed', error: { code: 'LEASE_LOST' } });
  });

  test('and has been replaced is confirmed as ended', async () => {
    const { store, there } = await dying(60_000);
    const attachment = there.attach(sessionId);
    await take(attachment[Symbol.asyncIterator](), 1);
    const next = await store.acquire(sessionId, { owner: 'next', ttlMs: 60_000, takeover: true });
    expect(await attachment.abort()).toMatchObject({ finishReason: 'failed', error: { code: 'LEASE_LOST' } });
    expect(next && (await store.renew(next, 60_000))).toBe(true);
    if (next !== undefined)
      await store.feed.append(next, { start: 0, entries: [{ at: [1, 1, 0], chunk: 'x' }], keep: 9, ttlMs: 60_000 });
    expect(await attachment.abort()).toMatchObject({ finishReason: 'failed', error: { code: 'CURSOR_EXPIRED' } });
    expect(await seen(attachment)).toMatchObject({ chunks: [], error: { code: 'CURSOR_EXPIRED' } });
  });
});

describe('a session that is held in passing', () => {
  /** A session that can be held for a moment by somebody who is no run. */
  function held() {
    const { open, here, there } = pair();
    const store = open();
    const take = () => store.acquire(sessionId, { owner: passingOwner('1'), ttlMs: 60_000 });
    const release = async (lease: SessionLease | undefined) => lease && store.release(lease);
    return { here, there, take, release };
  }

  test('is looked at again when it is free: nothing runs', async () => {
    const { there, take, release } = held();
    const lease = await take();
    const attachment = there.attach(sessionId);
    const ends = Promise.all([seen(attachment), refused(attachment.abort(), 'SESSION_NOT_RUNNING')]);
    expect(await stateOf(ends)).toBe('pending');
    await release(lease);
    const error = { code: 'SESSION_NOT_RUNNING' };
    expect(await ends).toMatchObject([{ chunks: [], error }, error]);
  });

  test('still shows the run before, from the beginning and from its end', async () => {
    const { here, there, take, release } = held();
    const connection = here.open({ sessionId });
    await connection.send(['a']);
    connection.close();
    await connection.output();
    const { all } = await seen(there.attach(sessionId));
    const lease = await take();
    const last = all.at(-1)?.cursor;
    const watching = [seen(there.attach(sessionId)), seen(there.attach(sessionId, last && { from: last }))];
    expect(await stateOf(Promise.all(watching))).toBe('pending');
    await release(lease);
    expect(await Promise.all(watching)).toMatchObject([
      { chunks: ['a', '|'], error: undefined },
      { chunks: [], error: undefined },
    ]);
  });

  test('is then that of the run that takes it over', async () => {
    const { here, there, take } = held();
    await take();
    const watching = seen(there.attach(sessionId));
    expect(await stateOf(watching)).toBe('pending');
    const connection = here.open({ sessionId, onBusySession: 'takeover' });
    await connection.send(['a']);
    connection.close();
    await connection.output();
    expect(await watching).toMatchObject({ chunks: ['a', '|'], error: undefined });
  });
});

describe('a store that fails', () => {
  /** Every other call of its feed fails, some after they were done. */
  function failing(feed: RunFeed): RunFeed {
    let calls = 0;
    const unsteady = async <T>(work: () => Promise<T>): Promise<T> => {
      calls += 1;
      if (calls % 3 === 1) throw new AgentFlowError('STORE_FAILED', 'not now');
      const answer = await work();
      if (calls % 3 === 2) throw new AgentFlowError('STORE_FAILED', 'done, but you never know');
      return answer;
    };
    return {
      append: (lease, entries) => unsteady(() => feed.append(lease, entries)),
      read: (id, options) => feed.read(id, options),
      whenGrown: (id, run, end, signal) => unsteady(() => feed.whenGrown(id, run, end, signal)),
      requestAbort: (id, run, reason) => feed.requestAbort(id, run, reason),
      listenForAbort: (lease, listener) => feed.listenForAbort(lease, listener),
    };
  }

  test('costs those who watch some time, and the run nothing', async () => {
    const open = machines();
    const [store, other] = [open(), open()];
    Object.assign(store, { feed: failing(store.feed) });
    Object.assign(other, { feed: failing(other.feed) });
    const here = talker(store);
    const connection = here.open({ sessionId });
    await eventually(async () => connection.hasSession || undefined);
    const watching = seen(talker(other).attach(sessionId));
    for (const chunk of ['a', 'b', 'c']) await connection.send([chunk]);
    connection.close();
    expect(await connection.output()).toMatchObject({ output: 'over' });
    expect(await watching).toMatchObject({ chunks: ['a', '|', 'b', '|', 'c', '|'], error: undefined });
  });
});
