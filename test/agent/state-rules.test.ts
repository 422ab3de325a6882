import { describe, expect, it, vi } from 'vitest';
import { z } from '../../schemas/zod.js';
import { stateRules } from '../../src/agent/state-rules.js';
import { AgentFlowError } from '../../src/errors.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { openTestSession } from '../support/sessions.js';
import { errorOf } from '../support/waiting.js';

function rules(schema: z.ZodTypeAny, rest: { initialState?: unknown; migrate?: (stored: unknown) => unknown } = {}) {
  return stateRules({ schema, initialState: undefined, migrate: undefined, ...rest });
}

const withDefault = z.object({ n: z.number() }).default({ n: 1 });
const plain = z.object({ n: z.number() });

describe('a stored state', () => {
  it('that fits is read as it is, and the schema is not asked to copy it', async () => {
    const schema = z.object({ list: z.array(z.object({ n: z.number() })), note: z.string().optional() });
    const asked = vi.spyOn(schema, 'safeParse');
    const stored = { list: [{ n: 1 }] };
    expect(await rules(schema).read(stored, 's')).toBe(stored);
    expect(asked).not.toHaveBeenCalled();
    expect(await rules(schema).read({ ...stored, old: true }, 's')).toEqual(stored);
    expect(asked).toHaveBeenCalledOnce();
  });
});

describe('the state of a new session', () => {
  it('is init, else the default of the schema, else initialState, else what the members default to', () => {
    const initialState = { n: 2 };
    expect(rules(withDefault, { initialState }).create({ n: 3 })).toEqual({ n: 3 });
    expect(rules(withDefault, { initialState }).create(undefined)).toEqual({ n: 1 });
    expect(rules(plain, { initialState }).create(undefined)).toEqual({ n: 2 });
    expect(rules(plain, { initialState: () => ({ n: 4 }) }).create(undefined)).toEqual({ n: 4 });
    const members = z.object({ n: z.number().default(5), more: z.array(z.string()).default([]) });
    expect(rules(members).create(undefined)).toEqual({ n: 5, more: [] });
    expect(rules(members, { initialState }).create(undefined)).toEqual({ n: 2, more: [] });
  });

  it('is refused with INVALID_ARGUMENT when nothing gives one', () => {
    expect(() => rules(plain).create(undefined)).toThrow(
      expect.objectContaining({ code: 'NO_INITIAL_STATE', status: 'INVALID_ARGUMENT' }),
    );
    expect(() => rules(z.string().optional()).create(undefined)).toThrow(
      expect.objectContaining({ code: 'NO_INITIAL_STATE' }),
    );
  });

  it('may be null or falsy', () => {
    for (const init of [null, 0, '', false]) expect(rules(z.unknown()).create(init)).toBe(init);
    expect(rules(z.number().default(0)).create(undefined)).toBe(0);
  });

  it('is checked, whoever gives it, and is nobody else’s', () => {
    for (const make of [
      () => rules(plain).create({ n: 'x' }),
      () => rules(plain, { initialState: { n: 'x' } }).create(undefined),
    ]) {
      expect(make).toThrow(
        expect.objectContaining({ kind: 'init', issues: [{ path: 'n', expected: 'number', received: 'string' }] }),
      );
    }
    const init = { list: [1] };
    const state = rules(z.record(z.unknown())).create(init) as { list: number[] };
    init.list.push(2);
    expect(state).toEqual({ list: [1] });
    expect(Object.isFrozen(state) && Object.isFrozen(state.list)).toBe(true);
  });
});

class Own {
  n = 1;
}

const cycle: Record<string, unknown> = { a: { b: {} } };
(cycle.a as Record<string, unknown>).b = cycle;

const notJson: readonly (readonly [name: string, value: unknown, path: string, received: string])[] = [
  ['a Date', { deep: [new Date(0)] }, 'at.deep.0', 'an instance of Date'],
  ['a Map', new Map(), 'at', 'an instance of Map'],
  ['a Set', new Set(), 'at', 'an instance of Set'],
  ['an instance of a class', new Own(), 'at', 'an instance of Own'],
  ['a typed array', new Uint8Array(2), 'at', 'an instance of Uint8Array'],
  ['NaN', { x: Number.NaN }, 'at.x', 'NaN'],
  ['infinity', -Infinity, 'at', '-Infinity'],
  ['a BigInt', [1n], 'at.0', 'bigint'],
  ['a function', () => {}, 'at', 'function'],
  ['a symbol', Symbol('s'), 'at', 'symbol'],
  ['a cycle', cycle, 'at.a.b', 'a cycle'],
  ['undefined in a list', [1, undefined], 'at.1', 'undefined'],
];

