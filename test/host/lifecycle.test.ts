/** How agents begin, end and come back, and what those hear who are in the middle of something. */
import { describe, expect, it } from 'vitest';
import { createAgentHost, prompt } from '../../src/host/host.js';
import { Deferred } from '../../src/internal/deferred.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { Gate, harness, type Log, listener, logged, settled } from './harness.js';

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'ok',
    ({ code }) => code,
  );

describe('a host', () => {
  it.each([
    ['no options', null],
    ['a budget that is a number', { budget: 5 }],
    ['a negative budget', { budget: { maxTokens: -1 } }],
    ['a budget that is misspelt', { budget: { maxCostUSD: 1 } }],
    ['an observer that is none', { onEvent: 'me' }],
  ])('refuses %s', (_what, options) => {
    expect(() => createAgentHost(options as never)).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }));
  });

  it('refuses an observer that cannot be called', () => {
    expect(() => createAgentHost().observe(5 as never)).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }));
  });
});

describe('start', () => {
  it.each<[string, unknown, unknown]>([
    ['no behaviour', undefined, {}],
    ['null', null, {}],
    ['a behaviour without handleResponse', { init: () => ({ state: 0 }) }, {}],
    ['a behaviour without init', { handleResponse: () => {} }, {}],
    ['a callback that is none', { ...listener(), preTurn: 'later' }, {}],
    ['no name', listener(), { name: undefined }],
    ['a name that is none', listener(), { name: 5 }],
    ['no backend', listener(), { backend: undefined }],
    ['a backend without a prompt', listener(), { backend: { startSession() {}, terminateSession() {} } }],
    ['a backend without sessions', listener(), { backend: { prompt() {} } }],
    ['a budget that is none', listener(), { budget: { maxCostUsd: -1 } }],
    ['a budget that is a number', listener(), { budget: 5 }],
    ['a budget that is null', listener(), { budget: null }],
    ['a bound that is none', listener(), { maxPendingPrompts: 1.5 }],
    ['a policy that is none', listener(), { onLostTurn: 'maybe' }],
    ['limits that are none', listener(), { restartLimits: { maxRestarts: -1 } }],
    ['limits that are null', listener(), { restartLimits: null }],
  ])('refuses %s, and leaves nothing', async (_what, behaviour, options) => {
    const { host, backend } = harness();
    const start = host.start(behaviour as never, { name: 'a', backend, ...(options as object) } as never);
    await expect(start).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    expect([await host.list(), backend.started]).toEqual([[], []]);
  });

  it.each([
    ['budget.maxTokenz', { budget: { maxTokenz: 1 } }],
    ['restartLimits.max', { restartLimits: { max: 1 } }],
  ])('refuses by its name a bound that is misspelt: %s', async (path, options) => {
    const { start, host } = harness();
    await expect(start({}, options as object)).rejects.toMatchObject({
      code: 'INVALID_VALUE',
      issues: [{ path, received: 'no such option' }],
    });
    expect(await host.list()).toEqual([]);
  });

  it('refuses no options at all', async () => {
    const { host } = harness();
    const agent = { name: 'agent', streamBidi: () => expect.unreachable() };
    for (const options of [undefined, null]) {
      expect(await codeOf(host.start(listener(), options as never))).toBe('INVALID_VALUE');
      expect(await codeOf(host.start(agent, options as never))).toBe('INVALID_VALUE');
    }
  });

  it('of one name, several at once: exactly one wins', async () => {
    const { start, host, backend } = harness();
    const codes = await Promise.all([start(), start(), start()].map(codeOf));
    expect(codes.sort()).toEqual(['AGENT_EXISTS', 'AGENT_EXISTS', 'ok']);
    expect([await host.list(), backend.started.length]).toEqual([['a'], 1]);
  });

  it('gives every life of a name an address of its own', async () => {
    const { start, host } = harness();
    const first = await start();
    expect(await host.whereis('a')).toEqual({ name: 'a', id: first.id });
    await host.stop('a');
    expect((await start()).id).not.toBe(first.id);
  });
});

