/** What becomes of an input that is sent while the agent answers another one. */
import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import type { SendPolicy } from '../../src/connection/connection.js';
import { AgentFlowError } from '../../src/errors.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { testAgent } from '../support/agents.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { collect, collectToError, errorOf, Gate, quiet, stateOf } from '../support/waiting.js';

/** Answers `stay` until the gate opens or it is interrupted; tells what it worked on and what steered it. */
function agentWithDoor(options: { store?: UnsteadyStore; listens?: boolean; sendPolicy?: SendPolicy } = {}) {
  const { listens = true, ...config } = options;
  const gate = new Gate();
  const worked: string[] = [];
  const agent = testAgent({ inputSchema: z.string(), ...config }, async ({ turns }) => {
    await turns(async (input, turn) => {
      worked.push(input);
      if (listens) turn.onSteer((more) => worked.push(`${input} < ${more}`));
      const interrupted = new Promise((resolve) => turn.signal.addEventListener('abort', resolve));
      if (input.startsWith('stay')) await Promise.race([gate.opened, interrupted]);
    });
    return { output: worked };
  });
  return { ...agent, gate, worked };
}

describe('policies', () => {
  it('queue is the default: each waits its turn', async () => {
    const agent = agentWithDoor();
    const conn = agent.open();
    const sends = ['stay', 'a', 'b'].map((input) => conn.send(input));
    await quiet();
    agent.gate.open();
    expect((await Promise.all(sends)).map(({ turn }) => turn)).toEqual([1, 2, 3]);
    conn.close();
    expect((await conn.output()).output).toEqual(['stay', 'a', 'b']);
  });

  it('reject refuses with TURN_BUSY until the turn has ended', async () => {
    const agent = agentWithDoor({ sendPolicy: 'reject' });
    const conn = agent.open();
    await conn.send('stay');
    expect(await errorOf(conn.send('a'))).toMatchObject({ code: 'TURN_BUSY', status: 'UNAVAILABLE' });
    agent.gate.open();
    await collect(conn.receive());
    expect(await conn.send('b')).toMatchObject({ turn: 2 });
    conn.close();
    expect((await conn.output()).output).toEqual(['stay', 'b']);
  });

  it('steer hands the input to the turn that listens, as soon as its own input is taken; its sender is told', async () => {
    const agent = agentWithDoor();
    const conn = agent.open({ sendPolicy: 'steer' });
    const first = await conn.send('stay');
    expect(await conn.send('left')).toEqual({ ...first, steered: true });
    agent.gate.open();
    conn.close();
    expect((await conn.output()).output).toEqual(['stay', 'stay < left']);
  });

  it.each([
    [
      'throws',
      (error: Error) => {
        throw error;
      },
    ],
    ['rejects', (error: Error) => Promise.reject(error)],
  ])('steer: a listener that %s fails its turn at once; what is sent then is answered by the next', async (_, fail) => {
    const cause = new TypeError('not now');
    const isTold = new Gate();
    const gate = new Gate();
    const heard: string[] = [];
    const agent = testAgent({ inputSchema: z.string(), sendPolicy: 'steer' }, async ({ turns }) => {
      await turns(async (input, turn) => {
        heard.push(input);
        if (input !== 'stay') return;
        turn.onSteer((more) => {
          heard.push(`${input} < ${more}`);
          return fail(cause);
        });
        await new Promise((resolve) => turn.signal.addEventListener('abort', resolve));
        isTold.open();
        await gate.opened;
      });
      return { output: heard };
    });
    const conn = agent.open();
    await conn.send('stay');
    const sends = [conn.send('left')];
    await isTold.opened;
    sends.push(conn.send('right'));
    gate.open();
    conn.close();
    expect(await Promise.all(sends)).toMatchObject([
      { turn: 1, steered: true },
      { turn: 2, steered: false },
    ]);
    const failure = { code: 'HANDLER_FAILED', cause };
    expect(await collectToError(conn.receive())).toMatchObject({ chunks: [], error: failure });
    expect(await conn.done).toMatchObject({ finishReason: 'failed', error: failure });
    expect(heard).toEqual(['stay', 'stay < left', 'right']);
  });

  it('steer: the turn lasts until its listener is through, and answers what that fails with', async () => {
    const gate = new Gate();
    const agent = testAgent({ streamSchema: z.string(), sendPolicy: 'steer' }, async ({ turns, responder }) => {
      await turns(
        async (_, turn) => {
          const isHeard = new Gate();
          turn.onSteer(async () => {
            isHeard.open();
            await gate.opened;
            await responder.send('steered');
            throw new TypeError('afterwards');
          });
          await isHeard.opened;
        },
        { onError: ({ message }) => responder.send(`sorry, ${message}`) },
      );
      return { output: null };
    });
    const conn = agent.open();
    await conn.send('stay');
    await conn.send('left');
    conn.close();
    const chunks = collect(conn.receive());
    expect(await stateOf(chunks)).toBe('pending');
    gate.open();
    expect(await chunks).toEqual(['steered', 'sorry, afterwards']);
    expect(await conn.done).toMatchObject({ finishReason: 'stop' });
  });

  it('steer: what is being recorded when the turn ends itself is answered by the next, once', async () => {
    const store = new UnsteadyStore(new MemorySessionStore());
    const [isAsked, hasEnded, mayGo] = [new Gate(), new Gate(), new Gate()];
    const heard: string[] = [];
    const agent = testAgent({ store, inputSchema: z.string(), sendPolicy: 'steer' }, async ({ turns, responder }) => {
      await turns(async (input, turn) => {
        heard.push(input);
        if (input !== 'stay') return;
        turn.onSteer((more) => heard.push(`${input} < ${more}`));
        await isAsked.opened;
        await responder.endTurn();
        hasEnded.open();
        await mayGo.opened;
      });
      return { output: heard };
    });
    const conn = agent.open({ sessionId: 's' });
    await conn.send('stay');
    store.before = async (call) => {
      if (call !== 'accept') return;
      isAsked.open();
      await hasEnded.opened;
    };
    const sent = conn.send('left', { id: 'left' });
    await hasEnded.opened;
    await quiet();
    mayGo.open();
    conn.close();
    expect(await sent).toMatchObject({ turn: 2, steered: false });
    await conn.output();
    const next = agent.open({ sessionId: 's' });
    next.close();
    await next.output();
    expect(heard).toEqual(['stay', 'left']);
  });

  it('steer waits in line where no turn runs or none listens', async () => {
    const agent = agentWithDoor({ listens: false });
    const conn = agent.open({ sendPolicy: 'steer' });
    expect(await conn.send('stay')).toMatchObject({ turn: 1, steered: false });
    const second = conn.send('left');
    await quiet();
    agent.gate.open();
    expect(await second).toMatchObject({ turn: 2, steered: false });
    conn.close();
    expect((await conn.output()).output).toEqual(['stay', 'left']);
  });

  it('interrupt cuts the turn short and is next', async () => {
    const agent = agentWithDoor();
    const conn = agent.open();
    void conn.send('stay');
    const queued = conn.send('queued');
    await quiet();
    expect(await conn.send('now', { policy: 'interrupt' })).toMatchObject({ turn: 2 });
    expect(await queued).toMatchObject({ turn: 3 });
    conn.close();
    expect((await conn.output()).output).toEqual(['stay', 'now', 'queued']);
  });

  it('interrupt also reaches a turn whose input is just being recorded', async () => {
    const store = new UnsteadyStore(new MemorySessionStore());
    const recording = new Gate();
    const agent = agentWithDoor({ store });
    const conn = agent.open();
    store.before = (call) => (call === 'accept' ? recording.opened : undefined);
    void conn.send('stay', { id: '1' });
    await quiet();
    void conn.send('now', { policy: 'interrupt' });
    recording.open();
    conn.close();
    expect((await conn.output()).output).toEqual(['now']);
  });

  it('interrupt in a hand-written loop goes to the front of the line', async () => {
    const gate = new Gate();
    const agent = testAgent({}, async ({ inputStream }) => {
      const order: unknown[] = [];
      for await (const input of inputStream) {
        order.push(input);
        await gate.opened;
      }
      return { output: order };
    });
    const conn = agent.open();
    for (const input of [1, 2]) void conn.send(input);
    await quiet();
    void conn.send(3, { policy: 'interrupt' });
    gate.open();
    conn.close();
    expect((await conn.output()).output).toEqual([1, 3, 2]);
  });

  it("one send's policy goes before the connection's, that before the agent's", async () => {
    const agent = agentWithDoor({ sendPolicy: 'reject' });
    const conn = agent.open({ sendPolicy: 'steer' });
    await conn.send('stay');
    await quiet();
    expect(await conn.send('a')).toMatchObject({ steered: true });
    const queued = conn.send('b', { policy: 'queue' });
    expect(await errorOf(conn.send('c', { policy: 'reject' }))).toMatchObject({ code: 'TURN_BUSY' });
    agent.gate.open();
    expect(await queued).toMatchObject({ turn: 2 });
    conn.close();
    expect((await conn.output()).output).toEqual(['stay', 'stay < a', 'b']);
  });

  it('more than the bound are refused, nothing else is touched', async () => {
    const gate = new Gate();
    const agent = testAgent({ maxQueuedInputs: 3 }, async ({ turns }) => {
      const order: unknown[] = [];
      await turns(async (input) => {
        order.push(input);
        await gate.opened;
      });
      return { output: order };
    });
    const conn = agent.open();
    await conn.send(1);
    const queued = [2, 3, 4].map((input) => conn.send(input));
    expect(await errorOf(conn.send(5))).toMatchObject({ code: 'INPUT_QUEUE_FULL', status: 'RESOURCE_EXHAUSTED' });
    gate.open();
    await Promise.all(queued);
    conn.close();
    expect((await conn.output()).output).toEqual([1, 2, 3, 4]);
  });
});