describe.each(notJson)('%s in the state', (_, value, path, received) => {
  const loose = z.record(z.unknown()).default({});
  const issue = { path, expected: 'a JSON value', received };

  it('is refused with its path, by init, by an update and by a recipe; the state stays', async () => {
    expect(await errorOf(openTestSession({ init: { at: value } }))).toMatchObject({
      code: 'INVALID_VALUE',
      kind: 'init',
      issues: [issue],
    });
    const { session } = await openTestSession({ schema: loose, init: { before: 1 } });
    const refused = { code: 'INVALID_VALUE', kind: 'state', issues: [issue] };
    expect(await errorOf(session.updateState({ at: value }))).toMatchObject(refused);
    const recipe = (draft: Record<string, unknown>) => {
      draft.at = value;
    };
    expect(await errorOf(session.updateState(recipe))).toMatchObject(refused);
    expect(session.state).toEqual({ before: 1 });
  });

  it('is refused with its index when it is appended to a list', async () => {
    const { session } = await openTestSession<{ 'a/b': unknown[] }>({ init: { 'a/b': ['first'] } });
    const appended = session.updateState((draft) => {
      draft['a/b'].push('second', value, 'fourth');
    });
    expect(await errorOf(appended)).toMatchObject({ issues: [{ ...issue, path: path.replace(/^at/, 'a/b.2') }] });
    expect(session.state).toEqual({ 'a/b': ['first'] });
  });
});

describe('a stored state', () => {
  const stored = async (state: unknown) => {
    const store = new MemorySessionStore();
    const { session } = await openTestSession({ schema: z.unknown(), init: state, store });
    await session.release();
    return store;
  };

  it('that does not fit is refused with FAILED_PRECONDITION and the path; nothing stays held', async () => {
    const store = await stored({ n: 'text', list: [{ a: null }] });
    const schema = z.object({ n: z.number(), list: z.array(z.object({ a: z.string() })) });
    const expected = {
      code: 'STORED_STATE_INVALID',
      status: 'FAILED_PRECONDITION',
      sessionId: 'a session',
      issues: [
        { path: 'n', expected: 'number', received: 'string' },
        { path: 'list.0.a', expected: 'string', received: 'null' },
      ],
    };
    expect(await errorOf(openTestSession({ schema, store }))).toMatchObject(expected);
    expect(await errorOf(openTestSession({ schema, store, policy: 'reject' }))).toMatchObject(expected);
  });

  it('is migrated where it does not fit, and written whole with the next update', async () => {
    const store = await stored({ text: 'a b' });
    const schema = z.object({ words: z.array(z.string()) });
    const migrate = async (old: unknown) => ({ words: (old as { text: string }).text.split(' ') });
    const { session } = await openTestSession<z.infer<typeof schema>>({ schema, store, migrate });
    expect(session.state).toEqual({ words: ['a', 'b'] });
    expect(session.version).toBe(1);
    await session.updateState((draft) => {
      draft.words.push('c');
    });
    await session.release();
    const again = await openTestSession({ schema, store, migrate: () => expect.fail('migrated twice') });
    expect(again.session.state).toEqual({ words: ['a', 'b', 'c'] });
    expect(again.session.version).toBe(2);
  });

  it('is refused when what it is migrated to does not fit, or is no JSON', async () => {
    const store = await stored({ old: true });
    const schema = z.object({ n: z.number(), at: z.unknown() });
    expect(await errorOf(openTestSession({ schema, store, migrate: () => ({ n: 'x' }) }))).toMatchObject({
      code: 'STORED_STATE_INVALID',
      issues: [{ path: 'n', received: 'string' }],
    });
    expect(await errorOf(openTestSession({ schema, store, migrate: () => ({ n: 1, at: new Date() }) }))).toMatchObject({
      code: 'STORED_STATE_INVALID',
      issues: [{ path: 'at', expected: 'a JSON value', received: 'an instance of Date' }],
    });
  });

  it('is refused when it cannot be migrated, told why, and stays', async () => {
    const store = await stored({ text: 'a' });
    const schema = z.object({ n: z.number() });
    const cause = new TypeError('no such member');
    const failing = { schema, store, migrate: () => Promise.reject(cause) };
    expect(await errorOf(openTestSession(failing))).toMatchObject({ code: 'STORED_STATE_INVALID', cause });
    const own = new AgentFlowError('MISSING_DEPENDENCY', 'the old reader');
    const throwing = () => {
      throw own;
    };
    expect(await errorOf(openTestSession({ ...failing, migrate: throwing }))).toBe(own);
    expect((await store.load('a session'))?.head).toBe(1);
  });

  it('that fits is not migrated, and gets the defaults of today', async () => {
    const store = await stored({ n: 1, gone: true });
    const schema = z.object({ n: z.number(), fresh: z.string().default('new') });
    const { session } = await openTestSession({ schema, store, migrate: () => expect.fail('nothing to migrate') });
    expect(session.state).toEqual({ n: 1, fresh: 'new' });
    await session.updateState({ n: 2, fresh: 'new' });
    await session.release();
    expect((await openTestSession({ schema: z.unknown(), store })).session.state).toEqual({ n: 2, fresh: 'new' });
  });
});

