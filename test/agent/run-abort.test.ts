import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { HandlerArgs } from '../../src/agent/agent.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testAgent } from '../support/agents.js';
import { collect, collectToError, errorOf, Gate, quiet, stateOf, take } from '../support/waiting.js';

type Args = HandlerArgs<Record<string, unknown>, unknown, unknown>;

const aborted = { code: 'RUN_ABORTED', status: 'CANCELLED' };

/** An agent whose handler does what it likes and never looks at its signal. */
function stubborn(work: (args: Args) => Promise<unknown>) {
  const clock = new ManualClock();
  const store = new MemorySessionStore({ clock });
  const agent = testAgent({ clock, store, abortGraceMs: 1_000 }, async (args) => ({ output: await work(args) }));
  return { ...agent, clock, store };
}

describe('abort', () => {
  it('reaches the signal at once and ends the run within 50 ms, though the handler ignores it', async () => {
    const begun = new Gate();
    let signal: AbortSignal | undefined;
    const agent = stubborn(async (args) => {
      signal = args.signal;
      await args.responder.send('one');
      begun.open();
      return new Promise(() => {});
    });
    const conn = agent.open();
    await begun.opened;
    const start = performance.now();
    conn.abort('enough');
    expect(signal?.aborted).toBe(true);
    expect(await conn.done).toMatchObject({ finishReason: 'aborted', error: { ...aborted, cause: 'enough' } });
    expect(performance.now() - start).toBeLessThan(50);
    expect(agent.clock.now()).toBe(0);
    const { chunks, error } = await collectToError(conn.receive());
    expect(chunks).toEqual(['one']);
    expect(error).toMatchObject(aborted);
    expect(await errorOf(conn.output())).toBe(error);
    expect(signal?.reason).toBe(error);
  });

  it('ends a handler that waits for input, for room, or for a reader', async () => {
    for (const work of [
      ({ inputStream }: Args) => collect(inputStream),
      async ({ responder }: Args) => {
        for (;;) await responder.send('more');
      },
      ({ turns }: Args) => turns(() => new Promise(() => {})),
    ]) {
      const agent = stubborn(work);
      const conn = agent.open();
      void conn.send('go');
      await quiet();
      conn.abort();
      expect(await conn.done).toMatchObject({ finishReason: 'aborted' });
    }
  });

  it('counts once, and not at all after the end', async () => {
    const agent = stubborn(async () => 'done');
    const conn = agent.open();
    conn.abort('first');
    conn.abort('second');
    expect(await conn.done).toMatchObject({ error: { cause: 'first' } });
    const ended = agent.open();
    await ended.output();
    ended.abort();
    expect((await ended.output()).output).toBe('done');
    expect(await ended.done).toMatchObject({ finishReason: 'stop' });
  });

  it('refuses the inputs that wait', async () => {
    const agent = stubborn(() => new Promise(() => {}));
    const conn = agent.open();
    const sent = conn.send('a');
    await quiet();
    conn.abort();
    expect(await errorOf(sent)).toMatchObject(aborted);
  });

  it('begins no turn with an input that was being recorded', async () => {
    const inputs: unknown[] = [];
    const agent = stubborn(async ({ inputStream }) => {
      for await (const input of inputStream) inputs.push(input);
    });
    const recording = new Gate();
    const accept = agent.store.accept.bind(agent.store);
    agent.store.accept = async (...args) => {
      await recording.opened;
      return accept(...args);
    };
    const conn = agent.open({ sessionId: 's' });
    void conn.send('a', { id: 'a' });
    await quiet();
    conn.abort();
    recording.open();
    await quiet();
    expect(inputs).toEqual([]);
    expect((await agent.store.load('s'))?.pending).toMatchObject([{ id: 'a', done: false }]);
    agent.clock.advance(1_000);
    const next = agent.open({ sessionId: 's' });
    next.close();
    await next.output();
    expect(inputs).toEqual(['a']);
  });
});