describe('stop', () => {
  it('twice is the same as once; of an unknown name it is an error', async () => {
    const { start, host } = harness();
    const ends: string[] = [];
    await start({ terminate: (reason) => void ends.push(reason) });
    expect(await Promise.all([host.stop('a'), host.stop('a')].map(codeOf))).toEqual(['ok', 'ok']);
    expect(ends).toEqual(['stopped']);
    expect(await codeOf(host.stop('a'))).toBe('AGENT_NOT_FOUND');
  });

  it('while it takes its time, answers everybody with the reason, and nobody waits for ever', async () => {
    const { start, host } = harness();
    const may = new Deferred<void>();
    await start({ terminate: () => may.promise }, {}, 'done', new Gate().turn);
    const kept = await host.tell('a', '1');
    await host.await('a', kept);
    const cut = await host.tell('a', '2');
    await settled();
    const stopped = host.stop('a');
    const refused = [
      host.ask('a', 'x'),
      host.tell('a', 'x'),
      host.notify('a', 1),
      host.await('a', cut),
      host.poll('a', cut),
    ];
    for (const call of [...refused, host.resetSession('a')])
      await expect(call).rejects.toMatchObject({ code: 'AGENT_TERMINATED', details: { reason: 'stopped' } });
    expect(await host.poll('a', kept)).toMatchObject({ status: 'completed' });
    expect(await codeOf(start())).toBe('AGENT_EXISTS');
    may.resolve();
    await stopped;
    expect(await codeOf(host.poll('a', kept))).toBe('AGENT_NOT_FOUND');
  });

  it('tells the completion of a request once, also when it was about to be tried again', async () => {
    const { start, host, clock } = harness();
    const own = {
      handleError: (_ref: string, _error: unknown, state: Log) => prompt('again', state),
      handleEvent: () => new Promise<never>(() => {}),
    };
    const gate = new Gate();
    await start(own, { shutdownMs: 10 }, [gate.isOpen, { type: 'result', isError: true }]);
    const completions: unknown[] = [];
    await host.tell('a', 'go', { onCompletion: ({ ref: _, ...outcome }) => completions.push(outcome) });
    await settled();
    await host.notify('a', 'hangs, when the next try is decided and the turn not over');
    gate.open();
    await settled();
    const stopped = host.stop('a');
    await settled();
    clock.advance(10);
    await stopped;
    expect(completions).toEqual([
      { agent: 'a', ok: false, error: expect.objectContaining({ code: 'AGENT_TERMINATED' }) },
    ]);
  });
});

describe('drain', () => {
  it('that takes longer than its caller waits goes on draining', async () => {
    const { start, host, clock } = harness();
    const gate = new Gate();
    await start({}, {}, gate.turn);
    const asked = host.ask('a', 'go');
    await settled();
    const drained = host.drain('a', { timeoutMs: 10 });
    clock.advance(10);
    expect(await codeOf(drained)).toBe('WAIT_TIMEOUT');
    expect(await host.snapshot('a')).toMatchObject({ draining: true, phase: 'processing' });
    expect(await codeOf(host.resetSession('a'))).toBe('AGENT_DRAINING');
    gate.open();
    await asked;
    await settled();
    expect(await host.list()).toEqual([]);
  });

  it('that is overtaken by a stop or a crash says so', async () => {
    for (const end of ['stop', 'kill'] as const) {
      const { start, host } = harness();
      await start({}, {}, new Gate().turn);
      void host.ask('a', 'go');
      await settled();
      const drained = host.drain('a');
      await host[end]('a');
      const reason = end === 'stop' ? 'stopped' : 'crashed';
      await expect(drained).rejects.toMatchObject({ code: 'AGENT_TERMINATED', details: { reason } });
    }
  });

  it('of an idle or halted agent ends it, refusing what waits; terminate hears why', async () => {
    const { start, host } = harness();
    const ends: string[] = [];
    const own = { terminate: (reason: string) => void ends.push(reason) };
    await start(own);
    await host.drain('a');
    await start(own);
    await host.halt('a');
    const frozen = host.ask('a', 'x');
    await Promise.all([host.drain('a'), host.drain('a')]);
    expect(await codeOf(frozen)).toBe('AGENT_DRAINING');
    expect(ends).toEqual(['drained', 'drained']);
    expect(await host.list()).toEqual([]);
  });

  it('tells a failed attempt instead of trying it again', async () => {
    const { start, host } = harness();
    await start({ handleError: (_ref, _error, state) => prompt('again', state) }, {}, new Gate().turn);
    const asked = host.ask('a', 'go');
    await settled();
    const drained = host.drain('a');
    await host.interrupt('a');
    expect(await codeOf(asked)).toBe('TURN_INTERRUPTED');
    await drained;
  });
});

