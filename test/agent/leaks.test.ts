/** What is over is let go: runs, connections, sessions, waits, watchers, signals. */
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testAgent } from '../support/agents.js';
import { stillHeld } from '../support/garbage.js';
import { collect, take } from '../support/waiting.js';

const clock = new ManualClock();

function agentThatIsWatched(refs: WeakRef<object>[]) {
  const store = new MemorySessionStore({ clock });
  return testAgent({ store, clock, keepVersions: 1 }, async (args) => {
    refs.push(new WeakRef(args.session), new WeakRef(args.responder), new WeakRef(args.signal));
    await args.turns(async (input, turn) => {
      refs.push(new WeakRef(turn.signal));
      if (input === 'fail') throw new TypeError('failed');
      await args.responder.send({ big: 'x'.repeat(1_000) });
      await args.session.updateState({ input });
    });
    return { output: null };
  });
}

describe('after a thousand runs on one id', () => {
  it('nothing of them is held, however each of them ended', async () => {
    const refs: WeakRef<object>[] = [];
    const agent = agentThatIsWatched(refs);
    const signal = new AbortController().signal;
    const run = async (number: number) => {
      const conn = agent.open({ sessionId: 's', abortSignal: signal });
      refs.push(new WeakRef(conn));
      void conn.send(number % 7 === 0 ? 'fail' : 'go', number % 3 === 0 ? { id: `id-${number}` } : {});
      if (number % 4 === 0) void collect(agent.watch('s')).catch(() => {});
      if (number % 5 === 0) await take(conn.receive(), 1).catch(() => {});
      if (number % 11 === 0) conn.abort();
      else conn.close();
      await conn.output().catch(() => {});
    };
    for (let number = 1; number <= 1_000; number++) await run(number);
    clock.advance(100_000);
    expect(refs.length).toBeGreaterThan(4_000);
    expect(await stillHeld(refs)).toBeLessThan(20);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(() => agent.watch('s')).toThrow(expect.objectContaining({ code: 'SESSION_NOT_RUNNING' }));
    const again = agent.open({ sessionId: 's', onBusySession: 'reject' });
    again.close();
    await again.output();
  });

  it('nor of those that waited, gave up, were refused or were robbed', async () => {
    const refs: WeakRef<object>[] = [];
    const agent = agentThatIsWatched(refs);
    const crowd = async () => {
      const options = { sessionId: 's' } as const;
      const conns = [
        agent.open(options),
        agent.open(options),
        agent.open(options),
        agent.open({ ...options, onBusySession: 'reject' }),
        agent.open({ ...options, onBusySession: 'takeover' }),
        agent.open(options),
      ];
      refs.push(...conns.map((conn) => new WeakRef(conn)));
      for (const conn of conns) void conn.output().catch(() => {});
      conns[1]?.abort();
      for (const conn of conns) conn.close();
      await Promise.all(conns.map(({ done }) => done));
    };
    for (let round = 0; round < 100; round++) await crowd();
    clock.advance(100_000);
    expect(await stillHeld(refs)).toBeLessThan(20);
  });
});

it('an aborted run whose handler has ended is not held by the time it was given', async () => {
  const refs: WeakRef<object>[] = [];
  const agent = testAgent({ clock, abortGraceMs: 60_000 }, async ({ turns, responder }) => {
    refs.push(new WeakRef(responder));
    await turns(() => {});
    return { output: null };
  });
  const run = async () => {
    const conn = agent.open();
    refs.push(new WeakRef(conn));
    await conn.send('go');
    conn.abort();
    await conn.done;
  };
  for (let number = 0; number < 100; number++) await run();
  expect(refs).toHaveLength(200);
  expect(await stillHeld(refs)).toBeLessThan(20);
});

describe('a long run', () => {
  it('holds no more than its bounds: inputs, receipts, turns and chunks go', async () => {
    const refs: WeakRef<object>[] = [];
    const agent = testAgent({ replayChunks: 10, maxBufferedChunks: 10 }, async ({ turns, responder }) => {
      await turns(async (input, turn) => {
        refs.push(new WeakRef(turn), new WeakRef(turn.signal));
        await responder.send({ about: input });
      });
      return { output: null };
    });
    const conn = agent.open();
    const send = async (number: number) => {
      const input = { number };
      refs.push(new WeakRef(input));
      await conn.send(input, { id: String(number) });
      const [chunk] = await collect(conn.receive());
      refs.push(new WeakRef(chunk as object));
    };
    for (let number = 0; number < 5_000; number++) await send(number);
    expect(refs).toHaveLength(20_000);
    expect(await stillHeld(refs)).toBeLessThan(5_000);
    conn.close();
    await conn.output();
  });
});
