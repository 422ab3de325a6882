import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { genkit, z } from 'genkit';
import { describe, expect, it } from 'vitest';
import { type AgentTypes, defineAgent } from '../../src/index.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { built } from '../support/built.js';
import { collect, collectToError, errorOf, standstill, stateOf, take } from '../support/waiting.js';

const ai = genkit({});

const Message = z.object({ role: z.enum(['user', 'model']), text: z.string() });

/** The seed's chat: keeps one array of its own and pushes onto it. */
function chatAgent(name: string, store = new MemorySessionStore()) {
  return defineAgent(
    ai,
    {
      name,
      description: 'A chat',
      inputSchema: z.string(),
      streamSchema: z.string(),
      outputSchema: z.string(),
      stateSchema: z.object({ messages: z.array(Message).default([]) }),
      store,
    },
    async ({ session, inputStream, responder }) => {
      const messages = [...session.state.messages];
      for await (const input of inputStream) {
        messages.push({ role: 'user', text: input });
        const answer = await ai.run('answer', async () => `You said ${input}`);
        for (const word of answer.split(' ')) await responder.send(word);
        await responder.endTurn();
        messages.push({ role: 'model', text: answer });
        await session.updateState({ messages });
      }
      return { output: 'conversation ended', artifacts: [{ name: 'summary', parts: [{ text: '...' }] }] };
    },
  );
}

describe("the seed's chat", () => {
  it('talks turn by turn, ends with its output, and is resumed by its session id', async () => {
    const chat = chatAgent('seed-chat');
    const conn = chat.streamBidi();
    void conn.send('hello');
    expect(await collect(conn.receive())).toEqual(['You', 'said', 'hello']);
    void conn.send('again');
    expect(await collect(conn.receive())).toEqual(['You', 'said', 'again']);
    conn.close();
    const output = await conn.output();
    const state: AgentTypes<typeof chat>['state'] = output.state;
    expect(output).toEqual({
      sessionId: conn.sessionId,
      output: 'conversation ended',
      state: { messages: ['hello', 'You said hello', 'again', 'You said again'].map(said) },
      artifacts: [{ name: 'summary', parts: [{ text: '...' }] }],
      finishReason: 'stop',
    });
    const resumed = await chat.run('more', { sessionId: output.sessionId, init: { messages: [] } });
    expect(resumed.state.messages).toEqual([...state.messages, said('more', 0), said('You said more', 1)]);
  });

  it('saves every message of the one array the handler keeps pushing onto', async () => {
    const store = new MemorySessionStore();
    const chat = chatAgent('one-array', store);
    const inputs = Array.from({ length: 40 }, (_, turn) => `turn ${turn}`);
    await chat.run(inputs, { sessionId: 's' });
    expect((await chat.sessions.get('s'))?.state.messages).toHaveLength(80);
    for (const version of [2, 21, 41]) {
      expect((await chat.sessions.get('s', { version }))?.state.messages).toHaveLength((version - 1) * 2);
    }
  });

  it('creates an unknown id with init, a missing one as a UUID', async () => {
    const chat = chatAgent('three-rules');
    const init = { messages: [said('before', 0)] };
    expect((await chat.run([], { sessionId: 'custom', init })).state).toEqual(init);
    const { sessionId } = await chat.run([]);
    expect(sessionId).toMatch(/^[0-9a-f-]{36}$/);
    expect((await chat.sessions.list()).sessions.map(({ id }) => id)).toEqual(['custom', sessionId]);
  });

  it('goes on after a break, and lets a watcher see all of it', async () => {
    const chat = chatAgent('broken-off');
    const conn = chat.streamBidi({ sessionId: 's' });
    const watched = collect(chat.watch('s'));
    void conn.send('one');
    expect(await take(conn.receive(), 1)).toEqual(['You']);
    void conn.send('two');
    expect(await collect(conn.receive())).toEqual(['said', 'one']);
    expect(await collect(conn.receive())).toEqual(['You', 'said', 'two']);
    conn.close();
    await conn.output();
    expect((await watched).filter(({ type }) => type === 'chunk')).toHaveLength(6);
    expect(() => chat.watch('s')).toThrow(expect.objectContaining({ code: 'SESSION_NOT_RUNNING' }));
  });

  function said(text: string, index: number) {
    return { role: index % 2 === 0 ? ('user' as const) : ('model' as const), text };
  }
});

describe('run', () => {
  const counter = () =>
    defineAgent(
      ai,
      { name: `counter-${Math.random()}`, inputSchema: z.number(), maxQueuedInputs: 3, outputSchema: z.number() },
      async ({ turns }) => {
        let sum = 0;
        await turns((input) => {
          sum += input;
        });
        return { output: sum };
      },
    );

  it('sends one input or several in order, and waits for the result', async () => {
    expect((await counter().run(5)).output).toBe(5);
    expect((await counter().run([1, 2, 3])).output).toBe(6);
    expect((await counter().run([])).output).toBe(0);
  });

  it('fails when an input or an option does not fit', async () => {
    expect(await errorOf(counter().run([1, 'two' as never]))).toMatchObject({ code: 'INVALID_VALUE', kind: 'input' });
    expect(await errorOf(counter().run(5, { version: 0 }))).toMatchObject({ code: 'INVALID_VALUE', kind: 'option' });
    expect(await errorOf(counter().run(5, null as never))).toMatchObject({ code: 'INVALID_VALUE', kind: 'option' });
  });
});

