import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import type { HandlerArgs, Turn, TurnsOptions } from '../../src/agent/agent.js';
import { AgentFlowError } from '../../src/errors.js';
import { type TestScope, testAgent } from '../support/agents.js';
import { collect, collectToError, errorOf, Gate, quiet, standstill, stateOf } from '../support/waiting.js';

type Args = HandlerArgs<Record<string, unknown>, string, unknown>;
type Work = (input: string, turn: Turn<string>, args: Args) => void | Promise<void>;

function turnsAgent(work: Work, options?: TurnsOptions<string, unknown>, scope?: TestScope) {
  return testAgent(
    { inputSchema: z.string() },
    async (args) => {
      await args.turns((input, turn) => work(input, turn, args), options);
      return { output: 'all done' };
    },
    scope,
  );
}

describe('turns', () => {
  it('runs one input at a time and ends each turn', async () => {
    let running = 0;
    const agent = turnsAgent(async (input, turn, { responder }) => {
      running += 1;
      expect(running).toBe(1);
      await responder.send(`${turn.number}:${turn.attempt}:${input}`);
      await quiet();
      running -= 1;
    });
    const conn = agent.open();
    for (const input of ['a', 'b', 'c']) void conn.send(input);
    for (const expected of ['1:1:a', '2:1:b', '3:1:c']) expect(await collect(conn.receive())).toEqual([expected]);
    conn.close();
    expect((await conn.output()).output).toBe('all done');
  });

  it('takes a function that is not async, and one that ends its turn itself', async () => {
    const agent = turnsAgent((input, _, { responder }) => {
      void responder.send(input);
      void responder.endTurn();
    });
    const conn = agent.open();
    for (const input of ['a', 'b']) void conn.send(input);
    expect(await collect(conn.receive())).toEqual(['a']);
    expect(await collect(conn.receive())).toEqual(['b']);
    conn.close();
    expect(await collect(conn.receive())).toEqual([]);
  });

  it('tells the surroundings when each turn begins and how it ends', async () => {
    const events: unknown[] = [];
    const scope: TestScope = {
      onTurn: ({ turn, isEnd, end }) =>
        void events.push([turn, isEnd ? ((end as Error | undefined)?.message ?? 'ok') : 'begin']),
    };
    const agent = turnsAgent(
      (input) => (input === 'bad' ? Promise.reject(new TypeError('broke')) : undefined),
      {},
      scope,
    );
    const conn = agent.open();
    for (const input of ['a', 'bad', 'c']) void conn.send(input);
    conn.close();
    await conn.done;
    expect(events).toEqual([
      [1, 'begin'],
      [1, 'ok'],
      [2, 'begin'],
      [2, 'broke'],
      [3, 'begin'],
      [3, 'ok'],
    ]);
  });

  it('gives each turn a signal of its own, which an abort fires', async () => {
    const signals: AbortSignal[] = [];
    const agent = turnsAgent(async (input, turn) => {
      signals.push(turn.signal);
      if (input === 'last') await new Promise(() => {});
    });
    const conn = agent.open();
    for (const input of ['first', 'last']) void conn.send(input);
    await quiet();
    conn.abort();
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, true]);
    expect(signals[1]?.reason).toBe((await conn.done).error);
  });

  it('fires the signal of a turn that works on after it has ended itself, and not when its work is done', async () => {
    const signals: AbortSignal[] = [];
    const agent = turnsAgent(async (input, { signal }, { responder }) => {
      signals.push(signal);
      await responder.endTurn();
      if (input === 'tidies up') await new Promise(() => {});
    });
    for (const inputs of [['a'], ['b', 'tidies up']]) {
      const conn = agent.open();
      for (const input of inputs) void conn.send(input);
      await quiet();
      conn.abort();
    }
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, false, true]);
  });
});

