/** Callbacks that throw, hang or answer nonsense, wherever they stand; and who they are while they run. */
import { describe, expect, it } from 'vitest';
import { type Behaviour, halt, noreply, proceed, prompt } from '../../src/host/host.js';
import { Deferred } from '../../src/internal/deferred.js';
import { Gate, harness, having, type Log, logged, settled } from './harness.js';

type Own = Partial<Behaviour<Log, unknown, unknown>>;

const refuses = { refuses: new TypeError('down') } as const;
const boom = (): never => {
  throw new TypeError('boom');
};
const never = () => new Promise<never>(() => {});

describe('a callback that hangs', () => {
  it.each<[string, Own, (h: ReturnType<typeof harness>) => unknown]>([
    ['preRun', { preRun: never }, () => undefined],
    ['preTurn', { preTurn: never }, ({ host }) => host.tell('a', 'go')],
    ['handleStreamEvent', { handleStreamEvent: never }, ({ host }) => host.tell('a', 'go')],
    ['handleResponse', { handleResponse: never }, ({ host }) => host.tell('a', 'go')],
    ['handleError', { handleError: never }, ({ host }) => host.tell('a', 'fail')],
    ['postTurn', { postTurn: never }, ({ host }) => host.tell('a', 'go')],
    ['handleEvent', { handleEvent: never }, ({ host }) => host.notify('a', 'go')],
    ['postRun', { postRun: never }, ({ host }) => host.halt('a')],
  ])('%s holds up nobody but its agent, which can be stopped', async (_name, own, hang) => {
    const h = harness();
    const { host, clock } = h;
    await h.start(own, {}, (asked) => (asked.text === 'fail' ? [] : 'hi'));
    await hang(h);
    await settled();
    const ref = await host.tell('a', 'waits');
    expect(await host.poll('a', ref)).toEqual({ status: 'pending' });
    expect((await host.status('a')).queued).toBe(1);
    expect((await host.snapshot('a')).pendingPrompts).toBe(1);
    await host.notify('a', 'news');
    const waiting = host.await('a', ref);
    const stopped = host.stop('a');
    await expect(waiting).rejects.toMatchObject({ code: 'AGENT_TERMINATED', details: { reason: 'stopped' } });
    await settled();
    // Its callback gets `shutdownMs` to come to an end.
    await expect(host.start(undefined as never, { name: 'a' } as never)).rejects.toBeDefined();
    clock.advance(5_000);
    await stopped;
    expect(await host.list()).toEqual([]);
  });

  it('init holds up nobody but its own name', async () => {
    const { start, host, clock } = harness();
    void start({ init: never }, { name: 'slow' });
    await start({}, {}, 'hi');
    await expect(start({}, { name: 'slow' })).rejects.toMatchObject({ code: 'AGENT_EXISTS' });
    expect(await host.list()).toEqual(['a']);
    expect(await host.whereis('slow')).toBeUndefined();
    await expect(host.status('slow')).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' });
    expect((await host.ask('a', 'go')).text).toBe('hi');
    const closed = host.close();
    clock.advance(5_000);
    await closed;
  });

  it('terminate holds up stop no longer than shutdownMs', async () => {
    const { start, host, clock, backend } = harness();
    await start({ terminate: never }, { shutdownMs: 70 });
    const stopped = host.stop('a');
    await settled();
    await expect(start()).rejects.toMatchObject({ code: 'AGENT_EXISTS' });
    clock.advance(70);
    await stopped;
    expect(backend.terminated).toHaveLength(1);
    await expect(start()).resolves.toMatchObject({ name: 'a' });
  });
});

