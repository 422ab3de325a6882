/** A handler may throw anything at all; what callers get is always one typed error. */
import { describe, expect, it } from 'vitest';
import type { AgentConfig, HandlerArgs } from '../../src/agent/agent.js';
import { AgentCore } from '../../src/agent/agent-core.js';
import { agentDefinition } from '../../src/agent/definition.js';
import type { Launch } from '../../src/agent/launch.js';
import { AgentFlowError, isAgentFlowError } from '../../src/errors.js';
import type { Sessions } from '../../src/session/sessions.js';
import type { RunFeed } from '../../src/session/store.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { launcher, testAgent } from '../support/agents.js';
import { type StoreCall, UnsteadyStore } from '../support/unsteady-store.js';
import { collect, collectToError, errorOf, quiet } from '../support/waiting.js';

type Args = HandlerArgs<Record<string, unknown>, unknown, unknown>;

const hostile = new Proxy(
  {},
  {
    get() {
      throw new TypeError('no reading');
    },
    has() {
      throw new TypeError('no asking');
    },
    getPrototypeOf() {
      throw new TypeError('no prototype');
    },
  },
);

const thrown: readonly (readonly [name: string, value: unknown, expected: object])[] = [
  ['null', null, { message: 'The handler threw null', cause: null }],
  ['undefined', undefined, { message: 'The handler threw undefined', cause: undefined }],
  ['a string', 'oops', { message: 'The handler threw "oops"', cause: 'oops' }],
  ['a number', 0, { message: 'The handler threw number', cause: 0 }],
  ['a symbol', Symbol.for('s'), { message: 'The handler threw symbol', cause: Symbol.for('s') }],
  ['a frozen error', Object.freeze(new TypeError('frozen')), { message: 'frozen', cause: new TypeError('frozen') }],
  [
    "one like Genkit's",
    Object.assign(new Error('no'), { status: 'PERMISSION_DENIED' }),
    { status: 'PERMISSION_DENIED' },
  ],
  ['a plain object with a status', { status: 'NOT_FOUND' }, { status: 'NOT_FOUND' }],
  ['a status nobody knows', { status: 'SOMETIMES' }, { status: 'INTERNAL' }],
  ['an error with a code of its own', Object.assign(new Error('x'), { code: 'ENOENT', status: 404 }), { message: 'x' }],
  [
    'an error whose code is a name all objects have',
    Object.assign(new Error('y'), { code: 'toString', status: 1 }),
    {},
  ],
  ['an error whose message is no text', Object.assign(new Error(), { message: 7 }), {}],
  ['a value that cannot be read', hostile, { message: 'The handler threw something that cannot be read' }],
  ['an error that cannot be read', Object.defineProperty(new Error(), 'status', { get: () => hostile }), {}],
];

describe.each(thrown)('a handler that throws %s', (_, value, expected) => {
  it.each([
    ['at once', () => Promise.reject(value)],
    [
      'without being async',
      () => {
        throw value;
      },
    ],
    ['in a turn', ({ turns }: Args) => turns(() => Promise.reject(value))],
  ])('%s fails with one typed error', async (_, work) => {
    const agent = testAgent({}, (async (args: Args) => {
      await args.responder.send('before');
      await work(args);
    }) as never);
    const conn = agent.open();
    void conn.send('go');
    conn.close();
    const { chunks, error } = await collectToError(conn.receive());
    expect(chunks).toEqual(['before']);
    expect(isAgentFlowError(error)).toBe(true);
    expect(error).toMatchObject({ code: 'HANDLER_FAILED', ...expected });
    expect(typeof (error as Error).message).toBe('string');
    expect(await errorOf(conn.output())).toBe(error);
    expect(await conn.done).toMatchObject({ finishReason: 'failed', error });
  });
});

describe('an error of this package', () => {
  it('passes through untouched, frozen or not', async () => {
    const own = Object.freeze(new AgentFlowError('STORE_FAILED', 'disk full', { details: { left: 0 } }));
    const conn = testAgent({}, () => Promise.reject(own)).open();
    expect(await errorOf(conn.output())).toBe(own);
    expect((await conn.done).error).toBe(own);
  });
});

