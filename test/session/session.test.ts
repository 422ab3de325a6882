import { beforeEach, describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { AgentFlowError } from '../../src/errors.js';
import type { Session } from '../../src/session/session.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { openTestSession } from '../support/sessions.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { errorOf, Gate, quiet, stateOf } from '../support/waiting.js';

const Chat = z.object({ messages: z.array(z.string()).default([]), count: z.number().default(0) });
type Chat = z.infer<typeof Chat>;

let memory: MemorySessionStore;
let store: UnsteadyStore;

beforeEach(() => {
  memory = new MemorySessionStore();
  store = new UnsteadyStore(memory);
});

interface Nested {
  in?: Nested;
}

function nested(levels: number): Nested {
  let value: Nested = {};
  for (let level = 1; level < levels; level++) value = { in: value };
  return value;
}

async function open(schema: z.ZodTypeAny = Chat) {
  return (await openTestSession<Chat>({ schema, store })).session;
}

async function reload(schema: z.ZodTypeAny = Chat): Promise<unknown> {
  const other = await openTestSession({ schema, store: new UnsteadyStore(memory), policy: 'takeover' });
  return other.session.state;
}

describe('updateState', () => {
  it('takes the next state or a recipe, and resolves when the store has it', async () => {
    const session = await open();
    await session.updateState({ messages: ['a'], count: 1 });
    await session.updateState((draft) => {
      draft.messages.push('b');
    });
    await session.updateState((draft) => ({ ...draft, count: 3 }));
    expect(session.state).toEqual({ messages: ['a', 'b'], count: 3 });
    expect(session.version).toBe(4);
    expect(await reload()).toEqual(session.state);
  });

  it('is not seen before the store has it', async () => {
    const session = await open();
    const gate = new Gate();
    store.before = () => gate.opened;
    const update = session.updateState({ messages: ['a'], count: 1 });
    expect(await stateOf(update)).toBe('pending');
    expect(session.state.messages).toEqual([]);
    expect(session.version).toBe(1);
    gate.open();
    await update;
    expect(session.state.messages).toEqual(['a']);
  });

  it('writes nothing when nothing changes', async () => {
    const session = await open();
    const saves = store.count('save');
    await session.updateState({ messages: [], count: 0 });
    await session.updateState(() => {});
    expect(store.count('save')).toBe(saves);
    expect(session.version).toBe(1);
  });

  it('changes nothing when it is refused', async () => {
    const session = await open();
    await session.updateState({ messages: ['a'], count: 1 });
    const before = session.state;
    const bad = { messages: [1], count: 'x' } as unknown as Chat;
    expect(await errorOf(session.updateState(bad))).toMatchObject({ code: 'INVALID_VALUE', kind: 'state' });
    const throwing = session.updateState((draft) => {
      draft.messages.push('half done');
      throw new TypeError('no');
    });
    expect(await errorOf(throwing)).toBeInstanceOf(TypeError);
    store.before = () => {
      throw new AgentFlowError('STORE_FAILED', 'disk full');
    };
    expect(await errorOf(session.updateState({ messages: [], count: 9 }))).toMatchObject({ code: 'STORE_FAILED' });
    expect(session.state).toBe(before);
    expect(session.version).toBe(2);
    store.before = () => {};
    await session.updateState((draft) => {
      draft.count += 1;
    });
    expect(await reload()).toEqual({ messages: ['a'], count: 2 });
  });

  it.each([
    ['frozen', (of: unknown) => Object.freeze({ of })],
    ['without a prototype', (of: unknown) => Object.assign(Object.create(null), { of })],
  ])('takes what a recipe has wrapped around a part of the state: %s', async (_, wrap) => {
    type Kept = { item: { n: number }; kept: unknown[] };
    const init = { item: { n: 1 }, kept: [] };
    const { session } = await openTestSession<Kept>({ schema: z.any(), init, store });
    await session.updateState((draft) => {
      draft.kept.push(wrap(draft.item));
      draft.item.n = 2;
    });
    expect(session.state).toEqual({ item: { n: 2 }, kept: [{ of: { n: 2 } }] });
  });

  it('makes updates one after another, each recipe seeing the one before', async () => {
    const session = await open();
    const increment = (draft: Chat) => {
      draft.count += 1;
    };
    await Promise.all(Array.from({ length: 200 }, () => session.updateState(increment)));
    expect(session.state.count).toBe(200);
    expect(await reload()).toEqual(session.state);
  });

  it('goes on after one that was refused in the middle', async () => {
    const session = await open();
    const updates = [1, 'two', 3].map((count) =>
      session.updateState((draft) => {
        (draft as { count: unknown }).count = count;
      }),
    );
    expect((await Promise.allSettled(updates)).map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(session.state.count).toBe(3);
    expect(session.version).toBe(3);
  });

  it('may be called by a recipe, and is then made after it', async () => {
    const session = await open();
    let inner: Promise<void> | undefined;
    await session.updateState((draft) => {
      draft.count += 1;
      inner = session.updateState((next) => {
        next.count *= 10;
      });
    });
    await inner;
    await session.updateState((draft) => {
      draft.count += 1;
    });
    expect(session.state.count).toBe(11);
    expect(await reload()).toEqual(session.state);
  });

  it.each([
    [z.number().nullable(), 5],
    [z.string().nullable(), ''],
    [z.object({ a: z.number() }).nullable(), { a: 1 }],
    [z.array(z.number()).nullable(), [1]],
  ])('takes a recipe for a state of any kind, and null for what it is', async (schema, init) => {
    const { session } = await openTestSession<unknown>({ schema, init, store });
    await session.updateState(() => null);
    expect(session.state).toBe(null);
    await session.updateState(() => undefined);
    expect(session.state).toBe(null);
    await session.updateState(() => init);
    expect(session.state).toEqual(init);
  });

  it.each([
    ['an object', Chat, undefined],
    ['a number', z.number(), 5],
  ])('refuses a recipe that is async, and its rejection stays silent: of %s', async (_, schema, init) => {
    const { session } = await openTestSession<unknown>({ schema, init, store });
    const recipe = (async () => {
      throw new TypeError('too late');
    }) as unknown as () => void;
    expect(await errorOf(session.updateState(recipe))).toMatchObject({
      code: 'INVALID_VALUE',
      issues: [{ expected: 'a recipe that returns at once', received: 'a promise' }],
    });
    await quiet();
  });

  it('takes whatever can be waited for as an answer for a promise', async () => {
    const session = await open();
    await session.updateState({ messages: ['a'], count: 1 });
    // A schema of records would read it as one without members, and the state would be its defaults.
    // biome-ignore lint/suspicious/noThenProperty: as a query of a database has it.
    const query = { then: () => expect.fail('it was begun') };
    expect(await errorOf(session.updateState(() => query as never))).toMatchObject({
      code: 'INVALID_VALUE',
      issues: [{ received: 'a promise' }],
    });
    expect(session.state).toEqual({ messages: ['a'], count: 1 });
  });

  it('rejects, and does not throw, for a value that cannot be read, also while another one is being saved', async () => {
    const session = await open();
    const unreadable = {
      get messages(): string[] {
        throw new TypeError('not now');
      },
      count: 1,
    };
    const first = session.updateState({ messages: ['a'], count: 1 });
    const second = session.updateState(unreadable);
    await first;
    expect(await errorOf(second)).toMatchObject({ message: 'not now' });
    expect(await errorOf(session.updateState(unreadable))).toBeInstanceOf(Error);
    expect(session.state).toEqual({ messages: ['a'], count: 1 });
  });

  it('grows no deeper than what can be read back, in however many steps', async () => {
    const { session } = await openTestSession<Nested>({ schema: z.any(), init: {}, store });
    const deepen = (draft: Nested) => {
      let innermost = draft;
      while (innermost.in !== undefined) innermost = innermost.in;
      innermost.in = nested(400);
    };
    await session.updateState(deepen);
    await session.updateState(deepen);
    const issues = [{ received: 'more than 1000 levels' }];
    expect(await errorOf(session.updateState(deepen))).toMatchObject({ code: 'INVALID_VALUE', issues });
    expect(await reload(z.any())).toEqual(session.state);
  });

  it.each<[string, (session: Session<Nested>) => Promise<void>]>([
    ['given', (session) => session.updateState(nested(20_000))],
    ['put into a draft', (session) => session.updateState((draft) => void Object.assign(draft, nested(20_000)))],
    ['returned by a recipe', (session) => session.updateState(() => nested(20_000))],
    [
      'given behind another update',
      (session) => {
        void session.updateState({ in: {} });
        return session.updateState(nested(20_000));
      },
    ],
  ])('refuses what is nested too deeply for anybody, when it is %s', async (_, update) => {
    const { session } = await openTestSession<Nested>({ schema: z.any(), init: {}, store });
    const issues = [{ received: 'more than 1000 levels' }];
    expect(await errorOf(update(session))).toMatchObject({ code: 'INVALID_VALUE', issues });
  });

  it('may be ignored even when it fails', async () => {
    const session = await open();
    void session.updateState({ messages: [], count: 'no' } as unknown as Chat);
    void session.saveArtifact({ name: '', parts: [] });
    await quiet();
    expect(session.version).toBe(1);
  });
});

describe('aliasing', () => {
  it('saves every message of a caller who keeps pushing onto one and the same array', async () => {
    const session = await open();
    const messages: string[] = [];
    for (let turn = 1; turn <= 30; turn++) {
      messages.push(`question ${turn}`, `answer ${turn}`);
      await session.updateState({ messages, count: turn });
      expect(session.state.messages).toHaveLength(turn * 2);
      expect(await reloaded()).toEqual({ messages, count: turn });
    }
  });

  async function reloaded(): Promise<unknown> {
    const stored = await memory.load('a session');
    return openTestSession<Chat>({ schema: Chat, store: frozenCopy(stored) }).then(({ session }) => session.state);
  }

  function frozenCopy(stored: unknown) {
    const copy = new UnsteadyStore(new MemorySessionStore());
    copy.load = async () => structuredClone(stored) as never;
    return copy;
  }

  it('saves what the value was when updateState was called', async () => {
    const session = await open();
    const messages = ['a'];
    const updates = [session.updateState({ messages, count: 1 })];
    messages.push('b');
    updates.push(session.updateState({ messages, count: 2 }));
    messages.push('c');
    updates.push(session.updateState({ messages, count: 3 }));
    messages.length = 0;
    await Promise.all(updates);
    expect(session.state).toEqual({ messages: ['a', 'b', 'c'], count: 3 });
    expect((await memory.load('a session', { version: 3 }))?.version).toBe(3);
  });

  it('saves what the artifact was when saveArtifact was called', async () => {
    const session = await open();
    const part = { text: 'v1', data: { deep: [1] } };
    const saves = [
      session.saveArtifact({ name: 'a', parts: [part] }),
      session.saveArtifact({ name: 'b', parts: [part] }),
    ];
    part.text = 'changed';
    part.data.deep.push(2);
    await Promise.all(saves);
    for (const artifact of session.artifacts) expect(artifact.parts).toEqual([{ text: 'v1', data: { deep: [1] } }]);
  });

  it('hands out state and artifacts that cannot be changed, and that do not change', async () => {
    const session = await open();
    await session.updateState({ messages: ['a'], count: 1 });
    await session.saveArtifact({ name: 'a', parts: [{ text: 'x', data: { deep: [] } }] });
    const { state, artifacts } = session;
    expect(() => (state as Chat).messages.push('b')).toThrow(TypeError);
    expect(() => Object.assign(state, { count: 9 })).toThrow(TypeError);
    expect(() => (artifacts as unknown[]).push({})).toThrow(TypeError);
    expect(() => Object.assign(artifacts[0]?.parts[0] ?? {}, { text: 'y' })).toThrow(TypeError);
    expect(session.state).toBe(state);
    expect(session.artifacts).toBe(artifacts);
    await session.updateState((draft) => {
      draft.messages.push('b');
    });
    expect(state).toEqual({ messages: ['a'], count: 1 });
  });
});

describe('end', () => {
  it('waits for every update that was called before it, awaited or not', async () => {
    const session = await open();
    const gate = new Gate();
    store.before = () => gate.opened;
    for (let count = 1; count <= 3; count++) void session.updateState({ messages: [], count });
    const ended = session.end(new AgentFlowError('RUN_ENDED', 'over'));
    expect(await stateOf(ended)).toBe('pending');
    gate.open();
    await ended;
    expect(session.state.count).toBe(3);
    expect(await reload()).toEqual({ messages: [], count: 3 });
  });

  it('answers every later update with its reason', async () => {
    const session = await open();
    const reason = new AgentFlowError('RUN_ENDED', 'over');
    await session.end(reason);
    await session.end(new AgentFlowError('RUN_ABORTED', 'too late'));
    expect(await errorOf(session.updateState({ messages: ['late'], count: 1 }))).toBe(reason);
    expect(await errorOf(session.saveArtifact({ name: 'late', parts: [] }))).toBe(reason);
    void session.updateState({ messages: ['ignored'], count: 1 });
    await quiet();
    expect(await reload()).toEqual({ messages: [], count: 0 });
  });
});

describe('without a store', () => {
  it('remembers all the same', async () => {
    const { session } = await openTestSession<Chat>({ schema: Chat });
    await session.updateState({ messages: ['a'], count: 1 });
    await session.saveArtifact({ name: 'a', parts: [] });
    expect(session.version).toBe(3);
    expect(session.state.messages).toEqual(['a']);
    const input = { id: 'x', run: 'r', turn: 1, attempt: 1, done: false };
    expect(await session.accept(input)).toBe(input);
    await session.release();
  });
});