describe('a turn that fails', () => {
  const flaky: Work = async (input, _, { responder }) => {
    await responder.send(`${input} begun`);
    if (input.startsWith('bad')) throw new TypeError(input);
    await responder.send(`${input} done`);
  };

  it('swallows no input behind it: its reader gets the error, the others are answered, the run fails at its end', async () => {
    const conn = turnsAgent(flaky).open();
    for (const input of ['a', 'bad 1', 'b', 'bad 2', 'c']) void conn.send(input);
    conn.close();
    expect(await collect(conn.receive())).toEqual(['a begun', 'a done']);
    const first = await collectToError(conn.receive());
    expect(first.chunks).toEqual(['bad 1 begun']);
    expect(first.error).toMatchObject({ code: 'HANDLER_FAILED', message: 'bad 1' });
    expect(await collect(conn.receive())).toEqual(['b begun', 'b done']);
    expect(await collectToError(conn.receive())).toMatchObject({
      chunks: ['bad 2 begun'],
      error: { message: 'bad 2' },
    });
    expect(await collect(conn.receive())).toEqual(['c begun', 'c done']);
    expect(await errorOf(conn.output())).toBe(first.error);
    expect(await errorOf(collect(conn.receive()))).toBe(first.error);
  });

  it('is answered by onError: what that sends belongs to the turn, and the run goes well', async () => {
    const answered: unknown[] = [];
    const agent = testAgent({ inputSchema: z.string() }, async (args) => {
      const onError: TurnsOptions<string, unknown>['onError'] = async (error, { input, turn }) => {
        answered.push([error.code, input, turn.number]);
        await args.responder.send('sorry');
      };
      await args.turns((input, turn) => flaky(input, turn, args), { onError });
      return { output: 'all done' };
    });
    const conn = agent.open();
    for (const input of ['bad', 'b']) void conn.send(input);
    conn.close();
    expect(await collect(conn.receive())).toEqual(['bad begun', 'sorry']);
    expect(await collect(conn.receive())).toEqual(['b begun', 'b done']);
    expect((await conn.output()).output).toBe('all done');
    expect(answered).toEqual([['HANDLER_FAILED', 'bad', 1]]);
  });

  it('whose onError throws fails with what that threw', async () => {
    const conn = turnsAgent(flaky, {
      onError: (error) => {
        throw new AgentFlowError('STORE_FAILED', 'no luck', { cause: error });
      },
    }).open();
    for (const input of ['bad', 'b']) void conn.send(input);
    conn.close();
    expect(await collectToError(conn.receive())).toMatchObject({ error: { code: 'STORE_FAILED' } });
    expect(await collect(conn.receive())).toEqual(['b begun', 'b done']);
    expect(await errorOf(conn.output())).toMatchObject({ code: 'STORE_FAILED', cause: { code: 'HANDLER_FAILED' } });
  });

  it('after it had ended itself still fails the run at its end', async () => {
    const conn = turnsAgent(async (input, _, { responder }) => {
      await responder.endTurn();
      if (input === 'bad') throw new TypeError('after the end');
    }).open();
    for (const input of ['bad', 'b']) void conn.send(input);
    conn.close();
    expect(await collect(conn.receive())).toEqual([]);
    expect(await collect(conn.receive())).toEqual([]);
    expect(await errorOf(conn.output())).toMatchObject({ message: 'after the end' });
  });

  it('because its run was aborted is answered by nobody', async () => {
    const answers: string[] = [];
    const agent = turnsAgent(
      (_, turn) =>
        new Promise((_resolve, reject) => turn.signal.addEventListener('abort', () => reject(turn.signal.reason))),
      { onError: () => void answers.push('onError'), onInterrupt: () => void answers.push('onInterrupt') },
    );
    const conn = agent.open();
    void conn.send('a');
    await quiet();
    conn.abort();
    await quiet();
    expect(answers).toEqual([]);
  });

  it('fails for watchers as well, and they go on', async () => {
    const conn = turnsAgent(flaky).open();
    const seen = collectToError(conn.watch());
    for (const input of ['bad', 'b']) void conn.send(input);
    conn.close();
    const { chunks, error } = await seen;
    expect(chunks).toMatchObject([
      { chunk: 'bad begun' },
      { type: 'turnEnd', interrupted: false, error: { message: 'bad' } },
      { chunk: 'b begun', cursor: { turn: 2, seq: 0 } },
      { chunk: 'b done' },
      { type: 'turnEnd' },
    ]);
    expect(error).toMatchObject({ message: 'bad' });
  });
});

