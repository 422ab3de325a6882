/** `connection.interrupt()`: the turn that is being answered is cut short, and nothing else. */
import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { testAgent } from '../support/agents.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { collect, Gate, quiet, stateOf } from '../support/waiting.js';

/** Says `begun`, and answers `stay` when it is interrupted; knows why. */
function agentThatStays(store?: UnsteadyStore) {
  const reasons: unknown[] = [];
  const config = { inputSchema: z.string(), streamSchema: z.string(), ...(store === undefined ? {} : { store }) };
  const agent = testAgent(config, async ({ turns, responder }) => {
    const answered: string[] = [];
    await turns(
      async (input, { signal }) => {
        if (input === 'stay') {
          await responder.send('begun');
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          reasons.push(signal.reason);
        }
        answered.push(input);
        await responder.send(input);
      },
      { onInterrupt: () => responder.send('cut') },
    );
    return { output: answered };
  });
  return { ...agent, reasons };
}

describe('interrupt', () => {
  it('ends the turn, told why, and the run goes on with what waits', async () => {
    const agent = agentThatStays();
    const conn = agent.open();
    void conn.send('stay');
    void conn.send('next');
    const first = conn.receive();
    expect(await first.next()).toEqual({ value: 'begun', done: false });
    expect(await conn.interrupt('enough')).toBe(true);
    expect(await collect(first)).toEqual(['cut']);
    expect(await collect(conn.receive())).toEqual(['next']);
    expect(agent.reasons).toMatchObject([{ code: 'TURN_INTERRUPTED', cause: 'enough' }]);
    conn.close();
    expect(await conn.output()).toMatchObject({ output: ['stay', 'next'], finishReason: 'stop' });
  });

  it('reaches a turn whose input is just being recorded', async () => {
    const store = new UnsteadyStore(new MemorySessionStore());
    const recording = new Gate();
    store.before = (call) => (call === 'accept' ? recording.opened : undefined);
    const conn = agentThatStays(store).open();
    void conn.send('stay', { id: '1' });
    await quiet();
    const cuts = [conn.interrupt('first'), conn.interrupt('second')];
    expect(await stateOf(Promise.race(cuts))).toBe('pending');
    recording.open();
    expect(await Promise.all(cuts)).toEqual([true, true]);
    expect(await collect(conn.receive())).toEqual(['cut']);
    conn.close();
    expect((await conn.output()).output).toEqual([]);
  });

  it('is told where there is nothing to cut short: before a turn, after it, and when the run has ended', async () => {
    const conn = agentThatStays().open();
    await quiet();
    expect(await conn.interrupt()).toBe(false);
    void conn.send('a');
    expect(await collect(conn.receive())).toEqual(['a']);
    expect(await conn.interrupt()).toBe(false);
    void conn.send('b');
    expect(await collect(conn.receive())).toEqual(['b']);
    conn.close();
    await conn.output();
    expect(await conn.interrupt()).toBe(false);
  });

  it('is told when there comes no turn of what is just being recorded, or none that can be cut short', async () => {
    const memory = new MemorySessionStore();
    for (const end of ['duplicate', 'aborted', 'by hand'] as const) {
      const store = new UnsteadyStore(memory);
      const recording = new Gate();
      store.before = (call) => (call === 'accept' ? recording.opened : undefined);
      const byHand = testAgent({ store }, async ({ inputStream }) => {
        for await (const _ of inputStream);
        return { output: null };
      });
      const agent = end === 'by hand' ? byHand : agentThatStays(store);
      const first = agentThatStays(new UnsteadyStore(memory)).open({ sessionId: end });
      if (end === 'duplicate') await first.send('a', { id: '1' });
      await first[Symbol.asyncDispose]();
      const conn = agent.open({ sessionId: end });
      void conn.send('a', { id: '1' });
      await quiet();
      const isCut = conn.interrupt();
      if (end === 'aborted') conn.abort();
      else recording.open();
      expect(await isCut).toBe(false);
      conn.close();
      await conn.done;
    }
  });

  it('is told that a turn has failed uncut, while that is being answered', async () => {
    const answer = new Gate();
    const agent = testAgent({}, async ({ turns }) => {
      const fail = () => {
        throw new TypeError('broke');
      };
      await turns(fail, { onError: () => answer.opened });
      return { output: null };
    });
    const conn = agent.open();
    await conn.send(1);
    await quiet();
    expect(await conn.interrupt()).toBe(false);
    answer.open();
    conn.close();
    expect((await conn.done).finishReason).toBe('stop');
  });

  it('is told that a loop written by hand cannot be cut short', async () => {
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
    await conn.send(1);
    expect(await conn.interrupt()).toBe(false);
    gate.open();
    conn.close();
    expect((await conn.output()).output).toEqual([1]);
  });
});
