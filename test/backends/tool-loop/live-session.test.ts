import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type LiveSessionOptions, type SessionResult, startSession } from '../../../src/backends/tool-loop.js';
import { type ScriptedProviderOptions, scriptedProvider } from '../../../src/providers/scripted.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { type Call, modes, noting, stop, text, tool, usage, wait } from '../../support/loop.js';
import { errorOf, Gate, quiet, stateOf } from '../../support/waiting.js';

const lost = () => Object.assign(new TypeError('reset'), { code: 'ECONNRESET' });

describe.each(modes)('startSession (%s)', (mode) => {
  const start = async (given: Omit<ScriptedProviderOptions, 'mode'>, options: Partial<LiveSessionOptions> = {}) => {
    const provider = scriptedProvider({ mode, ...given });
    const results: SessionResult[] = [];
    const onResult = (result: SessionResult) => void results.push(result);
    const session = await startSession(provider, { handler: () => 'ok', onResult, ...options });
    return { provider, session, results };
  };

  test('stays open after a request, and counts each for itself', async () => {
    const { session, provider, results } = await start({
      turns: [
        [text('a'), usage(3), tool('t')],
        [text('b'), usage(4)],
        [text('c'), usage(5)],
      ],
    });
    expect(provider.inputs).toEqual([]);
    expect(await session.message('one')).toMatchObject({ text: 'a\nb', usage: { inputTokens: 7 }, turns: 2 });
    expect(await session.message('two')).toMatchObject({ text: 'c', usage: { inputTokens: 5 }, turns: 1 });
    expect(results.map(({ text: said }) => said)).toEqual(['a\nb', 'c']);
    expect(session.sessionId).toBe(provider.opened[0]?.id);
    await session.close();
  });

  test('begins at once with a prompt', async () => {
    const { session, results } = await start({ turns: [[text('hello')]] }, { prompt: 'Hi' });
    await session.close();
    expect(results).toMatchObject([{ text: 'hello' }]);
  });

  test('takes up a session, and brings it to its end', async () => {
    const { session, results, provider } = await start({ turns: [] }, { sessionId: 'theirs' });
    await session.close();
    expect(results).toMatchObject([{ sessionId: 'theirs', stopReason: 'idle' }]);
    expect(provider.inputs).toEqual([]);
  });

  test('answers messages one after another, however they come', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), fc.nat(3)), { minLength: 1, maxLength: 8 }), async (shape) => {
        const gates = shape.map(() => new Gate());
        const turns = shape.flatMap(([hasTool], index) => [
          [wait(gates[index]?.opened ?? Promise.resolve()), ...(hasTool ? [tool(`t${index}`)] : [])],
          ...(hasTool ? [[text(`after tool ${index}`)]] : []),
        ]);
        const { session, provider, results } = await start({ turns });
        const sent: Promise<SessionResult>[] = [];
        for (const [index, [, pauses]] of shape.entries()) {
          sent.push(session.message(`m${index}`));
          for (let pause = 0; pause < pauses; pause++) await quiet();
          expect(provider.active).toBeLessThanOrEqual(1);
        }
        for (const gate of [...gates].reverse()) gate.open();
        expect(await Promise.all(sent)).toEqual(results);
        const users = provider.inputs.flatMap((input) => (input.type === 'user' ? [input.prompt] : []));
        expect(users).toEqual(shape.map((_, index) => `m${index}`));
        await session.close();
      }),
      { numRuns: 25 },
    );
  });

  test('an interrupt ends the request that runs, on the other side too, and the next one begins', async () => {
    const { session, provider } = await start({
      turns: [[text('so far'), wait(new Gate().opened), text('never')], [text('next')]],
    });
    const first = session.message('one');
    const second = session.message('two');
    await quiet();
    expect([session.isRunning, session.queued]).toEqual([true, 1]);
    session.interrupt('changed my mind');
    expect(await first).toMatchObject({
      terminal: 'terminated',
      stopReason: 'interrupted',
      limit: 'interrupted',
      detail: 'changed my mind',
      text: 'so far',
    });
    expect(await second).toMatchObject({ terminal: 'end_turn', text: 'next' });
    expect(provider.interrupts).toBe(1);
    expect(provider.active).toBe(0);
    await session.close();
    expect([session.isRunning, session.queued]).toEqual([false, 0]);
  });

  test('an interrupt of an idle session does nothing', async () => {
    const { session } = await start({ turns: [[text('fine')]] });
    session.interrupt();
    expect(await session.message('Hi')).toMatchObject({ text: 'fine' });
    session.interrupt();
    await session.close();
  });

  test('an interrupt while tools run: they are told, and their calls are answered before the next message', async () => {
    const calls: Call[] = [];
    const gate = new Gate();
    let told: AbortSignal | undefined;
    const { session, provider } = await start(
      { turns: [[tool('a'), tool('b')], [text('I see.')], [text('Go on.')]] },
      {
        handler: async (name, input, _context, { callId, signal }) => {
          calls.push({ name, input, callId });
          told = signal;
          if (callId === 'a') return 'a done';
          await gate.opened;
        },
      },
    );
    const first = session.message('one');
    await quiet();
    session.interrupt();
    expect(await first).toMatchObject({ limit: 'interrupted', turns: 1 });
    expect(told?.aborted).toBe(true);
    expect(await session.message('two')).toMatchObject({ text: 'I see.\nGo on.' });
    expect(calls.map(({ callId }) => callId)).toEqual(['a', 'b']);
    expect(provider.inputs[1]).toMatchObject({
      type: 'results',
      results: [
        { text: 'a done', isError: false },
        { isError: true, text: expect.stringContaining('not run again') },
      ],
    });
    await session.close();
  });

  test('a request that was cut off leaves nothing to the next one', async () => {
    const gate = new Gate();
    const provider = scriptedProvider({
      mode,
      turns: [[text('old '), wait(gate.opened), text('leftover')], [text('new')]],
    });
    // A vendor that cannot be interrupted goes on, and its turn has to be waited for.
    const stubborn = Object.create(provider, { interrupt: { value: undefined } });
    const clock = new ManualClock();
    const session = await startSession(stubborn, { handler: () => '', clock });
    const first = session.message('one');
    await quiet();
    session.interrupt();
    await first;
    const second = session.message('two');
    await quiet();
    expect(provider.inputs).toHaveLength(1);
    gate.open();
    while ((await stateOf(second)) === 'pending') clock.advance(500);
    const { text: said, events } = await second;
    expect(said).toBe('new');
    expect(JSON.stringify(events)).not.toContain('leftover');
    await session.close();
  });

  test('each limit holds for each request', async () => {
    const { session } = await start(
      { turns: [[usage(60), text('a')], [usage(60), text('b')], [usage(120), text('c')], [text('d')]] },
      { maxTokens: 100 },
    );
    expect(await session.message('1')).toMatchObject({ text: 'a', terminal: 'end_turn' });
    expect(await session.message('2')).toMatchObject({ text: 'b', terminal: 'end_turn' });
    expect(await session.message('3')).toMatchObject({ limit: 'token_budget' });
    expect(await session.message('4')).toMatchObject({ terminal: 'end_turn', text: 'd' });
    await session.close();
  });

  test('time for each request', async () => {
    const clock = new ManualClock();
    const { session } = await start({ turns: [[wait(new Gate().opened)], [text('quick')]] }, { clock, timeoutMs: 100 });
    const first = session.message('slow');
    await quiet();
    clock.advance(100);
    expect(await first).toMatchObject({ limit: 'timeout' });
    expect(await session.message('fast')).toMatchObject({ text: 'quick' });
    await session.close();
  });

  test('close answers what waits, refuses what comes, and may be called again', async () => {
    const gate = new Gate();
    const { session, results } = await start({ turns: [[wait(gate.opened), text('a')], [text('b')]] });
    session.message('one');
    session.message('two');
    const closed = session.close();
    expect(await errorOf(session.message('three'))).toMatchObject({ code: 'CONNECTION_CLOSED' });
    expect(await stateOf(closed)).toBe('pending');
    gate.open();
    await closed;
    await session.close();
    expect(results.map(({ text: said }) => said)).toEqual(['a', 'b']);
  });

  test('await using closes', async () => {
    let results: SessionResult[] = [];
    {
      const { session, results: told } = await start({ turns: [[text('a')]] });
      await using held = session;
      held.message('one');
      results = told;
    }
    expect(results).toHaveLength(1);
  });

  test('whoever is told of a result and throws changes nothing', async () => {
    const onResult = () => {
      throw new Error('not now');
    };
    const { session } = await start({ turns: [[text('a')], [text('b')]] }, { onResult });
    expect(await session.message('one')).toMatchObject({ text: 'a' });
    expect(await session.message('two')).toMatchObject({ text: 'b' });
    await session.close();
  });

  test('a terminated turn does not end the session', async () => {
    const { session } = await start({ turns: [[stop('terminated', 'max_tokens')], [text('b')]] });
    expect(await session.message('one')).toMatchObject({ terminal: 'terminated', stopReason: 'max_tokens' });
    expect(await session.message('two')).toMatchObject({ text: 'b' });
    await session.close();
  });
});

