/**
 * Defects of Genkit 1.42's own bidi actions, one by one: none of them may show through ours. The one of its log, which feeds
 * itself, is in `telemetry-failures.test.ts`.
 */
import { genkit, z } from 'genkit';
import { describe, expect, test } from 'vitest';
import { type AgentHandler, defineAgent, type GenkitAgent } from '../../src/index.js';
import { Deferred } from '../../src/internal/deferred.js';
import { standstill } from '../support/waiting.js';

const ai = genkit({});
let count = 0;

type Json = unknown;

/** An agent whose inputs, chunks and output may be anything. */
function agent(
  handler: AgentHandler<Record<string, unknown>, Json, Json, Json>,
): GenkitAgent<Record<string, unknown>, Json, Json, Json> {
  count += 1;
  return defineAgent(ai, { name: `trap-${count}` }, handler) as GenkitAgent<Record<string, unknown>, Json, Json, Json>;
}

async function collect<T>(chunks: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

const echo = () =>
  agent(async ({ turns, responder }) => {
    await turns(async (input) => responder.send(input));
    return { output: 'done' };
  });

describe('traps of the runtime', () => {
  test('concurrent runs keep their own context, init and signal', async () => {
    const seen: unknown[][] = [];
    const who = agent(async ({ context, session, signal, turns }) => {
      await turns(async () => {
        seen.push([context.user, session.state.user, signal.aborted]);
        await Promise.resolve();
        seen.push([context.user, session.state.user, signal.aborted]);
      });
      return { output: context.user };
    });
    const users = ['A', 'B', 'C'];
    const runs = users.flatMap((user) => [
      who.run('x', { context: { user }, init: { user } }).then(({ output }) => output),
      who
        .flow('x', { context: { user }, init: { init: { user } } })
        .then((result: { output: unknown }) => result.output),
    ]);
    expect(await Promise.all(runs)).toEqual(['A', 'A', 'B', 'B', 'C', 'C']);
    for (const user of users)
      expect(seen.filter(([context, state]) => context === user && state === user)).toHaveLength(4);
  });

  test('falsy chunks arrive, in process and through the flow', async () => {
    const values = ['', 0, false, null, undefined, Number.NaN, 'x', {}];
    const falsy = agent(async ({ turns, responder }) => {
      await turns(async () => {
        for (const value of values) await responder.send(value);
      });
      return { output: null };
    });
    const connection = falsy.streamBidi();
    connection.send('go');
    expect(await collect(connection.receive())).toEqual(values);
    const chunks: unknown[] = [];
    await falsy.flow.run('go', { onChunk: (chunk) => chunks.push(chunk) });
    expect(chunks).toEqual(values);
    expect(await collect(falsy.flow.stream('go').stream)).toEqual(values);
    connection.close();
  });

  test('break hangs up nothing, and what comes later does not crash', async () => {
    const connection = echo().streamBidi();
    for (let turn = 0; turn < 3; turn++) {
      connection.send(turn);
      for await (const chunk of connection.receive()) {
        expect(chunk).toBe(turn);
        break;
      }
      expect(await collect(connection.receive())).toEqual([]);
    }
    connection.close();
    await expect(connection.output()).resolves.toMatchObject({ output: 'done' });
  });

  test('nor does it crash where a caller leaves the stream of the flow, or waits for nothing', async () => {
    const [left, over] = [new Deferred<void>(), new Deferred<void>()];
    const talking = agent(async ({ turns, responder }) => {
      await turns(async () => {
        await responder.send(1);
        await left.promise;
        await responder.send(2);
        over.resolve();
        throw new Error('nobody listens');
      });
      return { output: null };
    });
    for await (const chunk of talking.flow.stream('go').stream) {
      expect(chunk).toBe(1);
      break;
    }
    left.resolve();
    await over.promise;
    const { output, stream } = talking.flow.stream('go');
    await expect(output).rejects.toThrow('nobody listens');
    await expect(collect(stream)).rejects.toThrow('nobody listens');
    const checking = defineAgent(ai, { name: 'checks-stream', inputSchema: z.number() }, async ({ turns }) => {
      await turns(() => {});
      return { output: null };
    });
    await expect(checking.flow.stream('one').output).rejects.toMatchObject({ status: 'INVALID_ARGUMENT' });
  });

  test('an error nobody waits for stays silent', async () => {
    const failing = agent(async () => {
      throw new Error('nobody listens');
    });
    const connection = failing.streamBidi();
    connection.send('x');
    expect(await connection.done).toMatchObject({ finishReason: 'failed', error: { message: 'nobody listens' } });
  });

  test('an iterator that is given up before its first value ends nothing', async () => {
    const connection = echo().streamBidi();
    await connection.receive().return?.();
    connection.send('still here');
    expect(await collect(connection.receive())).toEqual(['still here']);
    connection.close();
    await connection.output();
  });

  test.each(['in process', 'through the flow'])('an abort reaches a handler that waits for input, %s', async (way) => {
    const [begun, told] = [new Deferred<void>(), new Deferred<unknown>()];
    count += 1;
    // Were it only left alone after a while, that would be too late for this test.
    const config = { name: `trap-${count}`, abortGraceMs: 60_000 };
    const waiting = defineAgent(ai, config, async ({ inputStream, signal }) => {
      signal.addEventListener('abort', () => told.resolve(signal.reason));
      begun.resolve();
      for await (const _ of inputStream);
      return { output: null };
    });
    const controller = new AbortController();
    const never: AsyncIterable<unknown> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
    const options = { abortSignal: controller.signal, inputStream: never };
    const error = { code: 'RUN_ABORTED', status: 'CANCELLED', cause: 'enough' };
    const ofFlow = { status: 'CANCELLED', cause: error };
    const run = way === 'in process' ? waiting.streamBidi(options) : waiting.flow.stream(undefined, options);
    const [output, chunks] = 'receive' in run ? [run.output(), run.receive()] : [run.output, run.stream];
    await begun.promise;
    controller.abort('enough');
    await expect(output).rejects.toMatchObject('receive' in run ? error : ofFlow);
    await expect(collect(chunks)).rejects.toMatchObject('receive' in run ? error : ofFlow);
    expect(await told.promise).toMatchObject(error);
  });

  test('an aborted signal runs nothing', async () => {
    let ran = false;
    const never = agent(async () => {
      ran = true;
      return { output: null };
    });
    await expect(never.run('x', { abortSignal: AbortSignal.abort('before') })).rejects.toMatchObject({
      code: 'RUN_ABORTED',
    });
    expect(ran).toBe(false);
  });

  test('a producer is held back at the bound', async () => {
    let sent = 0;
    const eager = agent(async ({ turns, responder }) => {
      await turns(async () => {
        for (sent = 0; sent < 200_000; ) {
          sent += 1;
          await responder.send(sent);
        }
      });
      return { output: null };
    });
    const connection = eager.streamBidi();
    await connection.send('go');
    expect(await standstill(() => sent)).toBe(1_024);
    expect(await collect(connection.receive())).toHaveLength(200_000);
    connection.close();
  });

  test('a missing init is no error', async () => {
    const served = echo();
    await expect(served.flow('x')).resolves.toMatchObject({ output: 'done' });
    await expect(served.flow('x', { init: null })).resolves.toMatchObject({ output: 'done' });
    await expect(served.flow('x', { init: { sessionID: 'typo' } })).rejects.toMatchObject({
      status: 'INVALID_ARGUMENT',
    });
  });

  test('Zod checks: defaults, transforms and refinements, the same on every way in', async () => {
    const strict = defineAgent(
      ai,
      {
        name: 'strict-zod',
        inputSchema: z.object({ n: z.number().default(7), s: z.string().transform((s) => s.toUpperCase()) }),
        stateSchema: z.object({ k: z.number().refine((k) => k > 100) }),
      },
      async ({ turns }) => {
        const seen: unknown[] = [];
        await turns(async (input) => void seen.push(input));
        return { output: seen };
      },
    );
    const init = { k: 101 };
    expect((await strict.run({ s: 'abc' }, { init })).output).toEqual([{ n: 7, s: 'ABC' }]);
    expect((await strict.flow({ s: 'abc' }, { init: { init } })).output).toEqual([{ n: 7, s: 'ABC' }]);
    const bad = { init: { k: 1 } };
    await expect(strict.run({ s: 'abc' }, bad)).rejects.toMatchObject({ status: 'INVALID_ARGUMENT', kind: 'init' });
    await expect(strict.flow({ s: 'abc' }, { init: bad })).rejects.toMatchObject({
      status: 'INVALID_ARGUMENT',
      cause: { code: 'INVALID_VALUE', kind: 'init' },
    });
  });

  test('a bad input takes nothing with it', async () => {
    const numbers = defineAgent(ai, { name: 'numbers', inputSchema: z.number() }, async ({ turns }) => {
      const seen: number[] = [];
      await turns(async (input) => void seen.push(input));
      return { output: seen };
    });
    async function* inputs() {
      yield* [1, 'two', 3, null, 5];
    }
    const { result } = await numbers.flow.run(undefined, { inputStream: inputs() } as object);
    expect(result.output).toEqual([1, 3, 5]);
    const connection = numbers.streamBidi();
    connection.send(1);
    expect(() => connection.send('two' as never)).toThrow('expected number, got string');
    connection.send(3);
    connection.close();
    expect((await connection.output()).output).toEqual([1, 3]);
  });

  test('nor does one that comes while the agent answers, where it takes none then', async () => {
    const refused = new Deferred<void>();
    const busy = defineAgent(ai, { name: 'busy', sendPolicy: 'reject' }, async ({ turns }) => {
      const seen: unknown[] = [];
      await turns(async (input) => {
        seen.push(input);
        await refused.promise;
      });
      return { output: seen };
    });
    async function* inputs() {
      yield 1;
      yield 2;
      refused.resolve();
      await new Promise((answered) => setImmediate(answered));
      yield 3;
    }
    const { result } = await busy.flow.run(undefined, { inputStream: inputs() } as object);
    expect(result.output).toEqual([1, 3]);
  });

  test('chunks are checked; an output need not be JSON in process', async () => {
    const checking = defineAgent(ai, { name: 'checking', streamSchema: z.number() }, async ({ turns, responder }) => {
      await turns(async (input) => responder.send(input as number));
      return { output: 1n };
    });
    await expect(checking.run('NaN')).rejects.toMatchObject({ code: 'INVALID_VALUE', kind: 'chunk' });
    expect((await checking.run([])).output).toBe(1n);
  });

  test.each([
    ['null', null],
    ['undefined', undefined],
    ['a string', 'ouch'],
    ['a frozen error', Object.freeze(new Error('cold'))],
  ])('whatever is thrown is kept: %s', async (_, thrown) => {
    const throwing = agent(async () => {
      throw thrown;
    });
    await expect(throwing.run('x')).rejects.toMatchObject({
      code: 'HANDLER_FAILED',
      status: 'INTERNAL',
      cause: thrown,
    });
    await expect(throwing.flow('x')).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
  });

  test('sending where nobody listens is an error', async () => {
    const connection = echo().streamBidi();
    connection.close();
    connection.close();
    expect(() => connection.send('x')).toThrow(
      expect.objectContaining({ code: 'CONNECTION_CLOSED', status: 'FAILED_PRECONDITION' }),
    );
    await connection.output();
    const early = agent(async () => ({ output: 'early' }));
    const ended = early.streamBidi();
    await ended.output();
    expect(() => ended.send('x')).toThrow('the run has ended');
  });

  test('a handler may leave its loop over the inputs and come back', async () => {
    const picky = agent(async ({ inputStream }) => {
      const first: unknown[] = [];
      const second: unknown[] = [];
      for await (const input of inputStream) {
        first.push(input);
        break;
      }
      for await (const input of inputStream) second.push(input);
      return { output: [first, second] };
    });
    expect((await picky.run([1, 2, 3])).output).toEqual([[1], [2, 3]]);
  });

  test.each(['returns early', 'is aborted'])('a caller’s own input stream is closed when the run %s', async (how) => {
    const controller = new AbortController();
    const closed = new Deferred<void>();
    let closings = 0;
    const source: AsyncIterable<unknown> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: async () => {
          closings += 1;
          closed.resolve();
          return { value: undefined, done: true };
        },
      }),
    };
    const leaving = agent(async ({ signal }) => {
      if (how === 'returns early') return { output: null };
      controller.abort();
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    });
    await leaving.flow
      .run(undefined, { inputStream: source, abortSignal: controller.signal } as object)
      .catch(() => {});
    await closed.promise;
    expect(closings).toBe(1);
  });

  test('a caller is told the trace', async () => {
    const traces: string[] = [];
    await echo().run('x', {
      onTraceStart: ({ traceId }) => void traces.push(traceId),
      telemetryLabels: { tier: 'gold' },
    });
    expect(traces).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
  });

  test('what was buffered comes before the error', async () => {
    const failing = agent(async ({ inputStream, responder }) => {
      for await (const input of inputStream) {
        await responder.send(input);
        await responder.send(2);
        throw new Error('after two');
      }
      return { output: null };
    });
    const connection = failing.streamBidi();
    connection.send(1);
    await connection.done;
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const chunk of connection.receive()) seen.push(chunk);
    })();
    await expect(reading).rejects.toThrow('after two');
    expect(seen).toEqual([1, 2]);
  });

  test('an agent is opened inside a running flow with a context', async () => {
    const inner = echo();
    const outer = ai.defineFlow(
      'opens-an-agent',
      async () => (await inner.run('x', { context: { user: 'A' } })).output,
    );
    expect((await outer.run(undefined, { context: { user: 'B' } })).result).toBe('done');
  });

  test('a name is taken once', () => {
    defineAgent(ai, { name: 'taken' }, async () => ({ output: 1 }));
    expect(() => defineAgent(ai, { name: 'taken' }, async () => ({ output: 2 }))).toThrow(
      'a name no other agent or flow has',
    );
    ai.defineFlow('taken-by-a-flow', async () => 1);
    expect(() => defineAgent(ai, { name: 'taken-by-a-flow' }, async () => ({ output: 2 }))).toThrow('or flow has');
  });

  test('a schema of Zod 4, which would switch all checks off, is refused', () => {
    const zod4 = { _zod: {}, _def: {}, safeParse: () => ({ success: true }) };
    expect(() => defineAgent(ai, { name: 'zod4', inputSchema: zod4 as never }, async () => ({ output: 1 }))).toThrow(
      expect.objectContaining({ code: 'INVALID_SCHEMA', status: 'INVALID_ARGUMENT' }),
    );
  });
});