describe('an input that steers and carries an id', () => {
  it('is recorded with its turn, and never run again', async () => {
    const store = new UnsteadyStore(new MemorySessionStore());
    const agent = agentWithDoor({ store });
    const conn = agent.open({ sessionId: 's' });
    await conn.send('stay', { id: '1' });
    await quiet();
    const steered = await conn.send('left', { id: '2', policy: 'steer' });
    expect(steered).toMatchObject({ turn: 1, steered: true, duplicate: false });
    expect((await store.load('s'))?.pending.map(({ id }) => id)).toEqual(['1', '2']);
    agent.gate.open();
    conn.close();
    await conn.output();
    expect((await store.load('s'))?.pending).toEqual([]);
    for (const policy of ['queue', 'steer'] as const) {
      const again = agent.open({ sessionId: 's' });
      const stay = await again.send('stay again');
      await quiet();
      const { run } = steered;
      expect(await again.send('left', { id: '2', policy })).toEqual({ run, turn: 1, duplicate: true, steered: false });
      expect(stay.run).not.toBe(run);
      again.close();
      await again.output();
    }
    expect(agent.worked).toEqual(['stay', 'stay < left', 'stay again', 'stay again']);
  });

  it('arrives in the order in which it was sent, with and without an id', async () => {
    const agent = agentWithDoor({ store: new UnsteadyStore(new MemorySessionStore()) });
    const conn = agent.open({ sendPolicy: 'steer' });
    await conn.send('stay');
    const ids = ['1', undefined, '2', undefined];
    const steered = ids.map((id, index) => conn.send(String(index), id === undefined ? {} : { id }));
    for (const receipt of steered) expect(await receipt).toMatchObject({ turn: 1, steered: true });
    agent.gate.open();
    conn.close();
    expect((await conn.output()).output).toEqual(['stay', 'stay < 0', 'stay < 1', 'stay < 2', 'stay < 3']);
  });

  it('can be sent again when the store could not record it', async () => {
    const store = new UnsteadyStore(new MemorySessionStore());
    const agent = agentWithDoor({ store });
    const conn = agent.open({ sendPolicy: 'steer' });
    await conn.send('stay');
    const failure = new AgentFlowError('STORE_FAILED', 'away');
    store.before = () => {
      throw failure;
    };
    expect(await errorOf(conn.send('left', { id: '1' }))).toBe(failure);
    store.before = () => {};
    expect(await conn.send('left', { id: '1' })).toMatchObject({ steered: true, duplicate: false });
    expect(await conn.send('left', { id: '1' })).toMatchObject({ steered: true, duplicate: true });
    agent.gate.open();
    conn.close();
    expect((await conn.output()).output).toEqual(['stay', 'stay < left']);
  });

  it('is run on its own when the turn ended while it was being recorded', async () => {
    const store = new UnsteadyStore(new MemorySessionStore());
    const agent = agentWithDoor({ store });
    const conn = agent.open({ sessionId: 's' });
    void conn.send('stay');
    await quiet();
    const recording = new Gate();
    store.before = (call) => (call === 'accept' ? recording.opened : undefined);
    const late = conn.send('left', { id: '2', policy: 'steer' });
    await quiet();
    agent.gate.open();
    await quiet();
    recording.open();
    expect(await late).toMatchObject({ turn: 2, steered: false, duplicate: false });
    conn.close();
    expect((await conn.output()).output).toEqual(['stay', 'left']);
    expect((await store.load('s'))?.pending).toEqual([]);
  });
});
