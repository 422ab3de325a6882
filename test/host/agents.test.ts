/** What `defineAgent` returns, under a name. */
import { genkit, z } from 'genkit';
import { describe, expect, it } from 'vitest';
import { createAgentHost } from '../../src/host/host.js';
import { defineAgent } from '../../src/index.js';
import { Deferred } from '../../src/internal/deferred.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { settled } from './harness.js';

function countingAgent(hold?: Promise<void>) {
  return defineAgent(
    genkit({}),
    {
      name: 'counter',
      inputSchema: z.string(),
      streamSchema: z.string(),
      stateSchema: z.object({ inputs: z.array(z.string()).default([]) }).default({}),
      store: new MemorySessionStore(),
    },
    async ({ session, responder, turns }) => {
      await turns(async (input, { signal }) => {
        if (input === 'fail') throw new TypeError('no');
        await session.updateState(({ inputs }) => void inputs.push(input));
        await responder.send(`${session.state.inputs.length}: `);
        if (input === 'hold')
          await Promise.race([hold, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
        await responder.send(input);
      });
      return { output: null };
    },
  );
}

describe('any agent as a named agent', () => {
  it('answers prompts with its chunks, in one session, which is taken up by its id', async () => {
    const agent = countingAgent();
    const host = createAgentHost();
    await host.start(agent, { name: 'c', sessionId: 'mine' });
    expect((await host.ask('c', 'one')).text).toBe('1: one');
    expect((await host.ask('c', 'two')).text).toBe('2: two');
    expect(await host.sessionId('c')).toBe('mine');
    await host.stop('c');
    await host.start(agent, { name: 'c', sessionId: 'mine' });
    expect((await host.ask('c', 'three')).text).toBe('3: three');
    await host.close();
  });

  it('goes on after a turn that failed, and after one that was interrupted', async () => {
    const host = createAgentHost();
    const hold = new Deferred<void>();
    await host.start(countingAgent(hold.promise), { name: 'c' });
    await expect(host.ask('c', 'fail')).rejects.toMatchObject({ message: 'no' });
    const held = host.ask('c', 'hold');
    await settled();
    expect(await host.interrupt('c')).toBe(true);
    await expect(held).rejects.toMatchObject({ code: 'TURN_INTERRUPTED' });
    expect((await host.ask('c', 'after')).text).toBe('2: after');
    await host.close();
  });

  it('is brought back by restore, with the session it had', async () => {
    const store = new MemorySessionStore();
    const agent = countingAgent();
    const first = createAgentHost({ store });
    await first.start(agent, { name: 'c', sessionId: 'mine' });
    await first.ask('c', 'one');
    await first.close();
    const second = createAgentHost({ store });
    expect(await second.restore(() => ({ agent }))).toEqual({ restored: ['c'], failed: [] });
    expect((await second.ask('c', 'two')).text).toBe('2: two');
    expect(await second.sessionId('c')).toBe('mine');
    await second.close();
  });

  it('makes inputs and texts as it is told to', async () => {
    const agent = defineAgent(
      genkit({}),
      { name: 'adder', inputSchema: z.object({ add: z.number() }), streamSchema: z.object({ total: z.number() }) },
      async ({ responder, turns }) => {
        await turns(({ add }) => responder.send({ total: add + 1 }));
        return { output: null };
      },
    );
    const host = createAgentHost();
    await host.start(agent, {
      name: 'adder',
      toInput: (prompt) => ({ add: Number(prompt) }),
      toText: (chunk) => String((chunk as { total: number }).total),
    });
    expect((await host.ask('adder', '41')).text).toBe('42');
    await host.close();
  });
});
