/** What comes at the worst time, or from those who mean no good: each has one answer, and nobody is left waiting. */
import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { echoAgent, testAgent } from '../support/agents.js';
import { chunksOf, machines, seen } from '../support/talkers.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { collect, errorOf, Gate, quiet, stateOf } from '../support/waiting.js';

const sessionId = 's';

/** Adds each input to a list, and answers with how long it has become. */
function listing(store: UnsteadyStore | MemorySessionStore) {
  const schemas = { inputSchema: z.string(), stateSchema: z.object({ all: z.array(z.string()).default([]) }) };
  return testAgent({ ...schemas, store }, async ({ session, turns, responder }) => {
    await turns(async (input) => {
      await session.updateState((draft) => void draft.all.push(input));
      await responder.send(session.state.all.length);
    });
    return { output: session.state.all };
  });
}

/** A store whose next call of one kind is held up until the gate is opened. */
function holdingUp(memory: MemorySessionStore, held: 'acquire' | 'load' | 'save') {
  const store = new UnsteadyStore(memory);
  const gate = new Gate();
  const reached = new Gate();
  let isToHold = false;
  store.before = async (call) => {
    if (!isToHold || call !== held) return;
    isToHold = false;
    reached.open();
    await gate.opened;
  };
  return {
    store,
    reached: reached.opened,
    open: () => gate.open(),
    holdNext: () => {
      isToHold = true;
    },
  };
}

describe('an abort', () => {
  it.each(['acquire', 'load', 'save'] as const)(
    'while its session is being opened, at %s, is answered at once and holds up nobody',
    async (call) => {
      const memory = new MemorySessionStore();
      const { store, holdNext, reached, open } = holdingUp(memory, call);
      const agent = listing(store);
      holdNext();
      const connection = agent.open({ sessionId });
      const receipt = connection.send('never');
      await reached;
      connection.abort('enough');
      expect(await connection.done).toMatchObject({ finishReason: 'aborted', error: { cause: 'enough' } });
      expect(await errorOf(receipt)).toMatchObject({ code: 'RUN_ABORTED' });
      expect(await errorOf(collect(connection.receive()))).toMatchObject({ code: 'RUN_ABORTED' });
      open();
      const next = agent.open({ sessionId });
      void next.send('this');
      next.close();
      expect(await next.output()).toMatchObject({ output: ['this'] });
    },
  );

  it('before it has even begun, by a signal that has fired, touches no store', async () => {
    const store = new UnsteadyStore(new MemorySessionStore());
    const connection = listing(store).open({ sessionId, abortSignal: AbortSignal.abort('early') });
    expect(await connection.done).toMatchObject({ finishReason: 'aborted', error: { cause: 'early' } });
    await quiet();
    expect(store.calls).toEqual([]);
  });

  it('of one that waits for the session disturbs neither who has it nor who comes next', async () => {
    const agent = listing(new MemorySessionStore());
    const [first, second, third] = [1, 2, 3].map(() => agent.open({ sessionId }));
    await first?.send('a');
    second?.abort();
    expect(await second?.done).toMatchObject({ finishReason: 'aborted' });
    await first?.send('b');
    first?.close();
    void third?.send('c');
    third?.close();
    expect(await first?.output()).toMatchObject({ output: ['a', 'b'] });
    expect(await third?.output()).toMatchObject({ output: ['a', 'b', 'c'] });
  });

  it('in the middle of a save is answered at once; what the store takes stays', async () => {
    const memory = new MemorySessionStore();
    const { store, holdNext, reached, open } = holdingUp(memory, 'save');
    const agent = listing(store);
    const connection = agent.open({ sessionId });
    await connection.send('a');
    await connection.receive().next();
    holdNext();
    await connection.send('b');
    await reached;
    connection.abort();
    expect(await connection.done).toMatchObject({ finishReason: 'aborted' });
    const next = agent.open({ sessionId });
    void next.send('c');
    next.close();
    expect(await stateOf(next.output())).toBe('pending');
    open();
    expect(await next.output()).toMatchObject({ output: ['a', 'b', 'c'] });
  });
});

describe('a takeover', () => {
  it('in the middle of a save: it arrives before it or not at all, and its maker is told', async () => {
    for (const [isFirst, all] of [
      [true, ['a', 'b']],
      [false, ['a']],
    ] as const) {
      const memory = new MemorySessionStore();
      const { store, holdNext, reached, open } = holdingUp(memory, 'save');
      const connection = listing(store).open({ sessionId });
      await connection.send('a');
      await connection.receive().next();
      holdNext();
      await connection.send('b');
      await reached;
      if (isFirst) open();
      const other = listing(memory);
      if (isFirst) await connection.receive().next();
      const thief = other.open({ sessionId, onBusySession: 'takeover' });
      await thief.send('c');
      open();
      if (isFirst) await connection.send('d').catch(() => {});
      expect((await connection.done).error).toMatchObject({ code: 'LEASE_LOST' });
      thief.close();
      expect(await thief.output()).toMatchObject({ output: [...all, 'c'] });
    }
  });
});