describe('a callback that throws, at once or later', () => {
  it.each<[string, Own, string]>([
    ['init', { init: boom }, 'AGENT_INIT_FAILED'],
    ['an init without a state', { init: () => ({}) as never }, 'AGENT_INIT_FAILED'],
    ['an init that answers nothing', { init: () => undefined as never }, 'AGENT_INIT_FAILED'],
  ])('%s refuses the start, and leaves the name free', async (_what, own, code) => {
    const { start, backend } = harness();
    await expect(start(own)).rejects.toMatchObject({ code });
    expect(backend.started).toEqual([]);
    await expect(start()).resolves.toMatchObject({ name: 'a' });
  });

  it.each<[string, Own, string]>([
    ['handleResponse', { handleResponse: boom }, 'CALLBACK_FAILED'],
    ['handleResponse', { handleResponse: () => noreply as never }, 'CALLBACK_FAILED'],
    ['handleResponse', { handleResponse: () => undefined as never }, 'CALLBACK_FAILED'],
    [
      'handleResponse',
      { handleResponse: (_r, _x, s) => ({ decision: 'prompt', state: s }) as never },
      'CALLBACK_FAILED',
    ],
    ['handleResponse', { handleResponse: () => ({ decision: 'noreply' }) as never }, 'CALLBACK_FAILED'],
    ['handleStreamEvent', { handleStreamEvent: boom }, 'CALLBACK_FAILED'],
    ['handleStreamEvent', { handleStreamEvent: () => undefined as never }, 'CALLBACK_FAILED'],
    ['preTurn', { preTurn: boom }, 'TURN_SKIPPED'],
    ['preTurn', { preTurn: (_text, state) => noreply(state) as never }, 'CALLBACK_FAILED'],
    ['preTurn', { preTurn: (_text, state) => proceed(5 as never, state) }, 'CALLBACK_FAILED'],
  ])('%s fails its turn with a typed error, the state stays, and the agent lives', async (callback, own, code) => {
    const { start, host, told, log } = harness();
    const once = { ...own };
    await start(once, {}, 'one', 'two');
    await expect(host.ask('a', '1')).rejects.toMatchObject({ code });
    expect(told('callback.failed')).toMatchObject([{ callback }]);
    expect((await log()).filter((line) => !line.startsWith('error'))).toEqual([]);
    expect(await host.status('a')).toMatchObject({ state: 'idle', halted: false, queued: 0 });
  });

  it.each<[string, Own]>([
    ['postTurn', { postTurn: boom }],
    ['postTurn', { postTurn: () => undefined as never }],
    ['handleEvent', { handleEvent: boom }],
    ['handleEvent', { handleEvent: () => 'what?' as never }],
    ['postRun', { postRun: boom }],
    ['terminate', { terminate: boom }],
  ])('%s changes nothing', async (callback, own) => {
    const { start, host, told, log } = harness();
    await start(own, {}, 'one', 'two');
    await host.notifyAck('a', 'x');
    await host.ask('a', '1');
    await host.halt('a');
    await settled();
    await host.resume('a');
    await host.ask('a', '2');
    expect((await log()).filter((line) => line.startsWith('response'))).toEqual(['response one', 'response two']);
    await host.stop('a');
    expect(new Set(told('callback.failed').map((failure) => failure.callback))).toEqual(new Set([callback]));
  });

  it('a handleError that throws or answers nonsense counts as noreply, and the caller has the first error', async () => {
    for (const handleError of [boom, () => 'again' as never, () => undefined as never]) {
      const { start, host } = harness();
      await start({ handleError }, {}, refuses, 'fine');
      await expect(host.ask('a', '1')).rejects.toMatchObject({ code: 'BACKEND_FAILED', message: 'down' });
      expect((await host.ask('a', '2')).text).toBe('fine');
    }
  });

  it('after a throwing handleResponse come handleError and postTurn, with the same error', async () => {
    const { start, host } = harness();
    const seen: string[] = [];
    await start(
      {
        handleResponse: boom,
        handleError: (_ref, { code }, state) => having(seen.push(`error ${code}`), noreply(state)),
        postTurn: (outcome, _ref, state) => having(seen.push(`post ${outcome.ok ? 'ok' : outcome.error.code}`), state),
      },
      {},
      'one',
    );
    await host.ask('a', '1').catch(() => {});
    expect(seen).toEqual(['error CALLBACK_FAILED', 'post CALLBACK_FAILED']);
  });
});

