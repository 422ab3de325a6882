/** What callers may do to an agent, and what they hear of it: bad arguments, bad moments, giving up. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { noreply, type PollResult, proceed, prompt, skip } from '../../src/host/host.js';
import { Deferred } from '../../src/internal/deferred.js';
import { Gate, harness, having, listener, logged, settled } from './harness.js';

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => void process.on('unhandledRejection', note));
afterEach(() => {
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'ok',
    ({ code }) => code,
  );

describe('bad arguments', () => {
  it.each([
    ['no prompt', undefined, {}],
    ['null', null, {}],
    ['a number', 1, {}],
    ['a part that is none', [null], {}],
    ['text among parts', ['text'], {}],
    ['options that are none', 'go', null],
    ['a time that is none', 'go', { timeoutMs: Number.NaN }],
    ['a negative time', 'go', { timeoutMs: -1 }],
    ['a time as text', 'go', { timeoutMs: '5' }],
    ['a signal that is none', 'go', { signal: {} }],
    ['a policy that is none', 'go', { onHalt: 'wait' }],
    ['a listener that is none', 'go', { onEvent: 1 }],
    ['a completion that is none', 'go', { onCompletion: 'me' }],
  ])('ask refuses %s, and nothing is taken', async (_what, text, options) => {
    const { start, host, backend, told } = harness();
    await start({}, {}, 'fine');
    await expect(host.ask('a', text as string, options as never)).rejects.toMatchObject({
      code: 'INVALID_VALUE',
      status: 'INVALID_ARGUMENT',
    });
    await settled();
    expect([backend.prompts.length, (await host.status('a')).queued]).toEqual([0, 0]);
    expect(told('input.rejected')).toMatchObject([{ input: 'ask', code: 'INVALID_VALUE' }]);
    expect((await host.ask('a', 'go')).text).toBe('fine');
  });

  it('tell, await and drain refuse the same', async () => {
    const { start, host } = harness();
    await start();
    expect(await codeOf(host.tell('a', 1 as never))).toBe('INVALID_VALUE');
    expect(await codeOf(host.tell('a', 'x', { onHalt: 'no' as never }))).toBe('INVALID_VALUE');
    expect(await codeOf(host.tell('a', 'x', null as never))).toBe('INVALID_VALUE');
    expect(await codeOf(host.await('a', 'r', { timeoutMs: -1 }))).toBe('INVALID_VALUE');
    expect(await codeOf(host.await('a', 'r', null as never))).toBe('INVALID_VALUE');
    expect(await codeOf(host.drain('a', { timeoutMs: Number.NaN }))).toBe('INVALID_VALUE');
    expect(await host.list()).toEqual(['a']);
  });

  it('an empty text and a list of parts are prompts like any other', async () => {
    const { start, host, backend } = harness();
    await start({}, {}, 'one', 'two');
    expect((await host.ask('a', '')).text).toBe('one');
    expect((await host.ask('a', [{ text: 'x' }, { text: 'y' }])).text).toBe('two');
    expect(backend.prompts.map(({ text }) => text)).toEqual(['', 'xy']);
  });

  it.each(['__proto__', 'constructor', '../../etc', 'nul\0', ' ', '名前', 'x'.repeat(10_000)])(
    'any string but the empty one is a name (%#)',
    async (name) => {
      const { start, host } = harness();
      await start({}, { name }, 'hi');
      expect((await host.ask(name, 'go')).text).toBe('hi');
      expect(await host.list()).toEqual([name]);
      await host.stop(name);
      expect(await codeOf(host.status(name))).toBe('AGENT_NOT_FOUND');
    },
  );
});

describe('refs', () => {
  it('belong to one agent: another does not know them', async () => {
    const { start, host } = harness();
    await start({}, {}, 'hi');
    await start({}, { name: 'b' });
    const ref = await host.tell('a', 'go');
    await settled();
    for (const call of [host.poll('b', ref), host.await('b', ref), host.cancel('b', ref)])
      expect(await codeOf(call)).toBe('REF_NOT_FOUND');
    expect(await codeOf(host.interrupt('b', ref))).toBe('AGENT_IDLE');
  });

  it('of an ask are pending while it is answered, and unknown afterwards', async () => {
    const { start, host } = harness();
    const gate = new Gate();
    await start({}, {}, [{ type: 'text', text: 'x' }, ...(gate.turn as [])]);
    const refs: string[] = [];
    const asked = host.ask('a', 'go', { onEvent: (_event, own) => refs.push(own) });
    await settled();
    const [ref = ''] = refs;
    expect(await host.poll('a', ref)).toEqual({ status: 'pending' });
    gate.open();
    await asked;
    expect(await codeOf(host.poll('a', ref))).toBe('REF_NOT_FOUND');
  });

  it('are awaited by as many as like, before and after; a cancelled one rejects for all', async () => {
    const { start, host } = harness();
    const gate = new Gate('once');
    await start({}, {}, gate.turn);
    const ref = await host.tell('a', 'go');
    const queued = await host.tell('a', 'never');
    const waiting = [host.await('a', ref), host.await('a', ref)];
    const cancelled = [host.await('a', queued), host.await('a', queued)];
    await host.cancel('a', queued);
    gate.open();
    expect((await Promise.all([...waiting, host.await('a', ref)])).map(({ text }) => text)).toEqual(
      Array(3).fill('once'),
    );
    for (const call of [...cancelled, host.await('a', queued)]) expect(await codeOf(call)).toBe('REQUEST_CANCELLED');
  });

  it('of a request that is tried again stay pending, and can be cancelled between two attempts only by an interrupt', async () => {
    const { start, host } = harness();
    const gate = new Gate('second');
    await start(
      { handleError: (_ref, _error, state) => prompt('again', state) },
      {},
      { refuses: new TypeError('no') },
      gate.turn,
    );
    const ref = await host.tell('a', 'go');
    await settled();
    expect(await host.poll('a', ref)).toEqual({ status: 'pending' });
    expect(await host.snapshot('a')).toMatchObject({ currentRequest: { ref, attempt: 2, origin: 'tell' } });
    expect(await codeOf(host.cancel('a', ref))).toBe('REQUEST_CURRENT');
    gate.open();
    expect((await host.await('a', ref)).text).toBe('second');
  });
});

describe('giving up', () => {
  it('an ask whose signal has fired is not taken at all', async () => {
    const { start, host, backend } = harness();
    await start({}, {}, 'never');
    const signal = AbortSignal.abort(new TypeError('gone'));
    await expect(host.ask('a', 'go', { signal })).rejects.toThrow('gone');
    await settled();
    expect([backend.prompts.length, host.graph()]).toEqual([0, []]);
  });

  it('a signal that fires while the prompt waits takes it back; while it is answered, the turn goes on', async () => {
    const { start, host, backend, told } = harness();
    const gate = new Gate();
    await start({}, {}, gate.turn);
    const [first, second] = [new AbortController(), new AbortController()];
    const running = host.ask('a', '1', { signal: first.signal });
    const waiting = host.ask('a', '2', { signal: second.signal });
    await settled();
    first.abort(new TypeError('bored'));
    second.abort(new TypeError('gone'));
    await expect(running).rejects.toThrow('bored');
    await expect(waiting).rejects.toThrow('gone');
    expect(told('turn.cancelled')).toMatchObject([{ by: 'signal' }]);
    expect(told('mailbox.taken')).toMatchObject([{ depth: 0 }]);
    gate.open();
    await settled();
    expect([backend.prompts.length, await host.turnCount('a')]).toEqual([1, 1]);
  });

  it('nobody has to look at a promise: what it says stays silent', async () => {
    const { start, host } = harness();
    void host.ask('x', 'go');
    await start({}, {}, { refuses: new TypeError('no') });
    void host.ask('a', 'go');
    void host.ask('a', 'go', { timeoutMs: 1 });
    void host.await('a', 'nothing');
    void host.start(undefined as never, undefined as never);
    await settled();
    await host.stop('a');
  });
});

describe('interrupt', () => {
  it('cuts a prompt that was asked in the same breath', async () => {
    const { start, host, log } = harness();
    await start({}, {}, 'never', 'two');
    const asked = host.ask('a', '1');
    expect(await host.interrupt('a')).toBe(true);
    await expect(asked).rejects.toMatchObject({ code: 'TURN_INTERRUPTED' });
    expect((await host.ask('a', '2')).text).toBe('never');
    expect(await log()).toEqual(['error TURN_INTERRUPTED', 'response never']);
  });

  it('during preTurn lets the prompt fail as soon as preTurn is done', async () => {
    const { start, host, backend } = harness();
    const may = new Deferred<void>();
    await start({ preTurn: async (text, state) => having(await may.promise, proceed(text, state)) }, {}, 'never');
    const asked = host.ask('a', 'go');
    await settled();
    expect(await host.interrupt('a')).toBe(true);
    may.resolve();
    await expect(asked).rejects.toMatchObject({ code: 'TURN_INTERRUPTED' });
    expect(backend.prompts).toEqual([]);
    expect(await host.interrupt('a')).toBe(false);
  });

  it('comes too late when the callbacks run: the turn is answered', async () => {
    const { start, host } = harness();
    const may = new Deferred<void>();
    await start(
      { handleResponse: async (_ref, _response, state) => having(await may.promise, noreply(state)) },
      {},
      'hi',
    );
    const ref = await host.tell('a', 'go');
    await settled();
    expect(await host.interrupt('a')).toBe(false);
    expect(await codeOf(host.interrupt('a', ref))).toBe('REQUEST_NOT_CURRENT');
    may.resolve();
    expect((await host.await('a', ref)).text).toBe('hi');
    expect(await codeOf(host.interrupt('a', ref))).toBe('AGENT_IDLE');
  });

  it('of a halted or idle agent does nothing, and does not halt', async () => {
    const { start, host } = harness();
    await start({}, {}, 'hi');
    expect(await host.interrupt('a')).toBe(false);
    await host.halt('a');
    expect(await host.interrupt('a')).toBe(false);
    await host.resume('a');
    expect((await host.ask('a', 'go')).text).toBe('hi');
  });

  it('of the agent itself, from a stream event, cuts its own turn', async () => {
    const { start, host } = harness();
    await start(
      {
        handleStreamEvent: async (event, state) => having(event.type === 'text' && (await host.interrupt('a')), state),
      },
      {},
      'cut',
    );
    await expect(host.ask('a', 'go')).rejects.toMatchObject({ code: 'TURN_INTERRUPTED' });
  });
});

describe('calls of an agent upon itself', () => {
  it('are refused where they would wait for themselves, and work where they do not', async () => {
    const { start, host } = harness();
    const refused: string[] = [];
    const done: unknown[] = [];
    await start(
      {
        handleResponse: async (ref, { text }, state) => {
          if (text !== 'first') return noreply(logged(state, text));
          const calls = [host.ask('a', 'x'), host.await('a', ref), host.stop('a'), host.kill('a'), host.drain('a')];
          for (const call of [...calls, host.resetSession('a')]) refused.push(await codeOf(call));
          done.push(await codeOf(host.tell('a', 'later')), await codeOf(host.notify('a', 'news')));
          done.push(await host.poll('a', ref), (await host.status('a')).state, (await host.snapshot('a')).phase);
          done.push(await host.interrupt('a'), await codeOf(host.halt('a')), await codeOf(host.resume('a')));
          return noreply(logged(state, text));
        },
      },
      {},
      'first',
      'later',
    );
    await host.tell('a', 'go');
    await settled();
    expect(refused).toEqual(Array(6).fill('AGENT_SELF_CALL'));
    const pending: PollResult = { status: 'pending' };
    expect(done).toEqual(['ok', 'ok', pending, 'processing', 'processing', false, 'ok', 'ok']);
    expect((await host.status('a')).agentState).toEqual({ log: ['first', 'event news', 'later'] });
  });

  it('are known by host and name: an agent of another host may have the same name', async () => {
    const [one, two] = [harness(), harness()];
    await two.start({}, {}, 'from two');
    let seen: unknown;
    await one.start(
      {
        handleResponse: async (_ref, _response, state) => {
          seen = [one.host.currentName(), two.host.currentName()];
          return noreply(logged(state, (await two.host.ask('a', 'x')).text));
        },
      },
      {},
      'from one',
    );
    await one.host.ask('a', 'go');
    expect(await one.log()).toEqual(['from two']);
    expect(seen).toEqual(['a', undefined]);
    expect(two.host.graph()).toEqual([{ from: undefined, to: 'a', kind: 'ask', count: 1 }]);
  });

  it('a listener of the caller stands outside the turn it is told of, and may ask', async () => {
    const { start, host } = harness();
    await start({}, {}, 'one', 'two');
    const heard: unknown[] = [];
    let next: Promise<{ text: string }> | undefined;
    await host.ask('a', '1', {
      onEvent: ({ type }) => {
        heard.push(host.currentName());
        if (type === 'text') next = host.ask('a', '2');
      },
      onCompletion: () => void heard.push(host.currentName()),
    });
    expect((await next)?.text).toBe('two');
    expect(heard).toEqual([undefined, undefined, undefined, undefined]);
  });
});

describe('what is refused', () => {
  it('is no edge of the graph', async () => {
    const { start, host } = harness();
    await start({}, { maxPendingPrompts: 0 });
    await host.halt('a');
    await settled();
    expect(await codeOf(host.tell('a', 'x'))).toBe('AGENT_OVERLOADED');
    expect(host.graph()).toEqual([]);
  });

  it('skipped prompts leave the line to the next', async () => {
    const { start, host } = harness();
    await start({ preTurn: (text, state) => (text === 'no' ? skip(state) : proceed(text, state)) }, {}, 'yes');
    const calls = [host.ask('a', 'no'), host.ask('a', 'no'), host.ask('a', 'yes')];
    expect(await Promise.all(calls.map(codeOf))).toEqual(['TURN_SKIPPED', 'TURN_SKIPPED', 'ok']);
  });
});

describe('many agents', () => {
  it('ten thousand of them start, answer, chat in pairs and stop', { timeout: 180_000 }, async () => {
    const { host } = harness();
    const names = Array.from({ length: 10_000 }, (_, index) => `agent ${index}`);
    const echo = {
      name: 'echo',
      startSession: () => undefined,
      prompt: (session: unknown, text: unknown) => ({
        session,
        events: (async function* () {
          yield { type: 'result', text: `re: ${String(text)}` } as const;
        })(),
      }),
      terminateSession: () => {},
    };
    await Promise.all(names.map((name) => host.start(listener(), { name, backend: echo })));
    const answers = await Promise.all(names.map((name) => host.ask(name, name)));
    expect(answers.every(({ text }, index) => text === `re: agent ${index}`)).toBe(true);
    expect(await host.list()).toHaveLength(10_000);
    await host.close();
    expect(await host.list()).toEqual([]);
  });
});