describe('an interrupted turn', () => {
  it('gets its signal, may send no more, and keeps what it had said through onInterrupt', async () => {
    const begun = new Gate();
    const kept: unknown[] = [];
    const agent = testAgent({ inputSchema: z.string(), streamSchema: z.string() }, async ({ turns, responder }) => {
      await turns(
        async (input, turn) => {
          await responder.send(`${input} 1`);
          await responder.send(`${input} 2`);
          if (input !== 'long') return;
          begun.open();
          await new Promise((resolve) => turn.signal.addEventListener('abort', resolve));
          kept.push(await errorOf(() => responder.send('more')));
        },
        {
          async onInterrupt({ input, turn, chunks }) {
            kept.push([input, turn.number, chunks]);
            await responder.send('[interrupted]');
          },
        },
      );
      return { output: null };
    });
    const conn = agent.open();
    const watched = collect(conn.watch());
    void conn.send('long');
    void conn.send('queued');
    await begun.opened;
    void conn.send('now', { policy: 'interrupt' });
    conn.close();
    expect(await collect(conn.receive())).toEqual(['long 1', 'long 2', '[interrupted]']);
    expect(await collect(conn.receive())).toEqual(['now 1', 'now 2']);
    expect(await collect(conn.receive())).toEqual(['queued 1', 'queued 2']);
    await conn.output();
    expect(kept).toMatchObject([{ code: 'TURN_INTERRUPTED', status: 'CANCELLED' }, ['long', 1, ['long 1', 'long 2']]]);
    const ends = (await watched).filter(({ type }) => type === 'turnEnd');
    expect(ends).toMatchObject([{ interrupted: true }, { interrupted: false }, { interrupted: false }]);
    expect(ends[0]).not.toHaveProperty('error');
  });

  it('is let go where it waits for room', async () => {
    let sent = 0;
    const agent = turnsAgent(async (input, _, { responder }) => {
      for (; input === 'endless'; sent++) await responder.send(sent);
      await responder.send(input);
    });
    const conn = agent.open();
    void conn.send('endless');
    await standstill(() => sent);
    void conn.send('now', { policy: 'interrupt' });
    conn.close();
    expect(await collect(conn.receive())).toHaveLength(1_024);
    expect(await collect(conn.receive())).toEqual(['now']);
  });

  it('may be interrupted by whoever has just been told that it was taken', async () => {
    const worked: string[] = [];
    const agent = turnsAgent(async (input, turn) => {
      worked.push(input);
      if (input === 'first') await new Promise((resolve) => turn.signal.addEventListener('abort', resolve));
    });
    const conn = agent.open();
    await conn.send('first');
    await conn.send('second', { policy: 'interrupt' });
    conn.close();
    await conn.output();
    expect(worked.at(-1)).toBe('second');
  });

  it('is one that fails in its onInterrupt, if that throws', async () => {
    const begun = new Gate();
    const agent = turnsAgent(
      async (_, turn) => {
        begun.open();
        await new Promise((resolve) => turn.signal.addEventListener('abort', resolve));
      },
      { onInterrupt: () => Promise.reject(new TypeError('cannot keep it')) },
    );
    const conn = agent.open();
    void conn.send('a');
    await begun.opened;
    void conn.send('b', { policy: 'interrupt' });
    expect(await collectToError(conn.receive())).toMatchObject({ error: { message: 'cannot keep it' } });
    await quiet();
    conn.abort();
  });

  it('waits for a function that does not listen to its signal', async () => {
    const gate = new Gate();
    const agent = turnsAgent(async () => gate.opened);
    const conn = agent.open();
    void conn.send('a');
    await quiet();
    const second = conn.send('b', { policy: 'interrupt' });
    expect(await stateOf(second)).toBe('pending');
    gate.open();
    expect(await second).toMatchObject({ turn: 2 });
    conn.close();
    await conn.output();
  });
});