describe('an update', () => {
  it('names every place that is wrong, and never repeats what stood there', async () => {
    const schema = z.object({ list: z.array(z.object({ kind: z.enum(['a', 'b']) })), 'x/y': z.string().max(3) });
    const { session } = await openTestSession({ schema, init: { list: [], 'x/y': '' } });
    const secret = 'SECRET';
    const error = await errorOf(session.updateState({ list: [{ kind: secret }, { kind: 1 }], 'x/y': secret }));
    expect(error).toMatchObject({ issues: [{ path: 'list.0.kind' }, { path: 'list.1.kind' }, { path: 'x/y' }] });
    expect(JSON.stringify(error)).not.toContain(secret);
    expect((error as Error).message).not.toContain(secret);
  });

  it('checks only what changes', async () => {
    let checks = 0;
    const item = z.string().refine(() => ++checks);
    const schema = z.object({ list: z.array(item) });
    const init = { list: Array.from({ length: 1_000 }, String) };
    const { session } = await openTestSession<typeof init>({ schema, init });
    checks = 0;
    await session.updateState((draft) => {
      draft.list.push('new');
      draft.list[5] = 'changed';
    });
    await session.updateState({ list: [...session.state.list, 'last'] });
    expect(checks).toBe(3);
  });

  it.each(['strict', 'catchall'] as const)('checks only what changes of an object that is %s', async (kind) => {
    let checks = 0;
    const item = z.string().refine(() => ++checks);
    const plain = z.object({ list: z.array(item) });
    const schema: z.AnyZodObject = kind === 'strict' ? plain.strict() : plain.catchall(z.array(item));
    const init = { list: Array.from({ length: 1_000 }, String) };
    const { session } = await openTestSession<Record<string, string[]>>({ schema, init });
    checks = 0;
    await session.updateState((draft) => void draft.list?.push('new'));
    await session.updateState({ list: [...(session.state.list ?? []), 'last'] });
    expect(checks).toBe(2);
    const unknown = session.updateState((draft) => void Object.assign(draft, { other: ['new'] }));
    if (kind === 'catchall') {
      await unknown;
      await session.updateState((draft) => void delete draft.other);
    } else {
      const expected = "a value the schema accepts (Unrecognized key(s) in object: 'other')";
      expect(await errorOf(unknown)).toMatchObject({ issues: [{ path: '', expected, received: 'object' }] });
    }
    expect(checks).toBe(kind === 'catchall' ? 3 : 2);
    expect(Object.keys(session.state)).toEqual(['list']);
  });

  it('checks only what changes of a list that the handler keeps for itself and gives whole each time', async () => {
    let checks = 0;
    const schema = z.object({ list: z.array(z.object({ text: z.string() }).refine(() => ++checks)) });
    const { session } = await openTestSession<z.infer<typeof schema>>({ schema, init: { list: [] } });
    const list: { text: string }[] = [];
    for (let turn = 0; turn < 20; turn++) {
      list.push({ text: `asked ${turn}` });
      await session.updateState({ list });
    }
    expect(checks).toBe(20);
    Object.assign(list[7] ?? {}, { text: 'changed in place' });
    await session.updateState({ list });
    expect(checks).toBe(21);
    expect(session.state).toEqual({ list });
  });
});