describe('decisions', () => {
  it('handleError may halt: the caller has its error, what waits is frozen, postRun runs', async () => {
    const { start, host } = harness();
    const ran: string[] = [];
    await start(
      { handleError: (_ref, _error, state) => halt(state), postRun: () => void ran.push('postRun') },
      {},
      refuses,
    );
    const first = host.ask('a', '1');
    const second = await host.tell('a', '2');
    await expect(first).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    await settled();
    expect(ran).toEqual(['postRun']);
    expect(await host.status('a')).toMatchObject({ state: 'idle', halted: true, queued: 1 });
    expect(await host.poll('a', second)).toEqual({ status: 'pending' });
  });

  it('a failed self-chain has no caller: a prompt of handleError is one more chain, with a ref of its own', async () => {
    const { start, host, told } = harness();
    await start(
      {
        handleResponse: (_ref, { text }, state) => (text === 'one' ? prompt('chain', state) : noreply(state)),
        handleError: (_ref, _error, state) => prompt('again', state),
      },
      {},
      'one',
      refuses,
      'done',
    );
    await host.ask('a', '1');
    await settled();
    const turns = told('turn.start').map(({ ref, origin, attempt }) => ({ ref, origin, attempt }));
    expect(turns.map(({ origin, attempt }) => [origin, attempt])).toEqual([
      ['ask', 1],
      ['self_chain', 1],
      ['self_chain', 1],
    ]);
    expect(new Set(turns.map(({ ref }) => ref)).size).toBe(3);
  });

  it('a chain waits out a halt, and goes before the mailbox on resume; prompts of events go behind it', async () => {
    const { start, host, backend } = harness();
    const gate = new Gate('one');
    await start(
      {
        handleResponse: (_ref, { text }, state) => (text === 'one' ? prompt('chain', state) : noreply(state)),
        handleEvent: (event, state) => (event === 'halt' ? halt(state) : prompt(String(event), state)),
      },
      {},
      gate.turn,
      'chained',
      'queued',
      'evented',
    );
    const first = host.ask('a', '1');
    await settled();
    const second = host.ask('a', 'queued');
    await host.notify('a', 'event');
    await host.notify('a', 'halt');
    gate.open();
    await first;
    await settled();
    expect(await host.snapshot('a')).toMatchObject({ halted: true, selfChainPending: true, pendingPrompts: 2 });
    expect((await host.status('a')).queued).toBe(2);
    await host.resume('a');
    await second;
    await settled();
    expect(backend.prompts.map(({ text }) => text)).toEqual(['1', 'chain', 'queued', 'event']);
  });

  it('a resume during the callbacks of a turn that halts follows the halt', async () => {
    const { start, host, types } = harness();
    const may = new Deferred<void>();
    const ran: string[] = [];
    await start(
      {
        handleResponse: (_ref, _response, state) => halt(state),
        postTurn: async (_outcome, _ref, state) => having(await may.promise, state),
        postRun: () => void ran.push('postRun'),
      },
      {},
      'one',
      'two',
    );
    const first = host.ask('a', '1');
    await settled();
    await host.resume('a');
    may.resolve();
    await first;
    await settled();
    expect(ran).toEqual(['postRun']);
    expect(types().filter((type) => type === 'halted' || type === 'resumed')).toEqual(['halted', 'resumed']);
    expect((await host.status('a')).halted).toBe(false);
  });

  it('a resume while an idle agent still halts follows the halt, and refuses nobody who comes after it', async () => {
    const { start, host, types } = harness();
    const may = new Deferred<void>();
    await start({ postRun: () => may.promise }, {}, 'one');
    await host.halt('a');
    await settled();
    expect((await host.status('a')).halted).toBe(true);
    await host.resume('a');
    const answer = host.ask('a', '1', { onHalt: 'fail' });
    await settled();
    expect(types().filter((type) => type === 'halted' || type === 'resumed')).toEqual([]);
    may.resolve();
    expect((await answer).text).toBe('one');
    expect(types().filter((type) => type === 'halted' || type === 'resumed')).toEqual(['halted', 'resumed']);
  });

  it('a halt that comes when the callbacks are through, while the answer is stored, is not lost', async () => {
    const { start, host } = harness();
    await start(
      {
        postTurn: (_outcome, _ref, state) =>
          having(
            queueMicrotask(() => void host.halt('a')),
            state,
          ),
      },
      {},
      'one',
    );
    await host.ask('a', '1');
    await settled();
    expect((await host.status('a')).halted).toBe(true);
  });

  it('events without handleEvent are dropped, and an agent without optional callbacks does its work', async () => {
    const { host, backend } = harness();
    backend.script('one', refuses);
    await host.start(
      { init: () => ({ state: 0 }), handleResponse: (_ref, _response, state: number) => noreply(state + 1) },
      { name: 'plain', backend },
    );
    expect(await host.notifyAck('plain', 'x')).toBe('handled');
    await host.ask('plain', '1');
    await expect(host.ask('plain', '2')).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    expect((await host.status('plain')).agentState).toBe(1);
  });

  it('notifications are heard before the answer, each with the state of the one before, also when a turn is tried again', async () => {
    const { start, host, log } = harness();
    const gate = new Gate('second');
    await start(
      { handleError: (_ref, _error, state) => prompt('again', logged(state, 'failed')) },
      {},
      refuses,
      gate.turn,
    );
    const asked = host.ask('a', 'go');
    await settled();
    await host.notify('a', 1);
    await host.notify('a', 2);
    gate.open();
    await asked;
    expect(await log()).toEqual(['failed', 'response second', 'event 1', 'event 2']);
  });
});