describe('close', () => {
  it('twice is the same as once, and a closed host has no agents', async () => {
    const { start, host, told } = harness();
    await start();
    await Promise.all([host.close(), host.close()]);
    await host.close();
    expect(told('terminated')).toMatchObject([{ reason: 'closed' }]);
    expect([await host.list(), await codeOf(host.ask('a', 'x')), await codeOf(start())]).toEqual([
      [],
      'AGENT_NOT_FOUND',
      'HOST_CLOSED',
    ]);
  });

  it('ends at once what takes longer than its time', async () => {
    const { start, host, clock, backend } = harness();
    await start({}, {}, new Gate().turn);
    const asked = host.ask('a', 'go');
    await settled();
    const closed = host.close({ timeoutMs: 20 });
    await settled();
    expect(backend.active).toBe(1);
    clock.advance(20);
    await closed;
    await expect(asked).rejects.toMatchObject({ code: 'AGENT_TERMINATED', details: { reason: 'closed' } });
    expect(backend.active).toBe(0);
    for (const options of [{ timeoutMs: -1 }, null])
      expect(await codeOf(createAgentHost().close(options as never))).toBe('INVALID_VALUE');
  });

  it('is what `await using` does', async () => {
    const { start, host } = harness();
    {
      await using own = host;
      void own;
      await start();
    }
    expect(await host.list()).toEqual([]);
  });
});

describe('resetSession', () => {
  it('that fails leaves the session that was', async () => {
    const { start, host, backend } = harness();
    let fails = false;
    const fragile = {
      ...backend,
      startSession: () => (fails ? Promise.reject(new TypeError('down')) : backend.startSession()),
    };
    await start({}, { backend: fragile }, 'one', 'two');
    await host.ask('a', '1');
    fails = true;
    await expect(host.resetSession('a')).rejects.toMatchObject({ code: 'BACKEND_START_FAILED' });
    await host.ask('a', '2');
    expect(new Set(backend.prompts.map(({ sessionId }) => sessionId)).size).toBe(1);
  });

  it('takes prompts meanwhile, works on a halted agent, and survives a backend that cannot end a session', async () => {
    const { start, host, backend } = harness();
    const stubborn = { ...backend, terminateSession: () => Promise.reject(new TypeError('no')) };
    await start({}, { backend: stubborn }, 'after');
    await host.halt('a');
    const reset = host.resetSession('a');
    const asked = host.ask('a', 'go');
    await reset;
    await host.resume('a');
    expect((await asked).text).toBe('after');
    expect(backend.prompts[0]?.sessionId).toBe(backend.started[1]?.id);
  });

  it('of an agent that is stopped meanwhile ends both sessions', async () => {
    const { start, host, backend } = harness();
    const may = new Deferred<void>();
    let isFirst = true;
    const slow = {
      ...backend,
      async startSession() {
        if (!isFirst) await may.promise;
        isFirst = false;
        return backend.startSession();
      },
    };
    await start({}, { backend: slow });
    const reset = host.resetSession('a');
    await settled();
    await host.stop('a');
    may.resolve();
    await expect(reset).rejects.toMatchObject({ code: 'AGENT_TERMINATED' });
    expect(backend.terminated).toEqual(backend.started);
    expect(backend.started).toHaveLength(2);
  });
});