describe('ignoring every promise', () => {
  it('is safe, however a run ends', async () => {
    const ends: ((args: Args) => Promise<{ output: unknown }>)[] = [
      () => Promise.reject(new TypeError('broke')),
      async ({ turns }) => {
        void turns(() => Promise.reject(new TypeError('a turn broke')));
        await quiet();
        throw new TypeError('broke later');
      },
      async ({ responder, session, inputStream }) => {
        void responder.endTurn();
        void session.updateState((() => 5) as never);
        void session.saveArtifact({} as never);
        void inputStream[Symbol.asyncIterator]().next();
        return { output: 1 };
      },
      () => new Promise(() => {}),
    ];
    for (const handler of ends) {
      const agent = testAgent({ store: new MemorySessionStore() }, handler as never);
      const conn = agent.open();
      void conn.send('a');
      void conn.send('b', { policy: 'reject' });
      void conn.send('b', { id: 'x' });
      void conn.send('b', { id: 'x' });
      void conn.output();
      void conn.receive().next();
      void conn.watch().next();
      await quiet();
      conn.abort();
      void conn.receive().next();
      void conn.output();
      await conn.done;
      await quiet();
    }
  });

  it('is safe in a handler that goes on after an abort', async () => {
    const agent = testAgent({}, async ({ signal, responder, session, turns }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      void responder.endTurn();
      void session.updateState(5 as never);
      void turns(() => {});
      return { output: null };
    });
    const conn = agent.open();
    await quiet();
    conn.abort();
    await quiet();
    expect(await conn.done).toMatchObject({ finishReason: 'aborted' });
  });
});

describe('a store that fails', () => {
  it.each(['acquire', 'load', 'save', 'accept'] as const)('at %s fails the run with its error', async (call) => {
    const store = new UnsteadyStore(new MemorySessionStore());
    const failure = new AgentFlowError('STORE_FAILED', 'gone', { cause: 'disk' });
    store.before = (made) => {
      if (made === call) throw failure;
      if (made === 'release') throw new AgentFlowError('STORE_FAILED', 'and this as well');
    };
    const agent = testAgent({ store }, async ({ inputStream }) => {
      for await (const _ of inputStream);
      return { output: null };
    });
    const conn = agent.open({ sessionId: 's' });
    void conn.send('a', { id: 'a' });
    conn.close();
    expect(await errorOf(conn.output())).toBe(failure);
    store.before = () => {};
    const again = agent.open({ sessionId: 's', onBusySession: 'takeover' });
    again.close();
    expect((await again.output()).finishReason).toBe('stop');
  });

  it('to give the session back does not fail a run that has its result', async () => {
    const store = new UnsteadyStore(new MemorySessionStore());
    store.before = (call) => {
      if (call === 'release') throw new AgentFlowError('STORE_FAILED', 'gone');
    };
    const conn = testAgent({ store }, async () => ({ output: 1 })).open();
    expect((await conn.output()).output).toBe(1);
  });
});

