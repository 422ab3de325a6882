/** One writer per session: what a second connection to it does, in one process and across two. */
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import type { Clock } from '../../src/internal/clock.js';
import type { BusySessionPolicy } from '../../src/session/lease.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testAgent } from '../support/agents.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { collect, collectToError, errorOf, quiet, stateOf } from '../support/waiting.js';

let clock: ManualClock;
let memory: MemorySessionStore;
let refusals: unknown[];

beforeEach(() => {
  clock = new ManualClock();
  memory = new MemorySessionStore({ clock });
  refusals = [];
});

/** A process with an agent that notes each input in the state, and what came of trying. */
function process(onBusySession: BusySessionPolicy = 'queue') {
  const store = new UnsteadyStore(memory);
  const agent = testAgent(
    {
      inputSchema: z.string(),
      stateSchema: z.object({ log: z.array(z.string()).default([]) }),
      store,
      clock,
      onBusySession,
    },
    async ({ session, inputStream, responder }) => {
      for await (const input of inputStream) {
        const update = session.updateState((draft) => {
          draft.log.push(input);
        });
        await update.catch((error) => void refusals.push(error));
        await responder.send(session.state.log.length);
        await responder.endTurn();
      }
      return { output: null };
    },
  );
  return { ...agent, store };
}

async function wait(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 20) {
    clock.advance(20);
    await quiet();
  }
}

const twoWays = [
  [
    'in one process',
    () => {
      const one = process();
      return [one, one] as const;
    },
  ],
  ['across two processes', () => [process(), process()] as const],
] as const;

describe.each(twoWays)('a second connection %s', (_, processes) => {
  it('queue: is served when the first has ended, and finds what it left', async () => {
    const [one, two] = processes();
    const first = one.open({ sessionId: 's' });
    await first.send('a');
    const second = two.open({ sessionId: 's' });
    const sent = second.send('b');
    await wait(2_000);
    expect(await stateOf(sent)).toBe('pending');
    await first.send('a again');
    first.close();
    await first.output();
    await wait(1_000);
    await sent;
    second.close();
    expect((await second.output()).state.log).toEqual(['a', 'a again', 'b']);
  });

  it('reject: is refused with SESSION_BUSY; the first is not disturbed', async () => {
    const [one, two] = processes();
    const first = one.open({ sessionId: 's' });
    await first.send('a');
    const second = two.open({ sessionId: 's', onBusySession: 'reject' });
    expect(await errorOf(second.output())).toMatchObject({ code: 'SESSION_BUSY', status: 'UNAVAILABLE' });
    expect(await errorOf(collect(second.receive()))).toMatchObject({ code: 'SESSION_BUSY' });
    await first.send('b');
    first.close();
    expect((await first.output()).state.log).toEqual(['a', 'b']);
    const third = two.open({ sessionId: 's', onBusySession: 'reject' });
    third.close();
    expect((await third.output()).state.log).toEqual(['a', 'b']);
  });

  it('takeover: has the session at once; nothing the first writes arrives, and its callers are told', async () => {
    const [one, two] = processes();
    const first = one.open({ sessionId: 's' });
    await first.send('a');
    expect(await collect(first.receive())).toEqual([1]);
    const second = two.open({ sessionId: 's', onBusySession: 'takeover' });
    expect(await second.send('b')).toMatchObject({ turn: 1 });
    expect(await collect(second.receive())).toEqual([2]);
    if (one !== two) void first.send('late');
    await quiet();
    const lost = { code: 'LEASE_LOST', status: 'ABORTED', sessionId: 's' };
    expect(await first.done).toMatchObject({ finishReason: 'failed', error: lost });
    expect(await errorOf(first.output())).toMatchObject(lost);
    expect((await collectToError(first.receive())).error).toMatchObject(lost);
    if (one !== two) expect(refusals).toMatchObject([lost]);
    second.close();
    expect((await second.output()).state.log).toEqual(['a', 'b']);
    expect((await memory.load('s'))?.version).toBe(3);
  });

  it('takeover: one that is given up at once leaves the session to the first one, or free', async () => {
    const [one, two] = processes();
    const first = one.open({ sessionId: 's' });
    await first.send('a');
    const second = two.open({ sessionId: 's', onBusySession: 'takeover' });
    second.abort();
    first.close();
    expect(await second.done).toMatchObject({ finishReason: 'aborted' });
    expect(await first.done).toMatchObject({ finishReason: one === two ? 'failed' : 'stop' });
    const third = two.open({ sessionId: 's', onBusySession: 'reject' });
    third.close();
    expect((await third.output()).state.log).toEqual(['a']);
  });

  it('takeover: of a session nobody holds is no different', async () => {
    const [, two] = processes();
    const conn = two.open({ sessionId: 's', onBusySession: 'takeover' });
    conn.close();
    expect((await conn.output()).state.log).toEqual([]);
  });

  it('does not wait for another session', async () => {
    const [one, two] = processes();
    const first = one.open({ sessionId: 's' });
    await first.send('a');
    const second = two.open({ sessionId: 't', onBusySession: 'reject' });
    second.close();
    await second.output();
    first.close();
    await first.output();
  });
});

