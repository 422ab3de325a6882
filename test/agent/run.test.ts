import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import type { Usage } from '../../src/agent/agent.js';
import { AgentFlowError } from '../../src/errors.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { echoAgent as echo, testAgent } from '../support/agents.js';
import { collect, collectToError, errorOf, quiet, take } from '../support/waiting.js';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('a conversation', () => {
  it('sends, receives turn by turn, closes and has its output', async () => {
    const conn = echo().open({ sessionId: 'mine' });
    expect(conn.sessionId).toBe('mine');
    expect(await conn.send('a')).toMatchObject({ turn: 1, duplicate: false, steered: false });
    expect(await collect(conn.receive())).toEqual(['a!', 'a?']);
    expect(await conn.send('b')).toMatchObject({ turn: 2 });
    expect(await collect(conn.receive())).toEqual(['b!', 'b?']);
    conn.close();
    expect(await collect(conn.receive())).toEqual([]);
    expect(await conn.output()).toEqual({
      sessionId: 'mine',
      output: 2,
      state: { heard: ['a', 'b'] },
      finishReason: 'stop',
    });
    expect(await conn.done).toEqual({ sessionId: 'mine', finishReason: 'stop' });
  });

  it('goes on after a break in the middle of a turn', async () => {
    const conn = echo().open();
    void conn.send('a');
    expect(await take(conn.receive(), 1)).toEqual(['a!']);
    void conn.send('b');
    expect(await collect(conn.receive())).toEqual(['a?']);
    expect(await collect(conn.receive())).toEqual(['b!', 'b?']);
    conn.close();
    expect((await conn.output()).output).toBe(2);
  });

  it('answers what was sent before it was closed', async () => {
    const conn = echo().open();
    for (const input of ['a', 'b', 'c']) void conn.send(input);
    conn.close();
    expect((await conn.output()).state.heard).toEqual(['a', 'b', 'c']);
  });

  it('is seen whole by whoever watches the session, also between "accepted" and the first chunk', async () => {
    const agent = echo(new MemorySessionStore());
    const conn = agent.open({ sessionId: 's' });
    const early = collect(agent.watch('s'));
    const { run, turn } = await conn.send('a');
    const accepted = collect(agent.watch('s', { after: { run, turn: turn - 1, seq: 0, attempt: 1 } }));
    expect(await collect(conn.receive())).toEqual(['a!', 'a?']);
    const late = collect(agent.watch('s', { after: { run, turn, seq: 0, attempt: 1 } }));
    conn.close();
    await conn.output();
    expect((await early).map(({ type }) => type)).toEqual(['chunk', 'chunk', 'turnEnd']);
    expect(await accepted).toEqual(await early);
    expect(await late).toEqual((await early).slice(1));
  });

  it('delivers falsy inputs and chunks', async () => {
    const falsy = [null, false, 0, '', undefined];
    const agent = testAgent({}, async ({ turns, responder }) => {
      const inputs: unknown[] = [];
      await turns(async (input) => {
        inputs.push(input);
        for (const chunk of falsy) await responder.send(chunk);
      });
      return { output: inputs };
    });
    const conn = agent.open();
    for (const input of falsy) void conn.send(input);
    for (const _ of falsy) expect(await collect(conn.receive())).toEqual(falsy);
    conn.close();
    expect((await conn.output()).output).toEqual(falsy);
  });

  it('hands the handler the context, and a stream it may leave and come back to', async () => {
    const seen: unknown[] = [];
    const agent = testAgent(
      { inputSchema: z.number() },
      async ({ inputStream, context }) => {
        seen.push(context);
        for await (const input of inputStream) {
          seen.push(input);
          if (input === 2) break;
        }
        for await (const input of inputStream) seen.push(-input);
        return { output: null };
      },
      { context: { auth: { uid: 'me' } } },
    );
    const conn = agent.open();
    for (const input of [1, 2, 3, 4]) void conn.send(input);
    conn.close();
    await conn.output();
    expect(seen).toEqual([{ auth: { uid: 'me' } }, 1, 2, -3, -4]);
  });

  it('answers two reads of the input stream at once one after the other', async () => {
    const store = new MemorySessionStore();
    const agent = testAgent({ inputSchema: z.string(), store }, async ({ inputStream }) => {
      const inputs = inputStream[Symbol.asyncIterator]();
      const both = await Promise.all([inputs.next(), inputs.next()]);
      return { output: both.map(({ value }) => value) };
    });
    const conn = agent.open({ sessionId: 's' });
    const receipts = [conn.send('a', { id: 'a' }), conn.send('b', { id: 'b' })];
    expect((await conn.output()).output).toEqual(['a', 'b']);
    expect((await Promise.all(receipts)).map(({ turn }) => turn)).toEqual([1, 2]);
    expect((await store.load('s'))?.pending).toEqual([]);
  });
});

