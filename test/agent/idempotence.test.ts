/** The same id is never run twice in one session: in one connection, in the next, and after a crash. */
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import type { Turn } from '../../src/agent/agent.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testAgent } from '../support/agents.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { collect, Gate, quiet, stateOf } from '../support/waiting.js';

const leaseTtlMs = 15_000;

let clock: ManualClock;
let memory: MemorySessionStore;

beforeEach(() => {
  clock = new ManualClock();
  memory = new MemorySessionStore({ clock });
});

/** One process: its own way to the common store, and what its turns were. */
function process(work: (input: string, turn: Turn<string>) => unknown = () => {}) {
  const store = new UnsteadyStore(memory);
  const turns: string[] = [];
  const agent = testAgent(
    {
      inputSchema: z.string(),
      stateSchema: z.object({ log: z.array(z.string()).default([]) }),
      store,
      clock,
      leaseTtlMs,
    },
    async ({ session, turns: loop, responder }) => {
      await loop(async (input, turn) => {
        turns.push(`${input} #${turn.attempt}`);
        await responder.send(`${input}!`);
        await work(input, turn);
        await session.updateState((draft) => {
          draft.log.push(input);
        });
      });
      return { output: null };
    },
  );
  return { open: () => agent.open({ sessionId: 's' }), store, turns, die: () => store.die() };
}

/** Lets the dead holder's lease run out, and whoever waits for it ask again. */
async function leaseExpires(): Promise<void> {
  for (let step = 0; step < 40; step++) {
    clock.advance(leaseTtlMs / 20);
    await quiet();
  }
}

describe('in one connection', () => {
  it('the second send is answered with the first turn, before, while and after it runs', async () => {
    const gate = new Gate();
    const { open, turns } = process(() => gate.opened);
    const conn = open();
    const sends = [conn.send('a', { id: '1' }), conn.send('a', { id: '1' })];
    await quiet();
    sends.push(conn.send('a', { id: '1' }));
    gate.open();
    await collect(conn.receive());
    sends.push(conn.send('a', { id: '1' }));
    const receipts = await Promise.all(sends);
    expect(receipts.map(({ turn, duplicate }) => [turn, duplicate])).toEqual([
      [1, false],
      [1, true],
      [1, true],
      [1, true],
    ]);
    expect(turns).toEqual(['a #1']);
    conn.close();
    await conn.output();
  });

  it('without a store too; inputs without an id are all run', async () => {
    const order: unknown[] = [];
    const agent = testAgent({}, async ({ turns }) => {
      await turns((input) => void order.push(input));
      return { output: null };
    });
    const conn = agent.open();
    for (const id of ['1', '2', '1', undefined, undefined]) void conn.send(id, id === undefined ? {} : { id });
    conn.close();
    await conn.output();
    expect(order).toEqual(['1', '2', undefined, undefined]);
  });
});

describe('across connections', () => {
  it('an id that was answered is a duplicate, told with the run and turn that took it', async () => {
    const { open, turns } = process();
    const first = open();
    await first.send('x');
    const receipt = await first.send('a', { id: '1' });
    first.close();
    await first.output();
    const second = open();
    expect(await second.send('a', { id: '1' })).toEqual({ ...receipt, duplicate: true });
    expect(await second.send('b', { id: '2' })).toMatchObject({ turn: 1, duplicate: false });
    second.close();
    expect((await second.output()).state.log).toEqual(['x', 'a', 'b']);
    expect(turns).toEqual(['x #1', 'a #1', 'b #1']);
  });

  it('an id whose turn failed is not run again', async () => {
    const { open, turns } = process((input) => (input === 'bad' ? Promise.reject(new TypeError('broke')) : undefined));
    const first = open();
    void first.send('bad', { id: '1' });
    first.close();
    await first.done;
    const second = open();
    expect(await second.send('bad', { id: '1' })).toMatchObject({ duplicate: true });
    second.close();
    await second.output();
    expect(turns).toEqual(['bad #1']);
  });

  it('an id of another session is another id', async () => {
    const { store } = process();
    const agent = testAgent({ store, clock }, async ({ turns }) => {
      await turns(() => {});
      return { output: null };
    });
    for (const sessionId of ['one', 'two']) {
      const conn = agent.open({ sessionId });
      expect(await conn.send('a', { id: '1' })).toMatchObject({ duplicate: false });
      conn.close();
      await conn.output();
    }
  });
});

