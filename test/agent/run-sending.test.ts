import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { echoAgent as echo, testAgent } from '../support/agents.js';
import { errorOf, Gate, quiet, standstill, stateOf, take } from '../support/waiting.js';

describe('send', () => {
  it('throws at once for an input that does not fit; nothing else is touched', async () => {
    const conn = echo().open();
    void conn.send('a');
    expect(() => conn.send(1 as never)).toThrow(
      expect.objectContaining({
        code: 'INVALID_VALUE',
        status: 'INVALID_ARGUMENT',
        kind: 'input',
        issues: [{ path: '', expected: 'string', received: 'number' }],
      }),
    );
    void conn.send('b');
    conn.close();
    expect((await conn.output()).state.heard).toEqual(['a', 'b']);
  });

  it('throws at once after close and after the end, saying which', async () => {
    const conn = echo().open();
    conn.close();
    conn.close();
    const closed = { code: 'CONNECTION_CLOSED', status: 'FAILED_PRECONDITION' };
    expect(() => conn.send('a')).toThrow(
      expect.objectContaining({ ...closed, message: expect.stringContaining('was closed') }),
    );
    await conn.output();
    expect(() => conn.send('a')).toThrow(
      expect.objectContaining({ ...closed, message: expect.stringContaining('has ended') }),
    );
    const aborted = echo().open();
    aborted.abort('enough');
    expect(() => aborted.send('a')).toThrow(
      expect.objectContaining({ ...closed, cause: expect.objectContaining({ code: 'RUN_ABORTED' }) }),
    );
  });

  it('from 1,000 callers at once loses nothing and repeats nothing', async () => {
    const conn = echo().open();
    void conn.output();
    const callers = Array.from({ length: 1_000 }, async (_, caller) => {
      if (caller % 3 === 0) await quiet();
      return conn.send(String(caller), caller % 2 === 0 ? {} : { id: `id-${caller}` });
    });
    const receipts = await Promise.all(callers);
    conn.close();
    const { heard } = (await conn.output()).state;
    expect(heard.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, caller) => caller));
    expect(new Set(receipts.map(({ turn }) => turn)).size).toBe(1_000);
    expect(receipts.map(({ turn }) => heard[turn - 1])).toEqual(receipts.map((_, caller) => String(caller)));
  });

  it('is refused when the agent ends first', async () => {
    const gate = new Gate();
    const agent = testAgent({}, async ({ inputStream }) => {
      for await (const _ of inputStream) break;
      await gate.opened;
      return { output: 'enough' };
    });
    const conn = agent.open();
    expect(await stateOf(conn.send(1))).toBe('resolved');
    const second = conn.send(2);
    expect(await stateOf(second)).toBe('pending');
    gate.open();
    expect(await errorOf(second)).toMatchObject({ code: 'CONNECTION_CLOSED' });
    expect((await conn.output()).output).toBe('enough');
  });

  it('is never swallowed by a read the handler has left behind', async () => {
    const store = new MemorySessionStore();
    const agent = testAgent({ store }, async ({ inputStream }) => {
      const inputs = inputStream[Symbol.asyncIterator]();
      await inputs.next();
      void inputs.next();
      return { output: null };
    });
    const conn = agent.open();
    await conn.send(1);
    const fates = await Promise.allSettled([conn.output(), quiet().then(() => conn.send(2))]);
    expect(fates[1]).toMatchObject({ status: 'rejected', reason: { code: 'CONNECTION_CLOSED' } });
  });
});

describe('output', () => {
  it('is one and the same however often it is asked for, before and after the end', async () => {
    const conn = echo().open();
    const early = conn.output();
    expect(conn.output()).toBe(early);
    conn.close();
    expect(await early).toBe(await conn.output());
  });

  it('is not held up by 200,000 chunks nobody reads', async () => {
    const agent = testAgent({ outputSchema: z.number() }, async ({ responder }) => {
      let sent = 0;
      for (; sent < 200_000; sent++) await responder.send(sent);
      return { output: sent };
    });
    expect((await agent.open().output()).output).toBe(200_000);
  });

  it('alone lets a handler go on that nobody reads; otherwise it waits at the documented bound', async () => {
    let sent = 0;
    const agent = testAgent({}, async ({ responder }) => {
      for (; sent < 200_000; sent++) await responder.send(sent);
      return { output: null };
    });
    const conn = agent.open();
    expect((await standstill(() => sent)) + 1).toBe(1_024);
    await take(conn.receive(), 10);
    expect((await standstill(() => sent)) + 1).toBe(1_034);
    conn.abort();
    expect(await conn.done).toMatchObject({ finishReason: 'aborted' });
  });

  it('is checked, and the run fails with what is wrong with it', async () => {
    const agent = testAgent({ outputSchema: z.object({ n: z.number() }) }, async ({ session }) => {
      await session.updateState({ kept: true });
      return { output: { n: 'one' } as never };
    });
    const conn = agent.open();
    expect(await errorOf(conn.output())).toMatchObject({ kind: 'output', issues: [{ path: 'n' }] });
    const nothing = testAgent({ outputSchema: z.string() }, (async () => undefined) as never).open();
    expect(await errorOf(nothing.output())).toMatchObject({ kind: 'output' });
  });

  it('comes after every save that was not awaited', async () => {
    const store = new MemorySessionStore();
    const agent = testAgent({ store }, async ({ session }) => {
      void session.updateState({ saved: 1 });
      void session.updateState({ saved: 2 });
      void session.saveArtifact({ name: 'a', parts: [] });
      return { output: null };
    });
    const result = await agent.open({ sessionId: 's' }).output();
    expect(result.state).toEqual({ saved: 2 });
    expect(result.artifacts).toEqual([{ name: 'a', parts: [] }]);
    expect((await agent.sessions.get('s'))?.state).toEqual({ saved: 2 });
  });
});