describe('which session', () => {
  it('known id: loads it and ignores init, even one that is wrong', async () => {
    const agent = echo(new MemorySessionStore());
    await hear(agent.open({ sessionId: 's', init: { heard: ['init'] } }), 'a');
    const again = await hear(agent.open({ sessionId: 's', init: { heard: 'wrong' } as never }), 'b');
    expect(again.state.heard).toEqual(['init', 'a', 'b']);
  });

  it('unknown id: creates it with init, as soon as the connection opens', async () => {
    const store = new MemorySessionStore();
    const conn = echo(store).open({ sessionId: 's', init: { heard: ['before'] } });
    await quiet();
    expect((await store.load('s'))?.checkpoint).toEqual({ state: { heard: ['before'] }, artifacts: [] });
    conn.close();
    expect((await conn.output()).sessionId).toBe('s');
  });

  it('no id: a new UUID, told at once and in the output', async () => {
    const conns = [echo().open(), echo().open()];
    for (const conn of conns) {
      expect(conn.sessionId).toMatch(uuid);
      conn.close();
      expect((await conn.output()).sessionId).toBe(conn.sessionId);
    }
    expect(conns[0]?.sessionId).not.toBe(conns[1]?.sessionId);
  });

  it('without a store lives as long as its connection', async () => {
    const agent = echo();
    await hear(agent.open({ sessionId: 's' }), 'a');
    expect((await hear(agent.open({ sessionId: 's' }), 'b')).state.heard).toEqual(['b']);
  });

  it('takes hostile ids as they are', async () => {
    const agent = echo(new MemorySessionStore());
    const ids = ['../../etc', '\u0000', '__proto__', 'constructor', ' ', 'x'.repeat(1_000_000)];
    for (const sessionId of ids) await hear(agent.open({ sessionId }), sessionId.slice(0, 9));
    for (const sessionId of ids) {
      expect((await agent.sessions.get(sessionId))?.state).toEqual({ heard: [sessionId.slice(0, 9)] });
    }
  });

  it.each([
    { sessionId: '' },
    { sessionId: 5 },
    { version: 0 },
    { version: 1.5 },
    { version: 'latest' },
    { context: 'somebody' },
    { onTraceStart: {} },
  ])('refuses wrong options at once: %o', (options) => {
    const agent = echo(new MemorySessionStore());
    expect(() => agent.open(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_VALUE', kind: 'option', status: 'INVALID_ARGUMENT' }),
    );
  });

  it('refuses a wrong init with its path, through output and receive', async () => {
    const conn = echo(new MemorySessionStore()).open({ init: { heard: [1] } as never });
    const wrong = { code: 'INVALID_VALUE', kind: 'init', issues: [{ path: 'heard.0', received: 'number' }] };
    expect(await errorOf(conn.output())).toMatchObject(wrong);
    expect(await errorOf(collect(conn.receive()))).toMatchObject(wrong);
    expect(await conn.done).toMatchObject({ finishReason: 'failed', error: wrong });
  });

  async function hear(conn: ReturnType<ReturnType<typeof echo>['open']>, input: string) {
    void conn.send(input);
    conn.close();
    return conn.output();
  }
});

describe('a handler that fails', () => {
  it('after some chunks: they arrive, then the error, everywhere and always; what was saved stays', async () => {
    const agent = testAgent({ store: new MemorySessionStore() }, async ({ session, inputStream, responder }) => {
      for await (const _ of inputStream) {
        await session.updateState({ saved: true });
        await responder.send('one');
        await responder.send('two');
        throw new AgentFlowError('HANDLER_FAILED', 'broke', { details: { at: 2 } });
      }
      return { output: null };
    });
    const conn = agent.open({ sessionId: 's' });
    void conn.send(1);
    const { chunks, error } = await collectToError(conn.receive());
    expect(chunks).toEqual(['one', 'two']);
    expect(error).toMatchObject({ code: 'HANDLER_FAILED', message: 'broke', details: { at: 2 } });
    expect(await errorOf(collect(conn.receive()))).toBe(error);
    expect(await errorOf(conn.output())).toBe(error);
    expect(await conn.done).toEqual({ sessionId: 's', finishReason: 'failed', error });
    expect((await agent.sessions.get('s'))?.state).toEqual({ saved: true });
  });
});

describe('what a handler says of its usage', () => {
  const using = (usage: unknown, store = new MemorySessionStore()) =>
    testAgent({ store }, async () => ({
      output: null,
      artifacts: [{ name: 'note', parts: [{ text: 'kept' }] }],
      usage: usage as Usage,
    }));

  it('is told with the output, as it was said', async () => {
    const usage = { inputTokens: 3, costUsd: 0, thoughtsTokens: 2 };
    const conn = using(usage).open();
    expect((await conn.output()).usage).toEqual(usage);
  });

  it.each([null, 'much', { inputTokens: -1 }, { costUsd: Number.NaN }])(
    'fails the run when it is %o, and nothing of the result is saved',
    async (usage) => {
      const agent = using(usage);
      const conn = agent.open({ sessionId: 's' });
      const error = await errorOf(conn.output());
      expect(error).toMatchObject({ code: 'INVALID_VALUE', kind: 'output' });
      expect(error).toMatchObject({ issues: [{ path: expect.stringMatching(/^usage/) }] });
      expect((await agent.sessions.get('s'))?.artifacts).toEqual([]);
    },
  );
});