describe("a caller's signal", () => {
  it('aborts the run with its reason, and is left alone afterwards', async () => {
    const controller = new AbortController();
    const agent = stubborn(() => new Promise(() => {}));
    const conn = agent.open({ abortSignal: controller.signal });
    await quiet();
    controller.abort('timeout');
    expect(await conn.done).toMatchObject({ finishReason: 'aborted', error: { ...aborted, cause: 'timeout' } });
    const other = new AbortController();
    await stubborn(async () => 1)
      .open({ abortSignal: other.signal })
      .output();
    await quiet();
    expect(getEventListeners(other.signal, 'abort')).toEqual([]);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it('that has fired already never runs the handler and makes no session', async () => {
    let hasRun = false;
    const agent = stubborn(async () => {
      hasRun = true;
    });
    const conn = agent.open({ sessionId: 's', abortSignal: AbortSignal.abort('early') });
    expect(await conn.done).toMatchObject({ finishReason: 'aborted', error: { cause: 'early' } });
    expect(await errorOf(conn.output())).toMatchObject(aborted);
    await quiet();
    expect(hasRun).toBe(false);
    expect(await agent.store.load('s')).toBeUndefined();
  });

  it('ends the wait for a session another connection holds', async () => {
    let runs = 0;
    const agent = stubborn(async ({ inputStream }) => {
      runs += 1;
      return collect(inputStream);
    });
    const first = agent.open({ sessionId: 's' });
    const controller = new AbortController();
    const second = agent.open({ sessionId: 's', abortSignal: controller.signal });
    const third = agent.open({ sessionId: 's' });
    await quiet();
    controller.abort();
    expect(await second.done).toMatchObject({ finishReason: 'aborted' });
    first.close();
    third.close();
    await Promise.all([first.output(), third.output()]);
    expect(runs).toBe(2);
  });
});

describe('the grace after an abort', () => {
  it('lets the handler save; the next connection waits for it and finds it', async () => {
    const agent = stubborn(async ({ session, signal, inputStream }) => {
      if (session.version > 1) return 'second';
      for await (const _ of inputStream);
      expect(signal.aborted).toBe(true);
      await quiet();
      await session.updateState({ partial: 'kept' });
      return 'first';
    });
    const conn = agent.open({ sessionId: 's' });
    await quiet();
    conn.abort();
    const next = agent.open({ sessionId: 's' });
    expect(await next.output()).toMatchObject({ output: 'second', state: { partial: 'kept' } });
  });

  it('is over for a handler that does not notice: the session goes to the next, and the zombie can do nothing', async () => {
    const woken = new Gate();
    const buried = new Gate();
    const refusals: unknown[] = [];
    const agent = stubborn(async ({ session, responder, inputStream }) => {
      if (session.version > 1) return 'second';
      await session.updateState({ turn: 1 });
      await woken.opened;
      for (const act of [
        () => responder.send('late'),
        () => responder.endTurn(),
        () => session.updateState({ turn: 'zombie' }),
        () => session.saveArtifact({ name: 'zombie', parts: [] }),
      ]) {
        refusals.push(await errorOf(act));
      }
      refusals.push(await collect(inputStream));
      buried.open();
      return 'first';
    });
    const conn = agent.open({ sessionId: 's' });
    await quiet();
    conn.abort('enough');
    const { error } = await conn.done;
    const next = agent.open({ sessionId: 's' });
    agent.clock.advance(999);
    expect(await stateOf(next.output())).toBe('pending');
    agent.clock.advance(1);
    expect(await next.output()).toMatchObject({ output: 'second', state: { turn: 1 } });
    woken.open();
    await buried.opened;
    expect(refusals).toEqual([error, error, error, error, []]);
    expect((await agent.sessions.get('s'))?.state).toEqual({ turn: 1 });
    expect(await collectToError(conn.receive())).toEqual({ chunks: [], error });
  });
});

describe('after the end of a run that went well', () => {
  it('its responder and its session are answered with RUN_ENDED', async () => {
    const kept: Args[] = [];
    const agent = stubborn(async (args) => {
      kept.push(args);
      void args.responder.send('in time');
      return 1;
    });
    const conn = agent.open();
    await conn.output();
    const [args] = kept;
    if (args === undefined) throw new Error('the handler has not run');
    const ended = { code: 'RUN_ENDED', status: 'FAILED_PRECONDITION' };
    expect(await errorOf(() => args.responder.send('late'))).toMatchObject(ended);
    expect(await errorOf(() => args.responder.endTurn())).toMatchObject(ended);
    expect(await errorOf(() => args.session.updateState({ late: true }))).toMatchObject(ended);
    expect(await collect(args.inputStream)).toEqual([]);
    expect(args.signal.aborted).toBe(false);
    expect(await collect(conn.receive())).toEqual(['in time']);
  });
});

describe('await using', () => {
  it('closes the connection and waits for the run, reading or not', async () => {
    const agent = stubborn(async ({ turns, responder, session }) => {
      await turns(async () => {
        for (let chunk = 0; chunk < 5_000; chunk++) await responder.send(chunk);
      });
      await session.updateState({ ended: true });
    });
    {
      await using conn = agent.open({ sessionId: 's' });
      void conn.send('a');
      void conn.send('b');
      await take(conn.receive(), 3);
    }
    expect((await agent.sessions.get('s'))?.state).toEqual({ ended: true });
  });

  it('does not throw for a run that failed', async () => {
    const agent = stubborn(async () => {
      throw new TypeError('broke');
    });
    await using conn = agent.open();
    await quiet();
    expect(await conn.done).toMatchObject({ finishReason: 'failed' });
  });
});