describe('currentName', () => {
  it('is the agent in every callback and in its turn, across awaits, and nobody before and after', async () => {
    const { start, host } = harness();
    const names: [string, string | undefined][] = [];
    const note = async (where: string) => {
      await new Promise((resolve) => setImmediate(resolve));
      names.push([where, host.currentName()]);
    };
    const late = new Deferred<string | undefined>();
    await start(
      {
        init: async () => having(await note('init'), { state: { log: [] } }),
        preRun: async (state) => having(await note('preRun'), state),
        preTurn: async (text, state) => having(await note('preTurn'), proceed(text, state)),
        handleStreamEvent: async (_event, state) => having(await note('handleStreamEvent'), state),
        handleResponse: async (_ref, _response, state) => having(await note('handleResponse'), halt(state)),
        handleError: async (_ref, _error, state) => having(await note('handleError'), noreply(state)),
        handleEvent: async (_event, state) => having(await note('handleEvent'), noreply(state)),
        postTurn: async (_outcome, _ref, state) => having(await note('postTurn'), state),
        postRun: () => note('postRun'),
        terminate: async () => {
          await note('terminate');
          setImmediate(() => setImmediate(() => late.resolve(host.currentName())));
        },
      },
      {},
      refuses,
      async () => having(await note('turn'), [{ type: 'result' }]),
    );
    await host.ask('a', '1').catch(() => {});
    await host.ask('a', '2');
    await host.notifyAck('a', 'x');
    await host.stop('a');
    expect(names.map(([where]) => where)).toEqual([
      ...['init', 'preRun', 'preTurn', 'handleError', 'postTurn', 'preTurn', 'turn', 'handleStreamEvent'],
      ...['handleResponse', 'postTurn', 'postRun', 'handleEvent', 'terminate'],
    ]);
    expect(new Set(names.map(([, name]) => name))).toEqual(new Set(['a']));
    expect(await late.promise).toBeUndefined();
  });

  it('is each agent its own when they call each other', async () => {
    const { start, host, backend } = harness();
    const names: unknown[] = [];
    const note = (state: Log) => having(names.push(host.currentName()), noreply(state));
    await start(
      { handleEvent: (_event, state) => note(state), handleResponse: (_ref, _response, state) => note(state) },
      { name: 'b' },
      'b',
    );
    await start({
      handleEvent: async (_event, state) => {
        await host.ask('b', 'x');
        await host.notifyAck('b', 'x');
        return note(state);
      },
    });
    await host.notifyAck('a', 'go');
    expect(names).toEqual(['b', 'b', 'a']);
    expect(backend.prompts).toHaveLength(1);
  });
});