describe('across a crash', () => {
  it('what was taken but not answered is run again, first, at the next attempt; its chunks say so', async () => {
    const dead = process((input) => (input === 'b' ? new Promise(() => {}) : undefined));
    const first = dead.open();
    void first.output();
    void first.send('a', { id: '1' });
    void first.send('b', { id: '2' });
    void first.send('never taken', { id: '3' });
    await quiet();
    dead.die();
    expect(dead.turns).toEqual(['a #1', 'b #1']);

    const alive = process();
    const second = alive.open();
    const sends = ['1', '2', '3', '4'].map((id) => second.send(`again ${id}`, { id }));
    expect(await stateOf(Promise.race(sends))).toBe('pending');
    await leaseExpires();
    const receipts = await Promise.all(sends);
    second.close();
    const events = await collect(second.watch());
    expect((await second.output()).state.log).toEqual(['a', 'b', 'again 3', 'again 4']);
    expect(alive.turns).toEqual(['b #2', 'again 3 #1', 'again 4 #1']);
    expect(receipts.map(({ duplicate }) => duplicate)).toEqual([true, true, false, false]);
    expect(receipts.map(({ turn }) => turn)).toEqual([1, 1, 2, 3]);
    const run = receipts[1]?.run;
    expect(receipts[0]?.run).not.toBe(run);
    expect(events[0]).toEqual({ type: 'chunk', cursor: { run, turn: 1, seq: 0, attempt: 2 }, chunk: 'b!' });
    expect((await memory.load('s'))?.pending).toEqual([]);
  });

  it('a turn that kills process after process counts its attempts', async () => {
    for (let attempt = 1; attempt <= 4; attempt++) {
      const dead = process(() => new Promise(() => {}));
      const conn = dead.open();
      if (attempt === 1) void conn.send('poison', { id: '1' });
      await leaseExpires();
      expect(dead.turns).toEqual([`poison #${attempt}`]);
      dead.die();
    }
    const cured = process();
    const conn = cured.open();
    conn.close();
    await leaseExpires();
    expect((await conn.output()).state.log).toEqual(['poison']);
    expect(cured.turns).toEqual(['poison #5']);
  });

  it('what steered the turn that died is run again on its own', async () => {
    const dead = process((_, turn) => {
      turn.onSteer(() => {});
      return new Promise(() => {});
    });
    const first = dead.open();
    await first.send('a', { id: '1' });
    await quiet();
    await first.send('left', { id: '2', policy: 'steer' });
    dead.die();
    const alive = process();
    const second = alive.open();
    second.close();
    await leaseExpires();
    await second.output();
    expect(alive.turns).toEqual(['a #2', 'left #2']);
  });

  it('the process that was thought dead can write nothing when it wakes, and its callers are told', async () => {
    const door = new Gate();
    const asleep = process(() => door.opened);
    const first = asleep.open();
    void first.send('a', { id: '1' });
    await quiet();
    asleep.store.before = (call) => {
      if (call === 'renew') throw new TypeError('asleep');
    };
    const alive = process();
    const second = alive.open();
    second.close();
    await leaseExpires();
    await second.output();
    asleep.store.before = () => {};
    door.open();
    expect(await first.done).toMatchObject({
      finishReason: 'failed',
      error: { code: 'LEASE_LOST', status: 'ABORTED' },
    });
    const stored = await memory.load('s');
    expect(stored?.version).toBe(2);
    expect(alive.turns).toEqual(['a #2']);
  });
});
