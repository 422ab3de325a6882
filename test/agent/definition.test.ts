import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import type { AgentConfig } from '../../src/agent/agent.js';
import { agentDefinition } from '../../src/agent/definition.js';
import { systemClock } from '../../src/internal/clock.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { testAgent } from '../support/agents.js';
import { errorOf } from '../support/waiting.js';

const define = (config: object) => agentDefinition({ name: 'agent', ...config } as AgentConfig);

describe('a definition', () => {
  it('has the documented defaults', () => {
    expect(define({})).toMatchObject({
      name: 'agent',
      store: undefined,
      onBusySession: 'queue',
      sendPolicy: 'queue',
      keepVersions: undefined,
      maxBufferedChunks: 1_024,
      replayChunks: 10_000,
      maxQueuedInputs: 10_000,
      leaseTtlMs: 15_000,
      abortGraceMs: 1_000,
      clock: systemClock,
    });
    expect(define({}).state.create(undefined)).toEqual({});
    expect(define({}).inputSchema.parse(undefined)).toBeUndefined();
  });

  it.each([
    [{ name: '' }, 'name', 'string'],
    [{ name: 5 }, 'name', 'number'],
    [{ name: undefined }, 'name', 'undefined'],
    [{ keepVersions: 0 }, 'keepVersions', '0'],
    [{ maxBufferedChunks: 0 }, 'maxBufferedChunks', '0'],
    [{ maxBufferedChunks: Number.NaN }, 'maxBufferedChunks', 'NaN'],
    [{ maxQueuedInputs: -1 }, 'maxQueuedInputs', '-1'],
    [{ replayChunks: 1.5 }, 'replayChunks', '1.5'],
    [{ leaseTtlMs: '15000' }, 'leaseTtlMs', '15000'],
    [{ leaseTtlMs: 2 ** 31 }, 'leaseTtlMs', '2147483648'],
    [{ abortGraceMs: Infinity }, 'abortGraceMs', 'Infinity'],
    [{ abortGraceMs: 2 ** 40 }, 'abortGraceMs', '1099511627776'],
    [{ onBusySession: 'wait' }, 'onBusySession', '"wait"'],
    [{ sendPolicy: 7 }, 'sendPolicy', 'number'],
    [{ store: {} }, 'store', 'an object without its methods'],
    [{ store: null }, 'store', 'null'],
    [{ clock: {} }, 'clock', 'an object without its methods'],
    [{ migrate: {} }, 'migrate', 'object'],
    [{ toInput: 'text' }, 'toInput', 'string'],
    [{ toChunk: null }, 'toChunk', 'null'],
  ])('refuses %o, saying what it expected', (config, path, received) => {
    expect(() => define(config)).toThrow(
      expect.objectContaining({
        code: 'INVALID_VALUE',
        kind: 'option',
        issues: [{ path, expected: expect.any(String), received }],
      }),
    );
  });

  it.each([
    [undefined, 'undefined'],
    [null, 'null'],
    ['agent', 'string'],
  ])('refuses %o as the whole of it', (config, received) => {
    expect(() => agentDefinition(config as never)).toThrow(
      expect.objectContaining({ issues: [{ path: 'config', expected: 'an object', received }] }),
    );
  });

  it('takes the smallest values that mean something', () => {
    define({
      keepVersions: 1,
      maxBufferedChunks: 1,
      maxQueuedInputs: 1,
      replayChunks: 0,
      leaseTtlMs: 1,
      abortGraceMs: 0,
    });
  });

  const zod4 = { _zod: {}, _def: {}, safeParse: () => ({ success: true }) };
  it.each(['inputSchema', 'streamSchema', 'outputSchema', 'stateSchema'])(
    'refuses a %s that is not Zod 3',
    (option) => {
      for (const schema of [zod4, { type: 'object' }, 'string', null, () => {}]) {
        expect(() => define({ [option]: schema })).toThrow(
          expect.objectContaining({
            code: 'INVALID_SCHEMA',
            status: 'INVALID_ARGUMENT',
            message: expect.stringContaining(option),
          }),
        );
      }
    },
  );
});