describe('an agent that comes back', () => {
  const often = { restart: 'on-crash', restartLimits: { maxRestarts: 5, backoffMs: 10 } } as const;

  it('can be stopped while it waits to, and while it begins', async () => {
    const { start, host, clock, backend } = harness({ store: new MemorySessionStore() });
    await start({}, often);
    await host.kill('a');
    await settled();
    expect(await codeOf(host.status('a'))).toBe('AGENT_RESTARTING');
    expect(await codeOf(start())).toBe('AGENT_EXISTS');
    await host.stop('a');
    clock.advance(10);
    await settled();
    expect([await host.list(), await host.kept()]).toEqual([[], []]);

    const may = new Deferred<void>();
    let isFirst = true;
    const slow = {
      ...backend,
      async startSession() {
        if (!isFirst) await may.promise;
        isFirst = false;
        return backend.startSession();
      },
    };
    await start({}, { ...often, backend: slow });
    await host.kill('a');
    await settled();
    clock.advance(10);
    await settled();
    await host.stop('a');
    may.resolve();
    await settled();
    expect(await host.list()).toEqual([]);
    expect(await codeOf(start())).toBe('ok');
  });

  it('dies again when it cannot begin, and stays dead at its limit; its deaths are forgotten with time', async () => {
    const { start, host, clock, backend, told } = harness({ store: new MemorySessionStore() });
    let fails = false;
    const fragile = {
      ...backend,
      startSession: () => (fails ? Promise.reject(new TypeError('down')) : backend.startSession()),
    };
    const limits = { maxRestarts: 2, backoffMs: 10, maxBackoffMs: 15, withinMs: 1_000 };
    await start({}, { backend: fragile, restart: 'on-crash', restartLimits: limits });
    await host.kill('a');
    await settled();
    clock.advance(10);
    await settled();
    expect(await host.list()).toEqual(['a']);
    clock.advance(1_000);
    fails = true;
    await host.kill('a');
    for (const ms of [10, 15, 1_000]) {
      await settled();
      clock.advance(ms);
    }
    await settled();
    expect(told('restarting').map(({ attempt, delayMs }) => [attempt, delayMs])).toEqual([
      [1, 10],
      [1, 10],
      [2, 15],
    ]);
    expect(told('terminated').at(-1)).toMatchObject({ reason: 'crashed', code: 'BACKEND_START_FAILED' });
    expect(await codeOf(host.status('a'))).toBe('AGENT_NOT_FOUND');
  });

  it('is waited for by the same refs: who waited when it died is told, who asks again has the answer', async () => {
    const { start, host, clock } = harness({ store: new MemorySessionStore() });
    const completions: unknown[] = [];
    await start({}, often, new Gate().turn, 'second try', 'queued');
    const ref = await host.tell('a', 'go', { onCompletion: ({ ok }) => completions.push(ok) });
    const queued = await host.tell('a', 'next');
    const waiting = host.await('a', ref);
    await settled();
    await host.kill('a');
    expect(await codeOf(waiting)).toBe('AGENT_TERMINATED');
    expect(await codeOf(host.await('a', ref))).toBe('AGENT_RESTARTING');
    await settled();
    clock.advance(10);
    await settled();
    expect((await host.await('a', ref)).text).toBe('second try');
    expect((await host.await('a', queued)).text).toBe('queued');
    expect(completions).toEqual([false]);
  });

  it('comes back after a failing preRun, which is tried again', async () => {
    const { start, host, clock } = harness({ store: new MemorySessionStore() });
    let tries = 0;
    await start(
      { preRun: (state) => (++tries < 3 ? Promise.reject(new TypeError('not yet')) : logged(state, 'ready')) },
      often,
      'hi',
    );
    for (const ms of [10, 20]) {
      await settled();
      clock.advance(ms);
    }
    await settled();
    expect((await host.status('a')).agentState).toEqual({ log: ['ready'] });
    expect(tries).toBe(3);
  });

  it('does not with restart: never; what is remembered of it stays, until it is started again or forgotten', async () => {
    const { start, host } = harness({ store: new MemorySessionStore() });
    await start({}, {}, 'one');
    await host.ask('a', '1');
    await host.kill('a');
    expect(await host.kept()).toMatchObject([{ name: 'a', behaviour: 'listener' }]);
    expect(await start()).toMatchObject({ resumed: true });
    expect(await codeOf(host.forget('a'))).toBe('AGENT_EXISTS');
    await host.kill('a');
    await host.forget('a');
    expect(await codeOf(host.forget('a'))).toBe('AGENT_NOT_FOUND');
    expect(await start()).toMatchObject({ resumed: false });
    expect(await codeOf(createAgentHost().forget('a'))).toBe('NO_STORE');
  });

  it('whose preRun failed at its first start was never there', async () => {
    const { start, host } = harness({ store: new MemorySessionStore() });
    await start({ preRun: () => Promise.reject(new TypeError('no')) });
    await settled();
    expect(await host.kept()).toEqual([]);
    expect(await start()).toMatchObject({ resumed: false });
  });
});
