/** Handlers that wait for nothing they are given: everything still happens, in order. */
import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { testAgent } from '../support/agents.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { collect, Gate, quiet } from '../support/waiting.js';

/** A handler that never waits for what it is given, on a store that takes its time. */
function hastyAgent() {
  const store = new UnsteadyStore(new MemorySessionStore());
  store.before = () => quiet();
  const stateSchema = z.object({ log: z.array(z.string()).default([]) });
  const agent = testAgent(
    { store, stateSchema, inputSchema: z.string() },
    async ({ inputStream, responder, session }) => {
      for await (const input of inputStream) {
        void responder.send(`${input} 1`);
        void responder.send(`${input} 2`);
        void responder.endTurn();
        void session.updateState((draft) => {
          draft.log.push(input);
        });
      }
      void responder.send('bye');
      return { output: null };
    },
  );
  return { ...agent, store };
}

describe.each([
  ['without ids', () => ({})],
  ['with ids', (input: string) => ({ id: input })],
])('a handler that waits for nothing, inputs %s', (_, options) => {
  it('ends each turn before the next begins, and has saved all when it ends', async () => {
    const agent = hastyAgent();
    const conn = agent.open({ sessionId: 's' });
    const watched = collect(conn.watch());
    for (const input of ['a', 'b', 'c']) void conn.send(input, options(input));
    conn.close();
    for (const input of ['a', 'b', 'c']) expect(await collect(conn.receive())).toEqual([`${input} 1`, `${input} 2`]);
    expect(await collect(conn.receive())).toEqual(['bye']);
    expect((await conn.output()).state.log).toEqual(['a', 'b', 'c']);
    expect((await agent.store.load('s'))?.pending).toEqual([]);
    const places = (await watched).map(({ type, cursor: { turn, seq } }) => [type, turn, seq]);
    expect(places.slice(0, 6)).toEqual([
      ['chunk', 1, 0],
      ['chunk', 1, 1],
      ['turnEnd', 1, 2],
      ['chunk', 2, 0],
      ['chunk', 2, 1],
      ['turnEnd', 2, 2],
    ]);
  });
});

it('what is sent after a turn was ended belongs to what follows it', async () => {
  const agent = testAgent({}, async ({ responder }) => {
    void responder.send('first');
    void responder.endTurn();
    void responder.send('second');
    void responder.endTurn();
    return { output: null };
  });
  const conn = agent.open();
  expect(await collect(conn.receive())).toEqual(['first']);
  expect(await collect(conn.receive())).toEqual(['second']);
  await conn.output();
});

describe('an input that is being recorded when the handler returns', () => {
  it.each(['queue', 'steer'] as const)(
    'does not spoil the result, and is run when the session is opened next: %s',
    async (policy) => {
      const store = new UnsteadyStore(new MemorySessionStore());
      const recording = new Gate();
      const returning = new Gate();
      const seen: unknown[] = [];
      const agent = testAgent({ store, inputSchema: z.string() }, async ({ inputStream, turns, session }) => {
        if (session.state.isOver) {
          await turns((input) => void seen.push(input));
          return { output: seen };
        }
        await session.updateState({ isOver: true });
        const reading = policy === 'queue' ? inputStream[Symbol.asyncIterator]().next() : undefined;
        void turns((_, turn) => turn.onSteer(() => {}));
        void reading;
        await returning.opened;
        return { output: 'first' };
      });
      const conn = agent.open({ sessionId: 's' });
      if (policy === 'steer') void conn.send('begin');
      await quiet();
      store.before = (call) => (call === 'accept' ? recording.opened : undefined);
      const sent = conn.send('late', { id: '1', policy });
      await quiet();
      returning.open();
      await quiet();
      recording.open();
      expect((await conn.output()).output).toBe('first');
      expect(await conn.done).toMatchObject({ finishReason: 'stop' });
      await sent.catch(() => {});
      const next = agent.open({ sessionId: 's', onBusySession: 'reject' });
      next.close();
      expect((await next.output()).output).toEqual(['late']);
    },
  );
});