describe('a handler', () => {
  const silent = { inputSchema: z.string(), streamSchema: z.string() };

  it('that ends a turn twice ends it once', async () => {
    const agent = testAgent(silent, async ({ inputStream, responder }) => {
      for await (const input of inputStream) {
        await responder.send(input);
        await responder.endTurn();
        await responder.endTurn();
      }
      return { output: null };
    });
    const connection = agent.open();
    for (const input of ['a', 'b', 'c']) {
      void connection.send(input);
      expect(await collect(connection.receive())).toEqual([input]);
    }
    await connection[Symbol.asyncDispose]();
  });

  it('that never ends a turn is read to the end of its run', async () => {
    const agent = testAgent(silent, async ({ inputStream, responder }) => {
      for await (const input of inputStream) await responder.send(input);
      return { output: 'over' };
    });
    const connection = agent.open();
    for (const input of ['a', 'b', 'c']) void connection.send(input);
    connection.close();
    const watched = seen(connection.watch());
    expect(await collect(connection.receive())).toEqual(['a', 'b', 'c']);
    expect(await connection.output()).toMatchObject({ output: 'over' });
    expect((await watched).all.map(({ cursor: { turn, seq } }) => [turn, seq])).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
    ]);
  });

  it('may send to itself from within a turn; that is the next turn', async () => {
    const connection = testAgent(silent, async ({ turns, responder }) => {
      await turns(async (input) => {
        await responder.send(input);
        if (input.length < 3) void connection.send(`${input}+`);
        else connection.close();
      });
      return { output: null };
    }).open();
    void connection.send('a');
    expect(await collect(connection.receiveAll())).toEqual(['a', 'a+', 'a++']);
    expect(await connection.done).toMatchObject({ finishReason: 'stop' });
  });

  it('has its context and its signal from the caller, whatever the way in', async () => {
    const context = { auth: { user: 'ada' } };
    const controller = new AbortController();
    const seenBy: unknown[] = [];
    const agent = testAgent(
      silent,
      async ({ context: given, signal, turns }) => {
        seenBy.push(given, signal.aborted);
        await turns((_, turn) => new Promise((resolve) => turn.signal.addEventListener('abort', () => resolve())));
        seenBy.push(signal.aborted, signal.reason.cause);
        return { output: null };
      },
      { context },
    );
    const connection = agent.open({ abortSignal: controller.signal });
    await connection.send('wait');
    controller.abort('gone');
    expect(await connection.done).toMatchObject({ finishReason: 'aborted' });
    await quiet();
    expect(seenBy).toEqual([context, false]);
  });
});