test('a provider that fails is told, to the asker and to whoever listens; the session lives on', async () => {
  const clock = new ManualClock();
  const results: SessionResult[] = [];
  const provider = scriptedProvider({
    mode: 'streaming',
    sends: ['ok', 'refused', 'refused', 'refused'],
    connects: [undefined, lost(), lost(), lost()],
    turns: [[text('a'), usage(2), { type: 'drop', how: 'end' }, wait(new Gate().opened)], [text('b')]],
  });
  const session = await startSession(provider, {
    handler: () => '',
    clock,
    maxReconnects: 3,
    onResult: (result) => void results.push(result),
  });
  const first = session.message('one');
  while ((await stateOf(first)) === 'pending') clock.advance(1_000);
  expect(await errorOf(first)).toMatchObject({ kind: 'network', retryable: true });
  expect(results).toMatchObject([
    { terminal: 'terminated', stopReason: 'error', text: 'a', error: { code: 'BACKEND_FAILED' } },
  ]);
  expect(session.isRunning).toBe(false);
  await session.close();
});

test('a message nobody waits for that fails becomes no unhandled rejection', async () => {
  const provider = scriptedProvider({
    mode: 'request_response',
    hasHistory: false,
    turns: [[{ type: 'drop', how: 'error' }]],
  });
  const session = await startSession(provider, { handler: () => '', prompt: 'Hi' });
  await session.close();
  await quiet();
});

test('a session that cannot be opened says so', async () => {
  const provider = scriptedProvider({
    mode: 'streaming',
    openError: Object.assign(new TypeError('no'), { status: 403 }),
  });
  expect(await errorOf(startSession(provider, { handler: () => '' }))).toMatchObject({ kind: 'permission' });
});

test('an input nobody listens to: what was noted while tools ran is the handler’s', async () => {
  const calls: Call[] = [];
  const provider = scriptedProvider({ mode: 'streaming', turns: [[tool('a')], [text('x')]] });
  const session = await startSession(provider, { handler: noting(calls) });
  await session.message('Hi');
  await session.close();
  expect(calls).toHaveLength(1);
});