describe('a run', () => {
  it('carries the context, and what the handler does hangs below it', async () => {
    const agent = defineAgent(ai, { name: 'context' }, async ({ context }) => ({
      output: await ai.run('inside', async () => [context, ai.currentContext()]),
    }));
    const context = { auth: { uid: 'me' } };
    const { output } = await agent.run([], { context });
    expect(output).toEqual([expect.objectContaining(context), expect.objectContaining(context)]);
  });

  it('is aborted by the caller or its signal, at once, also while the handler is deaf', async () => {
    // On a clock that stands still nothing ends that waits for time to pass.
    const config = { name: 'deaf', clock: new ManualClock(), abortGraceMs: 60_000 };
    const agent = defineAgent(ai, config, async ({ responder }) => {
      await responder.send('one');
      return new Promise<{ output: null }>(() => {});
    });
    const controller = new AbortController();
    const conns = [agent.streamBidi(), agent.streamBidi({ abortSignal: controller.signal })];
    await Promise.all(conns.map((conn) => take(conn.receive(), 1)));
    conns[0]?.abort('enough');
    controller.abort('enough');
    for (const conn of conns) {
      expect(await stateOf(conn.done)).toBe('resolved');
      expect(await conn.done).toMatchObject({ finishReason: 'aborted', error: { cause: 'enough' } });
      expect(await errorOf(conn.output())).toMatchObject({ code: 'RUN_ABORTED' });
    }
  });

  it('that fails says what the handler threw, whatever that was', async () => {
    const frozen = Object.freeze(Object.assign(new Error('no entry'), { status: 'PERMISSION_DENIED' }));
    let number = 0;
    for (const thrown of [null, undefined, 'text', frozen]) {
      const agent = defineAgent(ai, { name: `throws-${number++}` }, async ({ responder }) => {
        await responder.send('before');
        throw thrown;
      });
      const conn = agent.streamBidi();
      const { chunks, error } = await collectToError(conn.receive());
      expect(chunks).toEqual(['before']);
      expect(error).toMatchObject({ code: 'HANDLER_FAILED', cause: thrown });
      if (thrown === frozen) expect(error).toMatchObject({ status: 'PERMISSION_DENIED', message: 'no entry' });
      expect(await errorOf(conn.output())).toBe(error);
    }
  });

  it('is not held up by 200,000 chunks nobody reads, and waits for whoever reads', async () => {
    let sent = 0;
    const agent = defineAgent(ai, { name: 'flood' }, async ({ responder }) => {
      for (sent = 0; sent < 200_000; sent++) await responder.send(sent);
      return { output: sent };
    });
    expect((await agent.run([])).output).toBe(200_000);
    const conn = agent.streamBidi();
    sent = 0;
    while ((await standstill(() => sent)) === 0);
    expect(await stateOf(conn.done)).toBe('pending');
    expect(sent + 1).toBe(1_024);
    expect(await collect(conn.receive())).toHaveLength(200_000);
  });

  it('leaves nothing behind: hundreds on one id, and the id is free', async () => {
    const chat = chatAgent('hundreds');
    for (let run = 0; run < 300; run++) {
      const conn = chat.streamBidi({ sessionId: 's', onBusySession: 'reject' });
      if (run % 30 === 0) void conn.send(`run ${run}`);
      conn.close();
      await conn.output();
    }
    expect((await chat.sessions.get('s'))?.state.messages).toHaveLength(20);
    expect(() => chat.watch('s')).toThrow(expect.objectContaining({ code: 'SESSION_NOT_RUNNING' }));
  });
});

describe('a definition', () => {
  it('that cannot work is refused at once: its name is taken, it has no name, its schema is none', () => {
    const handler = async () => ({ output: null });
    defineAgent(ai, { name: 'taken' }, handler);
    expect(() => defineAgent(ai, { name: 'taken' }, handler)).toThrow(expect.objectContaining({ kind: 'option' }));
    expect(() => defineAgent(ai, { name: '' }, handler)).toThrow(expect.objectContaining({ kind: 'option' }));
    expect(() => defineAgent(ai, { name: 'x', inputSchema: {} as never }, handler)).toThrow(
      expect.objectContaining({ code: 'INVALID_SCHEMA' }),
    );
    expect(() => defineAgent(ai, { name: 'x' }, undefined as never)).toThrow(
      expect.objectContaining({ issues: [{ path: 'handler', expected: 'a function', received: 'undefined' }] }),
    );
    defineAgent(ai, { name: 'x' }, handler);
    defineAgent(genkit({}), { name: 'taken' }, handler);
  });
});

describe('a program that ignores every promise', () => {
  it('lives on, however its runs end', async () => {
    const fixture = built('test/support/fixtures/ignores-everything.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [fixture]);
    expect(stdout).toContain('still there');
  });
});