describe('many', () => {
  const inOrder = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);

  it('receivers of one turn share its chunks, each to one of them, and all end', async () => {
    const chunks = Array.from({ length: 1_000 }, (_, index) => index);
    const agent = testAgent({ inputSchema: z.array(z.number()) }, async ({ turns, responder }) => {
      await turns(async (numbers) => {
        for (const number of numbers) await responder.send(number);
      });
      return { output: null };
    });
    const connection = agent.open();
    const readers = Array.from({ length: 20 }, () => collect(connection.receive()));
    void connection.send(chunks);
    const parts = (await Promise.all(readers)) as number[][];
    expect(inOrder(parts.flat())).toEqual(chunks);
    for (const part of parts) expect(part).toEqual(inOrder(part));
    await connection[Symbol.asyncDispose]();
  });

  it('watchers that come between "accepted" and the first chunk see everything once', async () => {
    const gate = new Gate();
    const agent = testAgent({ inputSchema: z.string() }, async ({ turns, responder }) => {
      await turns(async (input) => {
        await gate.opened;
        for (const letter of input) await responder.send(letter);
      });
      return { output: null };
    });
    const connection = agent.open({ sessionId });
    await connection.send('abc');
    const watching = Array.from({ length: 20 }, (_, index) =>
      seen(index % 2 === 0 ? agent.watch(sessionId) : agent.attach(sessionId)),
    );
    gate.open();
    connection.close();
    await connection.output();
    for (const { all, error } of await Promise.all(watching)) {
      expect(chunksOf(all)).toEqual(['a', 'b', 'c', '|']);
      expect(error).toBeUndefined();
    }
  });

  it('who wait for one output all have the same', async () => {
    const connection = echoAgent().open();
    const outputs = Array.from({ length: 100 }, () => connection.output());
    connection.close();
    const [first, ...others] = await Promise.all(outputs);
    for (const other of others) expect(other).toBe(first);
  });

  it('processes that send the same ids at the same time run each input once', async () => {
    const open = machines();
    const config = {
      inputSchema: z.string(),
      stateSchema: z.object({ all: z.array(z.string()).default([]) }),
      leaseTtlMs: 60_000,
    };
    const agents = [open(), open()].map((store) =>
      testAgent({ ...config, store }, async ({ session, turns }) => {
        await turns((input) => session.updateState((draft) => void draft.all.push(input)));
        return { output: null };
      }),
    );
    const ids = Array.from({ length: 10 }, (_, index) => `id ${index}`);
    const runs = agents.flatMap((agent) => [agent.open({ sessionId }), agent.open({ sessionId })]);
    const receipts = runs.map((run) => Promise.all(ids.map((id) => run.send(id, { id }))));
    for (const run of runs) run.close();
    const [last] = await Promise.all(runs.map((run) => run.output()));
    expect(last?.sessionId).toBe(sessionId);
    expect((await agents[0]?.sessions.get(sessionId))?.state).toEqual({ all: ids });
    const all = await Promise.all(receipts);
    for (const [index] of ids.entries()) {
      const ofOne = all.map((run) => run[index]);
      expect(ofOne.filter((receipt) => !receipt?.duplicate)).toHaveLength(1);
      expect(new Set(ofOne.map((receipt) => `${receipt?.run} ${receipt?.turn}`)).size).toBe(1);
    }
  });
});

describe('values', () => {
  it('of 5 MB are chunks and state like all others, here and for who watches elsewhere', async () => {
    const open = machines();
    const make = () =>
      testAgent(
        { store: open(), inputSchema: z.number(), streamSchema: z.string() },
        async ({ session, turns, responder }) => {
          await turns(async (size) => {
            const text = '\u20ac'.repeat(size);
            await responder.send(text);
            await session.updateState({ text });
          });
          return { output: null };
        },
      );
    const [here, there] = [make(), make()];
    const connection = here.open({ sessionId });
    const size = 5_000_000;
    await connection.send(size);
    const [chunk] = await collect(connection.receive());
    expect(chunk?.length).toBe(size);
    connection.close();
    await connection.output();
    const { chunks, error } = await seen(there.attach(sessionId));
    expect(chunks.map((one) => String(one).length)).toEqual([size, 1]);
    expect(error).toBeUndefined();
    expect((await there.sessions.get(sessionId))?.state).toEqual({ text: chunk });
  });

  it('named __proto__ change no prototype: from init, by an update, and when they are read again', async () => {
    const store = new MemorySessionStore();
    const hostile = () =>
      JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"a":1}');
    const agent = testAgent({ store }, async ({ session, turns }) => {
      await turns(async () => {
        await session.updateState((draft) => void Object.assign(draft, { b: hostile() }));
        await session.updateState({ ...session.state, c: hostile() });
      });
      return { output: session.state };
    });
    const connection = agent.open({ sessionId, init: hostile() });
    void connection.send('go');
    connection.close();
    const { output } = await connection.output();
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect(Object.getPrototypeOf(output)).toBe(Object.prototype);
    const { state } = (await agent.sessions.get(sessionId)) ?? {};
    expect(JSON.stringify(state)).toBe(JSON.stringify(output));
    expect(Object.keys(output as object)).toEqual(['constructor', 'a', 'b', 'c']);
  });
});

it('3,000 sessions are listed while more are made: none is missed, none comes twice', async () => {
  const agent = listing(new MemorySessionStore());
  const make = async (from: number, to: number) => {
    const runs = Array.from({ length: to - from }, (_, index) => agent.open({ sessionId: `n${from + index}` }));
    for (const run of runs) run.close();
    await Promise.all(runs.map((run) => run.output()));
  };
  await make(0, 2_700);
  const making = make(2_700, 3_000);
  const listed: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await agent.sessions.list({ limit: 150, ...(cursor === undefined ? {} : { cursor }) });
    listed.push(...page.sessions.map(({ id }) => id));
    cursor = page.next;
    if (cursor === undefined) break;
    await quiet();
  }
  await making;
  expect(new Set(listed).size).toBe(listed.length);
  expect(listed.filter((id) => Number(id.slice(1)) < 2_700)).toHaveLength(2_700);
});