describe('a store of somebody else that throws errors of its own', () => {
  const vendorError = new TypeError('no route to host');
  const storeFailed = { code: 'STORE_FAILED', status: 'UNAVAILABLE', cause: vendorError };

  function failingAt(...calls: readonly StoreCall[]) {
    const store = new UnsteadyStore(new MemorySessionStore());
    const agent = testAgent({ store }, async ({ session, inputStream }) => {
      for await (const input of inputStream) await session.updateState({ input });
      return { output: null };
    });
    const fail = () => {
      store.before = (call) => {
        if (calls.includes(call)) throw vendorError;
      };
    };
    return { agent, fail };
  }

  it.each(['acquire', 'load', 'save', 'accept'] as const)('at %s fails the run with STORE_FAILED', async (call) => {
    const { agent, fail } = failingAt(call);
    fail();
    const conn = agent.open();
    const receipt = errorOf(conn.send('a', { id: 'a' }));
    conn.close();
    expect(await errorOf(conn.output())).toMatchObject(storeFailed);
    expect(await receipt).toMatchObject({ code: 'STORE_FAILED' });
  });

  it('while the session is open fails an update of its state with STORE_FAILED', async () => {
    const { agent, fail } = failingAt('save', 'load');
    const conn = agent.open();
    await conn.send('a');
    await quiet();
    fail();
    void conn.send('b');
    conn.close();
    expect(await errorOf(conn.output())).toMatchObject(storeFailed);
  });

  it.each<[StoreCall, string, (sessions: Sessions<unknown>) => Promise<unknown>]>([
    ['load', 'get', (sessions) => sessions.get('s')],
    ['load', 'get of a version', (sessions) => sessions.get('s', { version: 1 })],
    ['load', 'fork', (sessions) => sessions.fork('s')],
    ['acquire', 'fork', (sessions) => sessions.fork('s')],
    ['save', 'fork', (sessions) => sessions.fork('s')],
    ['list', 'list', (sessions) => sessions.list()],
    ['delete', 'delete', (sessions) => sessions.delete('s')],
  ])('at %s makes sessions.%s reject with STORE_FAILED', async (call, _, use) => {
    const { agent, fail } = failingAt(call);
    const conn = agent.open({ sessionId: 's' });
    conn.close();
    await conn.output();
    fail();
    expect(await errorOf(use(agent.sessions))).toMatchObject(storeFailed);
  });

  it('makes an attachment reject with STORE_FAILED', async () => {
    const broken = async (): Promise<never> => {
      throw vendorError;
    };
    const listenForAbort = () => () => {};
    const feed = { append: broken, read: broken, whenGrown: broken, requestAbort: broken, listenForAbort };
    const store = Object.assign(new MemorySessionStore(), { feed });
    const attachment = testAgent({ store }, async () => ({ output: 1 })).attach('s');
    expect(await errorOf(collect(attachment))).toMatchObject(storeFailed);
    expect(await errorOf(attachment.abort())).toMatchObject(storeFailed);
  });
});

describe('a feed that fails', () => {
  const silent = {
    append: async () => {},
    read: async () => undefined,
    whenGrown: async () => {},
    requestAbort: async () => false,
  };
  const deaf = (): never => {
    throw new TypeError('no ears');
  };
  const ends = async (listenForAbort: RunFeed['listenForAbort']) => {
    const store = Object.assign(new MemorySessionStore(), { feed: { ...silent, listenForAbort } });
    const agent = testAgent({ store }, async () => ({ output: 1 }));
    const open = () => agent.open({ sessionId: 's', onBusySession: 'reject' });
    return [await open().done, await open().done];
  };

  it('to let go of a run fails it not, and keeps nobody from its session', async () => {
    expect(await ends(() => deaf)).toMatchObject([{ finishReason: 'stop' }, { finishReason: 'stop' }]);
  });

  it('to take up a run fails it not either', async () => {
    expect(await ends(deaf)).toMatchObject([{ finishReason: 'stop' }, { finishReason: 'stop' }]);
  });
});

describe('what carries a run', () => {
  it.each<[string, Launch]>([
    [
      'throws',
      () => {
        throw new TypeError('no way');
      },
    ],
    ['refuses it', (run) => run.refuse(new TypeError('no way'))],
    ['refuses it later', (run) => void quiet().then(() => run.refuse(new TypeError('no way')))],
  ])('%s: the run fails, and the session is given back', async (_, launch) => {
    const store = new MemorySessionStore();
    const handler = async () => ({ output: null });
    const core = new AgentCore(agentDefinition({ name: 'carried', store } as AgentConfig), handler);
    const conn = core.open({ sessionId: 's' }, launch);
    expect(await conn.done).toMatchObject({ error: { code: 'HANDLER_FAILED', message: 'no way' } });
    expect(core.isRunning('s')).toBe(false);
    await quiet();
    const next = core.open({ sessionId: 's', onBusySession: 'reject' }, launcher());
    expect(await next.done).toMatchObject({ finishReason: 'stop' });
  });
});