describe('options of a connection', () => {
  it.each([
    [{ abortSignal: new AbortController() }, 'abortSignal'],
    [{ abortSignal: 5 }, 'abortSignal'],
    [{ onBusySession: 'wait' }, 'onBusySession'],
  ])('%o are refused at once', (options, path) => {
    const agent = testAgent({}, async () => ({ output: null }));
    expect(() => agent.open(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_VALUE', issues: [expect.objectContaining({ path })] }),
    );
  });
});

describe('a schema that throws instead of judging', () => {
  const throwing = z.unknown().transform((value) => {
    if (value !== 'fine') throw new TypeError('broken schema');
    return value;
  });
  const asynchronous = z.string().refine(async () => true);

  it.each([
    ['its transform', throwing],
    ['an async refinement', asynchronous],
  ])('by %s is told as INVALID_SCHEMA, to whoever brought the value', async (_, schema) => {
    const invalid = { code: 'INVALID_SCHEMA', cause: expect.any(Error) };
    const inputs = testAgent({ inputSchema: schema }, async () => ({ output: null })).open();
    expect(() => inputs.send('x' as never)).toThrow(expect.objectContaining(invalid));
    inputs.close();
    const outputs = testAgent({ outputSchema: schema }, async () => ({ output: 'x' as never })).open();
    expect(await outputs.done).toMatchObject({ error: invalid });
    const states = testAgent({ stateSchema: schema }, async () => ({ output: null })).open({ init: 'x' as never });
    expect(await states.done).toMatchObject({ error: invalid });
  });

  it('over nothing at all has no default, and leaves it to initialState', async () => {
    const stateSchema = z.preprocess((value) => (value as { old: unknown }).old, z.number());
    const conn = testAgent({ stateSchema, initialState: { old: 5 } }, async ({ session }) => ({
      output: session.state,
    })).open();
    expect((await conn.output()).output).toBe(5);
  });
});

describe('null or text where options are to be', () => {
  const agent = testAgent({ store: new MemorySessionStore() }, async ({ turns }) => {
    await turns(() => {});
    return { output: null };
  });
  type Use = (options: never) => unknown;

  it.each<[string, Use]>([
    ['streamBidi', (options) => agent.open(options)],
    ['attach', (options) => agent.attach('s', options)],
    ['sessions.get', (options) => agent.sessions.get('s', options)],
    ['sessions.list', (options) => agent.sessions.list(options)],
    ['sessions.fork', (options) => agent.sessions.fork('s', options)],
  ])('%s says what it expected', async (_, use) => {
    for (const [options, received] of [
      [null, 'null'],
      ['s', 'string'],
    ]) {
      expect(await errorOf(async () => use(options as never))).toMatchObject({
        code: 'INVALID_VALUE',
        issues: [{ path: 'options', expected: 'an object', received }],
      });
    }
  });

  it.each<[string, (conn: ReturnType<typeof agent.open>, options: never) => unknown]>([
    ['send', (conn, options) => conn.send('x', options)],
    ['watch', (conn, options) => conn.watch(options)],
  ])('%s of a connection says what it expected, and nothing has happened', async (_, use) => {
    const conn = agent.open();
    for (const [options, received] of [
      [null, 'null'],
      [() => {}, 'function'],
    ]) {
      expect(await errorOf(() => use(conn, options as never))).toMatchObject({
        code: 'INVALID_VALUE',
        issues: [{ path: 'options', expected: 'an object', received }],
      });
    }
    expect(await conn.send('y')).toMatchObject({ turn: 1 });
    conn.close();
    await conn.output();
  });

  it.each([
    [undefined, {}, 'turn'],
    [() => {}, null, 'options'],
  ])('turns(%o, %o) fails the run with what it expected', async (turn, options, path) => {
    const conn = testAgent({}, async ({ turns }) => {
      await turns(turn as never, options as never);
      return { output: null };
    }).open();
    conn.close();
    expect(await conn.done).toMatchObject({ error: { code: 'INVALID_VALUE', issues: [{ path }] } });
  });

  it('a cursor that is none is refused by whoever would go on after it, saying which option it is', async () => {
    const conn = agent.open({ sessionId: 'cursors' });
    const refusal = (path: string) => expect.objectContaining({ issues: [expect.objectContaining({ path })] });
    expect(() => conn.watch({ after: null as never })).toThrow(refusal('after'));
    const from = { run: 'r', turn: 1, seq: -1, attempt: 1 };
    expect(() => agent.attach('cursors', { from })).toThrow(refusal('from.seq'));
    conn.close();
    await conn.output();
  });

  it('a signal that is none is refused by whoever would listen to it', async () => {
    const conn = agent.open({ sessionId: 'signals' });
    const options = { signal: new AbortController() as never };
    const refusal = expect.objectContaining({ issues: [expect.objectContaining({ path: 'signal' })] });
    expect(() => conn.watch(options)).toThrow(refusal);
    expect(() => agent.attach('signals', options)).toThrow(refusal);
    conn.close();
    await conn.output();
  });
});

describe('options of one send', () => {
  it.each([
    [{ id: 5 }, { kind: 'id', issues: [{ path: 'id', received: 'number' }] }],
    [{ policy: 'now' }, { kind: 'option', issues: [{ path: 'policy', received: '"now"' }] }],
    [{ policy: null }, { kind: 'option', issues: [{ path: 'policy', received: 'null' }] }],
  ])('%o are refused at once', async (options, expected: object) => {
    const conn = testAgent({}, async ({ turns }) => {
      await turns(() => {});
      return { output: null };
    }).open();
    expect(await errorOf(() => conn.send(1, options as never))).toMatchObject(expected);
    conn.close();
    await conn.output();
  });

  it.each([{ onBusySession: 'wait' }, { sendPolicy: 'now' }])('options of one run: %o', (options) => {
    const agent = testAgent({}, async () => ({ output: null }));
    expect(() => agent.open(options as never)).toThrow(expect.objectContaining({ kind: 'option' }));
  });
});