describe('a run that has ended and still gives its session back', () => {
  /** Fails when it is told to, and is deaf to its signal. */
  const stubborn = (store: MemorySessionStore) =>
    testAgent({ store, clock, inputSchema: z.string(), onBusySession: 'reject' }, async ({ inputStream }) => {
      for await (const input of inputStream) {
        if (input === 'fail') throw new Error('as told');
        if (input === 'hang') await new Promise(() => {});
      }
      return { output: null };
    });

  it.each(['fail', 'hang'])('refuses nobody who has seen its end: %s', async (input) => {
    const { open } = stubborn(memory);
    const first = open({ sessionId: 's' });
    await first.send(input);
    if (input === 'hang') first.abort();
    await first.done;
    const second = open({ sessionId: 's' });
    const third = open({ sessionId: 's' });
    expect(await errorOf(third.output())).toMatchObject({ code: 'SESSION_BUSY' });
    second.close();
    await wait(1_000);
    expect(await second.output()).toMatchObject({ output: null });
  });

  it('keeps its process alive until then, as others may wait for the session', async () => {
    const keptAlive: number[] = [];
    const after: Clock['after'] = (delayMs, callback, { keepAlive = false } = {}) => {
      if (keepAlive) keptAlive.push(delayMs);
      return clock.after(delayMs, callback);
    };
    const agent = testAgent(
      { clock: { now: () => clock.now(), after }, abortGraceMs: 700 },
      async ({ inputStream }) => {
        for await (const _ of inputStream) await new Promise(() => {});
        return { output: null };
      },
    );
    const connection = agent.open();
    await connection.send('hang');
    connection.abort();
    expect(keptAlive).toEqual([700]);
  });
});

describe('a queue of connections', () => {
  it('is served in the order they came, each seeing the one before', async () => {
    const { open } = process();
    const conns = Array.from({ length: 20 }, () => open({ sessionId: 's' }));
    const outputs = conns.map(async (conn, index) => {
      void conn.send(String(index));
      conn.close();
      return (await conn.output()).state.log.length;
    });
    expect(await Promise.all(outputs)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  it('loses nobody when the one who holds it is taken over and others give up', async () => {
    const { open } = process();
    const first = open({ sessionId: 's' });
    await first.send('first');
    await collect(first.receive());
    const waiting = open({ sessionId: 's' });
    const impatient = open({ sessionId: 's' });
    const thief = open({ sessionId: 's', onBusySession: 'takeover' });
    const thiefOfThief = open({ sessionId: 's', onBusySession: 'takeover' });
    impatient.abort();
    await thiefOfThief.send('thief');
    await quiet();
    for (const robbed of [first, thief]) expect(await robbed.done).toMatchObject({ error: { code: 'LEASE_LOST' } });
    expect(await stateOf(waiting.send('waited'))).toBe('pending');
    thiefOfThief.close();
    await thiefOfThief.output();
    waiting.close();
    expect((await waiting.output()).state.log).toEqual(['first', 'thief', 'waited']);
  });

  it('goes on after a handler that never ends was aborted', async () => {
    const store = new UnsteadyStore(memory);
    const agent = testAgent({ store, clock, abortGraceMs: 500 }, async ({ session, inputStream }) => {
      if (session.version === 1) await session.updateState({ held: true });
      else return { output: 'free' };
      await collect(inputStream);
      return new Promise<{ output: string }>(() => {});
    });
    const first = agent.open({ sessionId: 's' });
    const second = agent.open({ sessionId: 's' });
    await quiet();
    first.abort();
    await quiet();
    expect(await stateOf(second.output())).toBe('pending');
    clock.advance(500);
    expect((await second.output()).output).toBe('free');
  });
});

describe('a lease', () => {
  it('is kept as long as the run lasts, however long that is', async () => {
    const one = process();
    const first = one.open({ sessionId: 's' });
    await first.send('a');
    for (let minute = 0; minute < 60; minute++) {
      for (let step = 0; step < 12; step++) {
        clock.advance(5_000);
        await quiet();
      }
      const rival = process().open({ sessionId: 's', onBusySession: 'reject' });
      expect(await errorOf(rival.output())).toMatchObject({ code: 'SESSION_BUSY' });
    }
    await first.send('b');
    first.close();
    expect((await first.output()).state.log).toEqual(['a', 'b']);
  });

  it('that is lost is noticed at the next renewal, though the handler writes nothing', async () => {
    const one = process();
    const first = one.open({ sessionId: 's' });
    await first.send('a');
    await memory.acquire('s', { owner: 'thief', ttlMs: 60_000, takeover: true });
    clock.advance(5_000);
    expect(await first.done).toMatchObject({ error: { code: 'LEASE_LOST' } });
  });

  it('survives a store that cannot be reached for a while', async () => {
    const one = process();
    const first = one.open({ sessionId: 's' });
    await first.send('a');
    one.store.before = (call) => {
      if (call === 'renew') throw new TypeError('unreachable');
    };
    for (let step = 0; step < 4; step++) {
      clock.advance(5_000);
      await quiet();
    }
    one.store.before = () => {};
    await first.send('b');
    first.close();
    expect((await first.output()).state.log).toEqual(['a', 'b']);
  });

  it('is asked for again and again with growing pauses, not in a storm', async () => {
    const first = process().open({ sessionId: 's' });
    await first.send('a');
    const two = process();
    const second = two.open({ sessionId: 's' });
    await wait(10_000);
    expect(two.store.count('acquire')).toBeGreaterThan(15);
    expect(two.store.count('acquire')).toBeLessThan(30);
    second.abort();
    first.close();
    await first.output();
  });

  it('of a session that is deleted while it is open is lost, and the id is free for a new one', async () => {
    const one = process();
    const first = one.open({ sessionId: 's' });
    await first.send('a');
    expect(await one.sessions.delete('s')).toBe(true);
    void first.send('b');
    expect(await first.done).toMatchObject({ error: { code: 'LEASE_LOST' } });
    const second = one.open({ sessionId: 's' });
    second.close();
    expect((await second.output()).state.log).toEqual([]);
  });
});
