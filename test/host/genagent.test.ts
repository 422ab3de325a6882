/** The 45 behaviours of GenAgent, mended rules included, one test each, by name. */
import { describe, expect, it } from 'vitest';
import { halt, noreply, proceed, prompt, skip, type TurnInfo } from '../../src/host/host.js';
import { Deferred } from '../../src/internal/deferred.js';
import { Gate, harness, having, logged, settled } from './harness.js';

const failing = [
  { type: 'error', error: { provider: 'scripted', kind: 'server', retryable: true, message: 'down', raw: undefined } },
] as const;

type Harness = ReturnType<typeof harness>;

describe('GenAgent', () => {
  it('01 start answers, then preRun runs, then prompts are taken', async () => {
    const { start, host, log } = harness();
    const may = new Deferred<void>();
    const started = await start(
      { preRun: async (state) => having(await may.promise, logged(state, 'preRun')) },
      {},
      'hi',
    );
    const asked = host.ask('a', 'hello');
    await settled();
    expect(started.resumed).toBe(false);
    expect((await host.status('a')).state).toBe('idle');
    may.resolve();
    expect((await asked).text).toBe('hi');
    expect(await log()).toEqual(['preRun', 'response hi']);
  });

  it('02 a name is unique while its agent lives, and free at once after', async () => {
    const { start, host } = harness();
    await start();
    await expect(start()).rejects.toMatchObject({ code: 'AGENT_EXISTS', status: 'ALREADY_EXISTS' });
    await host.stop('a');
    await expect(start()).resolves.toMatchObject({ name: 'a' });
  });

  it('03 a refusing init, a refusing backend and a missing option are told apart, and leave no agent', async () => {
    const { start, host, backend } = harness();
    const init = (): Promise<never> => Promise.reject(new TypeError('no'));
    await expect(start({ init })).rejects.toMatchObject({ code: 'AGENT_INIT_FAILED', cause: new TypeError('no') });
    const broken = { ...backend, startSession: () => Promise.reject(new TypeError('down')) };
    await expect(start({}, { backend: broken })).rejects.toMatchObject({ code: 'BACKEND_START_FAILED' });
    await expect(start({}, { name: '' })).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    await expect(start({}, { watchdogMs: -1 })).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    expect(await host.list()).toEqual([]);
  });

  it('04 a failing preRun ends the agent with its reason; who waits is told, and both terminate hooks run', async () => {
    const { start, host, backend, told } = harness();
    const ends: string[] = [];
    await start({ preRun: () => Promise.reject(new TypeError('no')), terminate: (reason) => void ends.push(reason) });
    await expect(host.ask('a', 'hello')).rejects.toMatchObject({ code: 'AGENT_TERMINATED' });
    await settled();
    expect(ends).toEqual(['crashed']);
    expect(backend.terminated).toHaveLength(1);
    expect(told('terminated')).toMatchObject([{ reason: 'crashed', code: 'CALLBACK_FAILED' }]);
    expect(await host.whereis('a')).toBeUndefined();
  });

  it('05 ask answers the response of its turn', async () => {
    const { start, host, backend } = harness();
    await start({}, {}, 'four');
    expect(await host.ask('a', 'two and two?')).toMatchObject({ text: 'four', isError: false });
    expect(backend.prompts.map(({ text }) => text)).toEqual(['two and two?']);
  });

  it('06 asks while processing queue, and are answered in order', async () => {
    const { start, host } = harness();
    const gate = new Gate('one');
    await start({}, {}, gate.turn, 'two', 'three');
    const asked = ['1', '2', '3'].map((text) => host.ask('a', text));
    await settled();
    expect(await host.status('a')).toMatchObject({ state: 'processing', queued: 2 });
    gate.open();
    expect((await Promise.all(asked)).map(({ text }) => text)).toEqual(['one', 'two', 'three']);
  });

  it('07 tell answers a ref; poll says pending, then completed, again and again', async () => {
    const { start, host } = harness();
    const gate = new Gate();
    await start({}, {}, gate.turn);
    const ref = await host.tell('a', 'go');
    expect(await host.poll('a', ref)).toEqual({ status: 'pending' });
    gate.open();
    await settled();
    expect(await host.poll('a', ref)).toMatchObject({ status: 'completed', response: { text: 'gated' } });
    expect(await host.poll('a', ref)).toMatchObject({ status: 'completed' });
  });

  it('08 poll of a failed tell gives its error, and of an unknown ref another one', async () => {
    const { start, host } = harness();
    await start({}, {}, failing);
    const ref = await host.tell('a', 'go');
    await settled();
    expect(await host.poll('a', ref)).toMatchObject({ status: 'failed', error: { code: 'BACKEND_FAILED' } });
    await expect(host.poll('a', 'nothing')).rejects.toMatchObject({ code: 'REF_NOT_FOUND' });
  });

  it('09 results beyond the bound go, the oldest first', async () => {
    const { start, host } = harness();
    await start({}, { maxTellResults: 2 }, 'one', 'two', 'three');
    const refs = [await host.tell('a', '1'), await host.tell('a', '2'), await host.tell('a', '3')];
    await settled();
    await expect(host.poll('a', refs[0] ?? '')).rejects.toMatchObject({ code: 'REF_NOT_FOUND' });
    expect(await host.poll('a', refs[2] ?? '')).toMatchObject({ response: { text: 'three' } });
  });

  it('10 a self-chain runs at once, ahead of the mailbox, and the caller has its answer before', async () => {
    const { start, host, backend } = harness();
    const answered: string[] = [];
    const handleResponse = (_ref: string, { text }: { text: string }, state: { log: readonly string[] }) =>
      text === 'one' ? prompt('again', logged(state, text)) : noreply(logged(state, text));
    const gate = new Gate('one');
    await start({ handleResponse }, {}, gate.turn, 'chained', 'two');
    const first = host.ask('a', '1').then(({ text }) => answered.push(text));
    const second = host.ask('a', '2').then(({ text }) => answered.push(text));
    gate.open();
    await Promise.all([first, second]);
    expect(answered).toEqual(['one', 'two']);
    expect(backend.prompts.map(({ text }) => text)).toEqual(['1', 'again', '2']);
  });

  it('11 the self-chain is one slot with refs of its own; poll of the tell shows the first turn', async () => {
    const { start, host, told } = harness();
    const gate = new Gate('end');
    const handleResponse = (_ref: string, { text }: { text: string }, state: { log: readonly string[] }) =>
      text === 'one' ? prompt('again', state) : noreply(state);
    await start({ handleResponse }, {}, 'one', gate.turn);
    const ref = await host.tell('a', 'go');
    await settled();
    expect(await host.poll('a', ref)).toMatchObject({ status: 'completed', response: { text: 'one' } });
    const { currentRequest, queued } = await host.status('a');
    expect(currentRequest).not.toBe(ref);
    expect(queued).toBe(0);
    expect(told('turn.start').map(({ origin }) => origin)).toEqual(['tell', 'self_chain']);
    gate.open();
  });

  it('12 halt freezes the mailbox until resume; an ask waits', async () => {
    const { start, host, backend } = harness();
    await start(
      { handleResponse: (_ref, { text }, state) => (text === 'one' ? halt(state) : noreply(state)) },
      {},
      'one',
      'two',
    );
    await host.ask('a', '1');
    const asked = host.ask('a', '2');
    await settled();
    expect(await host.status('a')).toMatchObject({ state: 'idle', halted: true, queued: 1 });
    expect(backend.remaining).toBe(1);
    await host.resume('a');
    expect((await asked).text).toBe('two');
    expect((await host.status('a')).halted).toBe(false);
  });

  it('13 a notification at idle is handled at once and may prompt', async () => {
    const { start, host, log, told } = harness();
    await start({ handleEvent: (event, state) => prompt(`about ${String(event)}`, state) }, {}, 'done');
    expect(await host.notifyAck('a', 'ci')).toBe('handled');
    await settled();
    expect(await log()).toEqual(['response done']);
    expect(told('turn.start')).toMatchObject([{ origin: 'event' }]);
  });

  it('14 a notification may halt, with postRun; on a halted agent it still is heard, and its prompt queues', async () => {
    const { start, host, log } = harness();
    const ran: string[] = [];
    await start({
      handleEvent: (event, state) => (event === 'halt' ? halt(state) : prompt('later', logged(state, String(event)))),
      postRun: () => void ran.push('postRun'),
    });
    await host.notifyAck('a', 'halt');
    await host.notifyAck('a', 'more');
    await settled();
    expect(ran).toEqual(['postRun']);
    expect(await log()).toEqual(['more']);
    expect(await host.status('a')).toMatchObject({ halted: true, queued: 1 });
  });

  it('15 notifications during a turn are kept, and handled in order when it ends, before the answer', async () => {
    const { start, host, log } = harness();
    const gate = new Gate();
    await start({}, {}, gate.turn);
    const asked = host.ask('a', 'go');
    await settled();
    expect(await host.notifyAck('a', 1)).toBe('retained');
    await host.notify('a', 2);
    expect(await log()).toEqual([]);
    gate.open();
    await asked;
    expect(await log()).toEqual(['response gated', 'event 1', 'event 2']);
  });

  it.each([
    ['an error', failing, 'BACKEND_FAILED', async (): Promise<unknown> => undefined],
    ['an interrupt', undefined, 'TURN_INTERRUPTED', async (h: Harness): Promise<unknown> => h.host.interrupt('a')],
    ['the watchdog', undefined, 'TURN_TIMEOUT', async (h: Harness): Promise<unknown> => h.clock.advance(600_000)],
  ] as const)('16 they are handled as well when the turn ends by %s', async (_how, turn, code, act): Promise<void> => {
    const h = harness();
    const hold = new Deferred<void>();
    await h.start(
      { preTurn: async (text, state) => having(await hold.promise, proceed(text, state)) },
      {},
      turn ?? new Gate().turn,
    );
    const asked = h.host.ask('a', 'go');
    await h.host.notify('a', 'kept');
    hold.resolve();
    await settled();
    await act(h);
    await expect(asked).rejects.toMatchObject({ code });
    expect(await h.log()).toEqual([`error ${code}`, 'event kept']);
  });

  it('17 interrupt cuts the turn: the ask fails, the work really stops, and what waits goes on', async () => {
    const { start, host, backend, log } = harness();
    await start({}, {}, new Gate().turn, 'two');
    const first = host.ask('a', '1');
    const second = host.ask('a', '2');
    await settled();
    expect(await host.interrupt('a')).toBe(true);
    await expect(first).rejects.toMatchObject({ code: 'TURN_INTERRUPTED', status: 'CANCELLED' });
    expect((await second).text).toBe('two');
    expect(backend.prompts[0]?.signal.aborted).toBe(true);
    expect(await log()).toEqual(['error TURN_INTERRUPTED', 'response two']);
    expect(await host.interrupt('a')).toBe(false);
  });

  it('18 an interrupt with a ref never hits the successor', async () => {
    const { start, host } = harness();
    const gate = new Gate();
    await start({}, {}, 'one', gate.turn);
    const first = await host.tell('a', '1');
    const second = await host.tell('a', '2');
    await settled();
    await expect(host.interrupt('a', first)).rejects.toMatchObject({ code: 'REQUEST_NOT_CURRENT' });
    expect(await host.interrupt('a', second)).toBe(true);
    await settled();
    await expect(host.interrupt('a', second)).rejects.toMatchObject({ code: 'AGENT_IDLE' });
    expect(await host.poll('a', second)).toMatchObject({ error: { code: 'TURN_INTERRUPTED' } });
  });

  it('19 cancel takes a tell out of the queue, once or twice; no callback hears of it', async () => {
    const { start, host, backend, log } = harness();
    const gate = new Gate();
    const completions: unknown[] = [];
    await start({}, {}, gate.turn);
    const first = await host.tell('a', '1');
    const second = await host.tell('a', '2', { onCompletion: (completion) => completions.push(completion) });
    await settled();
    await expect(host.cancel('a', first)).rejects.toMatchObject({ code: 'REQUEST_CURRENT' });
    await host.cancel('a', second);
    await host.cancel('a', second);
    expect(await host.poll('a', second)).toMatchObject({ error: { code: 'REQUEST_CANCELLED' } });
    gate.open();
    await settled();
    await expect(host.cancel('a', first)).rejects.toMatchObject({ code: 'REQUEST_FINISHED' });
    await expect(host.cancel('a', 'x')).rejects.toMatchObject({ code: 'REF_NOT_FOUND' });
    expect(completions).toMatchObject([{ agent: 'a', ref: second, ok: false, error: { code: 'REQUEST_CANCELLED' } }]);
    expect(await log()).toEqual(['response gated']);
    expect(backend.prompts).toHaveLength(1);
  });

  it('20 a turn that takes too long fails with a timeout, and the agent goes on', async () => {
    const { start, host, clock, log } = harness();
    await start({}, { watchdogMs: 50 }, new Gate().turn, 'two');
    const first = host.ask('a', '1');
    await settled();
    clock.advance(50);
    await expect(first).rejects.toMatchObject({ code: 'TURN_TIMEOUT', status: 'DEADLINE_EXCEEDED' });
    expect((await host.ask('a', '2')).text).toBe('two');
    expect(await log()).toEqual(['error TURN_TIMEOUT', 'response two']);
  });

  it('21 a backend that throws, at once or in its stream, fails the turn and not the agent', async () => {
    const { start, host, backend } = harness();
    const thrown = () => {
      throw new TypeError('boom');
    };
    await start({}, {}, { refuses: new TypeError('dead') }, thrown, 'fine');
    await expect(host.ask('a', '1')).rejects.toMatchObject({ code: 'BACKEND_FAILED', message: 'dead' });
    await expect(host.ask('a', '2')).rejects.toMatchObject({ code: 'BACKEND_FAILED', message: 'boom' });
    expect((await host.ask('a', '3')).text).toBe('fine');
    expect(backend.active).toBe(0);
  });

  it('22 a stream without a terminal event fails the turn; nothing after a terminal is read', async () => {
    const { start, host } = harness();
    const heard: string[] = [];
    const hear = {
      handleStreamEvent: ({ type }: { type: string }, state: { log: readonly string[] }) =>
        having(heard.push(type), state),
    };
    await start(
      hear,
      {},
      [{ type: 'text', text: 'half' }],
      [
        { type: 'result', text: 'whole' },
        { type: 'text', text: 'late' },
      ],
    );
    await expect(host.ask('a', '1')).rejects.toMatchObject({ code: 'BACKEND_NO_TERMINAL' });
    expect((await host.ask('a', '2')).text).toBe('whole');
    expect(heard).toEqual(['text', 'result']);
  });

  it('23 updateSession is called once, with the result, and only then; the session goes from turn to turn', async () => {
    const { host, backend } = harness();
    const calls: string[] = [];
    const threaded = {
      name: 'threaded',
      startSession: () => 0,
      prompt: (session: unknown, text: unknown) => ({
        session: Number(session) + 1,
        events: (async function* () {
          calls.push(`prompt ${String(session)}`);
          yield text === 'fail' ? failing[0] : ({ type: 'result', text: 'ok', data: session } as const);
        })(),
      }),
      updateSession: (session: unknown, { data }: { data?: unknown }) =>
        having(calls.push(`update ${String(data)}`), Number(session) + 10),
      terminateSession: () => {},
    };
    void backend;
    const { listener } = await import('./harness.js');
    await host.start(listener(), { name: 't', backend: threaded });
    await host.ask('t', 'one');
    await host.ask('t', 'fail').catch(() => {});
    await host.ask('t', 'three');
    expect(calls).toEqual(['prompt 0', 'update 0', 'prompt 11', 'prompt 12', 'update 12']);
  });

  it('24 stream events come in order, the terminal one too, and what they make of the state is what handleResponse sees', async () => {
    const { start, host, log } = harness();
    await start({ handleStreamEvent: async (event, state) => logged(state, event.type) }, {}, 'hi');
    await host.ask('a', 'go');
    expect(await log()).toEqual(['session', 'text', 'result', 'response hi']);
  });

  it('25 what stream events made of the state is kept when the turn fails', async () => {
    const { start, host, log } = harness();
    await start({ handleStreamEvent: (event, state) => logged(state, event.type) }, {}, [
      { type: 'text', text: 'x' },
      ...failing,
    ]);
    await host.ask('a', 'go').catch(() => {});
    expect(await log()).toEqual(['text', 'error', 'error BACKEND_FAILED']);
  });

  it('26 a throwing handleStreamEvent fails the turn', async () => {
    const { start, host, log } = harness();
    await start({ handleStreamEvent: () => Promise.reject(new TypeError('no')) }, {}, 'hi');
    await expect(host.ask('a', 'go')).rejects.toMatchObject({
      code: 'CALLBACK_FAILED',
      details: { callback: 'handleStreamEvent' },
    });
    expect(await log()).toEqual(['error CALLBACK_FAILED']);
  });

  it('27 preTurn may rewrite the prompt', async () => {
    const { start, host, backend, told } = harness();
    await start({ preTurn: (text, state) => proceed(`please ${String(text)}`, logged(state, 'pre')) }, {}, 'ok', 'ok');
    await host.ask('a', 'go');
    expect(backend.prompts[0]?.text).toBe('please go');
    expect(told('prompt.start')).toMatchObject([{ rewritten: true }]);
  });

  it.each([
    ['skips', () => skip({ log: ['skipped'] }), 'TURN_SKIPPED', ['skipped']],
    ['throws', () => Promise.reject(new TypeError('no')), 'TURN_SKIPPED', []],
    ['answers nonsense', () => 'yes' as never, 'CALLBACK_FAILED', []],
  ] as const)(
    '28 a preTurn that %s refuses the prompt; no other hook and no prompt telemetry',
    async (_what, preTurn, code, log) => {
      const h = harness();
      const post: string[] = [];
      await h.start({ preTurn, postTurn: (_outcome, _ref, state) => having(post.push('post'), state) });
      await expect(h.host.ask('a', 'go')).rejects.toMatchObject({ code });
      const ref = await h.host.tell('a', 'go');
      await settled();
      expect(await h.host.poll('a', ref)).toMatchObject({ error: { code } });
      expect([await h.log(), post, h.told('prompt.start')]).toEqual([[...log], [], []]);
      expect(h.told('turn.rejected')).toHaveLength(2);
    },
  );

  it('29 a preTurn that halts refuses the prompt, runs postRun and freezes what waits', async () => {
    const { start, host, told } = harness();
    const ran: string[] = [];
    await start({ preTurn: (_text, state) => halt(state), postRun: () => void ran.push('postRun') });
    const [first] = [host.ask('a', '1'), host.tell('a', '2')];
    await expect(first).rejects.toMatchObject({ code: 'TURN_HALTED' });
    await settled();
    expect(ran).toEqual(['postRun']);
    expect(told('halted')).toHaveLength(1);
    expect(await host.status('a')).toMatchObject({ halted: true, queued: 1 });
  });

  it('30 a prompt of the agent itself that preTurn refuses comes back through handleError, retries paced', async () => {
    const { start, host, clock, log, backend } = harness();
    let refusals = 1;
    await start(
      {
        handleEvent: (_event, state) => prompt('own', state),
        preTurn: (text, state) => (refusals-- > 0 ? skip(state) : proceed(text, state)),
        handleError: (_ref, { code }, state) => prompt('own again', logged(state, code)),
      },
      {},
      'done',
    );
    await host.notifyAck('a', 'go');
    await settled();
    expect([await log(), backend.prompts.length]).toEqual([['TURN_SKIPPED'], 0]);
    clock.advance(10);
    await settled();
    expect(await log()).toEqual(['TURN_SKIPPED', 'response done']);
  });

  it('31 the order of a turn: preTurn, start, backend, stop, handleResponse, postTurn, notifications, answer, idle', async () => {
    const { start, host, events } = harness();
    const order: string[] = [];
    host.observe(({ type }) => order.push(`[${type}]`));
    const gate = new Gate();
    await start(
      {
        preTurn: (text, state) => having(order.push('preTurn'), proceed(text, state)),
        handleResponse: (_ref, _response, state) => having(order.push('handleResponse'), noreply(state)),
        postTurn: (_outcome, _ref, state) => having(order.push('postTurn'), state),
        handleEvent: (_event, state) => having(order.push('handleEvent'), noreply(state)),
      },
      {},
      gate.turn,
    );
    order.length = 0;
    const asked = host.ask('a', 'go').then(() => order.push('answered'));
    await settled();
    await host.notify('a', 'x');
    gate.open();
    await asked;
    expect(order).toEqual([
      ...['preTurn', '[turn.start]', '[prompt.start]', '[state.changed]', '[event.received]', '[prompt.stop]'],
      ...['handleResponse', 'postTurn', '[turn.stop]', 'handleEvent', '[state.changed]', 'answered'],
    ]);
    expect(events.at(-1)).toMatchObject({ type: 'state.changed', from: 'processing', to: 'idle' });
  });

  it('32 postTurn sees response and error, comes between decision and transition, and what it throws changes nothing', async () => {
    const { start, host, log } = harness();
    let throws = false;
    await start(
      {
        postTurn: async (outcome, _ref, state) => {
          if (throws) throw new TypeError('no');
          expect((await host.status('a')).state).toBe('processing');
          return logged(state, outcome.ok ? 'post ok' : `post ${outcome.error.code}`);
        },
      },
      {},
      'one',
      failing,
      'three',
    );
    await host.ask('a', '1');
    await host.ask('a', '2').catch(() => {});
    throws = true;
    await host.ask('a', '3');
    expect(await log()).toEqual([
      'response one',
      'post ok',
      'error BACKEND_FAILED',
      'post BACKEND_FAILED',
      'response three',
    ]);
  });

  it('33 postRun runs once for a halt that both the decision and a notification want, after the notifications', async () => {
    const { start, host } = harness();
    const order: string[] = [];
    const gate = new Gate();
    await start(
      {
        handleResponse: (_ref, _response, state) => having(order.push('response'), halt(state)),
        handleEvent: (_event, state) => having(order.push('event'), halt(state)),
        postRun: () => void order.push('postRun'),
      },
      {},
      gate.turn,
    );
    const asked = host.ask('a', 'go');
    await settled();
    await host.notify('a', 1);
    await host.notify('a', 2);
    gate.open();
    await asked;
    await host.notifyAck('a', 3);
    expect(order).toEqual(['response', 'event', 'event', 'postRun', 'event']);
  });

  it('34 stop cuts the turn, runs terminate and ends the session, and no postRun or postTurn; who waits is told', async () => {
    const { start, host, backend } = harness();
    const ran: string[] = [];
    await start(
      {
        terminate: (reason) => void ran.push(`terminate ${reason}`),
        postRun: () => void ran.push('postRun'),
        postTurn: (_outcome, _ref, state) => having(ran.push('postTurn'), state),
      },
      {},
      new Gate().turn,
    );
    const waiting = [host.ask('a', '1'), host.ask('a', '2')];
    await settled();
    await host.stop('a');
    for (const asked of waiting)
      await expect(asked).rejects.toMatchObject({ code: 'AGENT_TERMINATED', details: { reason: 'stopped' } });
    expect(ran).toEqual(['terminate stopped']);
    expect([backend.terminated.length, backend.active]).toEqual([1, 0]);
    expect(await host.list()).toEqual([]);
  });

  it('35 every function names an unknown agent as an error', async () => {
    const { host } = harness();
    const calls = [
      ...[host.ask('x', 'p'), host.tell('x', 'p'), host.poll('x', 'r'), host.await('x', 'r'), host.notify('x', 1)],
      ...[host.notifyAck('x', 1), host.interrupt('x'), host.cancel('x', 'r'), host.halt('x'), host.resume('x')],
      ...[
        host.status('x'),
        host.snapshot('x'),
        host.stop('x'),
        host.drain('x'),
        host.resetSession('x'),
        host.kill('x'),
      ],
      ...[host.history('x'), host.lastResult('x'), host.sessionId('x'), host.totalCost('x'), host.turnCount('x')],
    ];
    for (const call of calls)
      await expect(call).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND', status: 'NOT_FOUND' });
    expect(await host.whereis('x')).toBeUndefined();
  });

  it('36 a throwing or malformed handleResponse fails that turn, and the agent lives', async () => {
    const { start, host, log } = harness();
    const answers = [() => Promise.reject(new TypeError('no')), () => 'nonsense' as never];
    await start(
      { handleResponse: (_ref, { text }, state) => answers.shift()?.() ?? noreply(logged(state, text)) },
      {},
      'one',
      'two',
      'three',
    );
    await expect(host.ask('a', '1')).rejects.toMatchObject({
      code: 'CALLBACK_FAILED',
      details: { callback: 'handleResponse' },
    });
    await expect(host.ask('a', '2')).rejects.toMatchObject({ code: 'CALLBACK_FAILED' });
    await host.ask('a', '3');
    expect(await log()).toEqual(['error CALLBACK_FAILED', 'error CALLBACK_FAILED', 'three']);
  });

  it('37 throwing or malformed handleError, handleEvent and postRun are contained, and told', async () => {
    const { start, host, told } = harness();
    const bad = () => Promise.reject(new TypeError('no'));
    await start(
      { handleError: bad, handleEvent: () => ({ decision: 'dance' }) as never, postRun: bad },
      {},
      failing,
      'fine',
    );
    await expect(host.ask('a', '1')).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    await host.notifyAck('a', 1);
    expect((await host.ask('a', '2')).text).toBe('fine');
    await host.halt('a');
    await settled();
    expect(told('callback.failed').map(({ callback }) => callback)).toEqual(['handleError', 'handleEvent', 'postRun']);
    expect(JSON.stringify(told('callback.failed'))).not.toContain('no"');
  });

  it('38 handleError may prompt again under the same ref: the caller goes on waiting, attempts are counted', async () => {
    const { start, host, told } = harness();
    const seen: TurnInfo[] = [];
    const completions: unknown[] = [];
    await start(
      {
        handleError: (_ref, _error, state, turn) =>
          having(seen.push(turn), turn.attempt < 3 ? prompt('again', state) : noreply(state)),
      },
      {},
      failing,
      failing,
      'third time',
    );
    const ref = await host.tell('a', 'go', { onCompletion: (completion) => completions.push(completion) });
    expect((await host.await('a', ref)).text).toBe('third time');
    expect(seen.map(({ attempt, prompt: asked }) => [attempt, asked])).toEqual([
      [1, 'go'],
      [2, 'again'],
    ]);
    expect(told('turn.start').map(({ ref: own, attempt }) => [own === ref, attempt])).toEqual([
      [true, 1],
      [true, 2],
      [true, 3],
    ]);
    expect(completions).toMatchObject([{ ref, ok: true }]);
  });

  it('39 an interrupt ends the request whatever handleError answers; its prompt becomes one of its own', async () => {
    const { start, host, backend } = harness();
    await start({ handleError: (_ref, _error, state) => prompt('follow up', state) }, {}, new Gate().turn, 'followed');
    const asked = host.ask('a', 'go');
    await settled();
    await host.interrupt('a');
    await expect(asked).rejects.toMatchObject({ code: 'TURN_INTERRUPTED' });
    await settled();
    expect(backend.prompts.map(({ text }) => text)).toEqual(['go', 'follow up']);
  });

  it('40 events and one completion reach the caller, in order, also when the agent is stopped', async () => {
    const { start, host } = harness();
    const heard: string[] = [];
    const following = {
      onEvent: ({ type }: { type: string }) => heard.push(type),
      onCompletion: ({ ok }: { ok: boolean }) => heard.push(`completion ${ok}`),
    };
    await start({}, {}, 'hi', new Gate().turn);
    await host.tell('a', '1', following);
    await settled();
    await host.tell('a', '2', {
      ...following,
      onEvent: () => {
        throw new TypeError('ignored');
      },
    });
    await settled();
    await host.stop('a');
    expect(heard).toEqual(['session', 'text', 'result', 'completion true', 'completion false']);
  });

  it('41 onHalt fail: refused on a halted agent, and failed when it halts before', async () => {
    const { start, host } = harness();
    const gate = new Gate();
    await start({ handleResponse: (_ref, _response, state) => halt(state) }, {}, gate.turn);
    const first = host.ask('a', '1');
    const second = host.ask('a', '2', { onHalt: 'fail' });
    await settled();
    gate.open();
    await first;
    await expect(second).rejects.toMatchObject({ code: 'AGENT_HALTED' });
    await expect(host.tell('a', '3', { onHalt: 'fail' })).rejects.toMatchObject({ code: 'AGENT_HALTED' });
  });

  it('42 halt from outside waits for the turn, resume takes it back, both are idempotent', async () => {
    const { start, host, told } = harness();
    const gates = [new Gate(), new Gate()];
    await start({}, {}, ...gates.map(({ turn }) => turn));
    const first = host.ask('a', '1');
    await settled();
    await host.halt('a');
    expect(await host.snapshot('a')).toMatchObject({ phase: 'processing', haltPending: true });
    await host.resume('a');
    gates[0]?.open();
    await first;
    expect((await host.status('a')).halted).toBe(false);
    const second = host.ask('a', '2');
    await settled();
    await host.halt('a');
    gates[1]?.open();
    await second;
    expect((await host.status('a')).halted).toBe(true);
    await host.halt('a');
    await host.halt('a');
    await settled();
    expect(told('halted')).toHaveLength(1);
  });

  it('43 bounded queues refuse with the facts, and what was refused leaves nothing', async () => {
    const { start, host } = harness();
    const gate = new Gate();
    await start({}, { maxPendingPrompts: 1, maxPendingNotifications: 0, maxPendingPromptBytes: 4 }, gate.turn, 'two');
    const first = host.ask('a', 'a long prompt that need not queue');
    await settled();
    await expect(host.tell('a', '12345')).rejects.toMatchObject({
      details: { queue: 'prompts', limit: 'bytes', incomingBytes: 5, maxBytes: 4 },
    });
    await host.tell('a', '2');
    await expect(host.tell('a', '3')).rejects.toMatchObject({
      code: 'AGENT_OVERLOADED',
      details: {
        queue: 'prompts',
        limit: 'count',
        pendingCount: 1,
        pendingBytes: 1,
        incomingBytes: 1,
        maxCount: 1,
        maxBytes: 4,
      },
    });
    await expect(host.notify('a', 1)).rejects.toMatchObject({ details: { queue: 'notifications', maxCount: 0 } });
    expect(await host.snapshot('a')).toMatchObject({ pendingPrompts: 1, pendingNotifications: 0 });
    gate.open();
    await first;
  });

  it('44 drain refuses new and waiting work, finishes the turn in flight, and stops', async () => {
    const { start, host } = harness();
    const gate = new Gate();
    await start({ handleResponse: (_ref, _response, state) => prompt('never', state) }, {}, gate.turn);
    const first = host.ask('a', '1');
    const second = host.ask('a', '2');
    await settled();
    const drained = host.drain('a');
    await expect(second).rejects.toMatchObject({ code: 'AGENT_DRAINING' });
    await expect(host.ask('a', '3')).rejects.toMatchObject({ code: 'AGENT_DRAINING' });
    await expect(host.notify('a', 1)).rejects.toMatchObject({ code: 'AGENT_DRAINING' });
    gate.open();
    expect((await first).text).toBe('gated');
    await drained;
    expect(await host.whereis('a')).toBeUndefined();
  });

  it('45 currentName is the agent in every callback and in its turn; nobody may wait for itself', async () => {
    const { start, host } = harness();
    const names: (string | undefined)[] = [];
    const errors: unknown[] = [];
    const note = () => void names.push(host.currentName());
    await start(
      {
        preRun: (state) => having(note(), state),
        handleStreamEvent: (_event, state) => having(note(), state),
        handleResponse: async (_ref, _response, state) => {
          note();
          for (const call of [host.ask('a', 'x'), host.stop('a'), host.drain('a')])
            errors.push(await call.catch(({ code }) => code));
          return noreply(state);
        },
      },
      {},
      async () => having(note(), [{ type: 'result' }]),
    );
    await host.ask('a', 'go');
    expect(names).toEqual(['a', 'a', 'a', 'a']);
    expect(errors).toEqual(Array(3).fill('AGENT_SELF_CALL'));
    expect(host.currentName()).toBeUndefined();
  });
});
