import { describe, expect, test } from 'vitest';
import type { AnsweredCall } from '../../../src/backends/backend.js';
import { openBackendSession } from '../../../src/backends/backend-session.js';
import { failure } from '../../../src/backends/failure.js';
import { runPrompt } from '../../../src/backends/run-prompt.js';
import {
  MemoryToolJournal,
  type ProviderBackendOptions,
  providerBackend,
  type ToolFunction,
} from '../../../src/backends/tool-loop.js';
import {
  type ScriptedProvider,
  type ScriptedProviderStep,
  type ScriptedProviderTurn,
  scriptedProvider,
} from '../../../src/providers/scripted.js';
import {
  type AskedTurn,
  type BackendUnderTest,
  type ModelFailure,
  type ModelTurn,
  testBackend,
} from '../../../src/testing/backend-suite.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { drop, modes, stop, text, tool, usage, wait } from '../../support/loop.js';
import { collect, Gate, quiet } from '../../support/waiting.js';

/** The suite's model, played by a scripted provider. */
function underTest(mode: (typeof modes)[number]): BackendUnderTest {
  const scripted = scriptedProvider({ mode });
  const asked: AskedTurn[] = [];
  const failures: unknown[] = [];
  let output = '';
  let calls = 0;
  // A vendor's failure is thrown by whatever talks to it.
  const throwing =
    <Args extends unknown[], Result>(work: (...args: Args) => Result) =>
    (...args: Args) => {
      const error = failures.shift();
      if (error !== undefined) throw error;
      return work(...args);
    };
  const way =
    scripted.mode === 'streaming' ? { connect: throwing(scripted.connect) } : { request: throwing(scripted.request) };
  const provider = Object.assign(Object.create(scripted), way);
  return {
    backend: providerBackend(provider, { handler: () => output, maxReconnects: 0 }),
    play(turn) {
      if (isFailure(turn.end)) {
        failures.push({ failure: failure('scripted', turn.end, 'as asked') });
        return;
      }
      const steps = stepsOf(turn);
      calls += 1;
      const first: ScriptedProviderStep[] =
        turn.tool === undefined ? steps : [tool(`call-${calls}`, turn.tool.name, turn.tool.input)];
      scripted.script((input, { sessionId, earlier }) => {
        const system = scripted.opened.find(({ id }) => id === sessionId)?.options.system;
        const prompt = input.type === 'user' ? String(input.prompt) : '';
        asked.push({ prompt, earlier, ...(system === undefined ? {} : { system }) });
        return first;
      });
      if (turn.tool === undefined) return;
      output = turn.tool.output;
      scripted.script(steps);
    },
    asked: () => asked,
    working: () => scripted.active,
  };
}

function isFailure(end: ModelTurn['end']): end is ModelFailure {
  return end !== undefined && end !== 'done' && end !== 'hang' && end !== 'drop';
}

function stepsOf({ text: pieces = [], usage: used, end }: ModelTurn): ScriptedProviderStep[] {
  return [
    ...pieces.map(text),
    ...(used === undefined ? [] : [usage(used.inputTokens, used.outputTokens)]),
    ...(end === 'hang' ? [wait(new Gate().opened)] : []),
    ...(end === 'drop' ? [drop('error')] : []),
  ];
}

describe.each(modes)('the contract (%s)', (mode) => {
  const skip = [
    {
      case: 'a turn that another process has left goes on from the results of its calls, if the backend can do that',
      reason: 'its provider keeps the conversation: the turn has to be left there; see below',
    },
  ];
  testBackend({ test, create: () => underTest(mode), skip });
});

describe.each(modes)('providerBackend (%s)', (mode) => {
  const run = async (turns: readonly ScriptedProviderTurn[], options: Partial<ProviderBackendOptions> = {}) => {
    const provider = scriptedProvider({ mode, turns });
    const backend = providerBackend(provider, { handler: () => 'ok', ...options });
    const outcome = await runPrompt(backend, await backend.startSession(), 'Hi');
    return { ...outcome, provider };
  };

  test('tells all that goes on in a request', async () => {
    const search: ScriptedProviderStep = { type: 'server_tool', id: 's', name: 'search', input: 'x' };
    const turns = [
      [text('Let me '), text('see.'), tool('a'), usage(3, 1)],
      [search, text('Tea.'), usage(4)],
    ];
    const { response, error } = await run(turns, { price: ({ inputTokens = 0 }) => inputTokens });
    expect(error).toBeUndefined();
    expect(response).toMatchObject({
      text: 'Let me see.\nTea.',
      usage: { inputTokens: 7, outputTokens: 1 },
      costUsd: 7,
      numTurns: 2,
      stopReason: 'end_turn',
    });
    expect(response.events.map((event) => (event.type === 'text' ? event.text : event.type))).toEqual([
      'session',
      'Let me ',
      'see.',
      'usage',
      'tool_use',
      'tool_result',
      'Tea.',
      'usage',
      'tool_use',
      'result',
    ]);
  });

  test.each<[limit: string, kind: string, options: Partial<ProviderBackendOptions>]>([
    ['max_turns', 'limit', { maxTurns: 1 }],
    ['token_budget', 'limit', { maxTokens: 2 }],
    ['turn_guard', 'limit', { turnGuard: () => 'no' }],
    ['no_terminal_tool', 'incomplete', { terminalTool: 'submit', maxReprompts: 0 }],
  ])('a limit that is reached is a failure: %s', async (limit, kind, options) => {
    const price = ({ inputTokens = 0 }) => inputTokens / 2;
    const { error, response } = await run([[text('a'), usage(3), tool('t')], [text('b')]], { price, ...options });
    expect(error).toMatchObject({ code: 'BACKEND_FAILED', retryable: false, kind, failure: { raw: { limit } } });
    expect(response).toMatchObject({ text: expect.stringContaining('a'), isError: true });
    expect(response, 'what it used all the same').toMatchObject({ usage: { inputTokens: 3 }, costUsd: 1.5 });
  });

  test('usage is told as it is used, once', async () => {
    const provider = scriptedProvider({ mode, turns: [[usage(1), usage(2), wait(new Gate().opened)]] });
    const backend = providerBackend(provider, { handler: () => '' });
    const { events } = await backend.prompt(await backend.startSession(), 'Hi', {
      signal: new AbortController().signal,
    });
    const told: unknown[] = [];
    for await (const event of events) {
      if (event.type === 'usage') told.push(event.usage.inputTokens);
      if (told.length === 2) break;
    }
    expect(told).toEqual([1, 2]);
  });

  test('time that runs out is a failure of its own', async () => {
    const clock = new ManualClock();
    const turn = run([[text('a'), wait(new Gate().opened)]], { clock, timeoutMs: 100 });
    await quiet();
    clock.advance(100);
    expect((await turn).error).toMatchObject({ kind: 'timeout', status: 'DEADLINE_EXCEEDED' });
  });

  test.each([
    ['max_tokens', 'incomplete'],
    ['refusal', 'refused'],
    ['anything else', 'unknown'],
  ])('a turn that is terminated is a failure: %s', async (reason, kind) => {
    const { error } = await run([[text('half'), stop('terminated', reason)]]);
    expect(error).toMatchObject({ kind, message: expect.stringContaining(reason) });
  });

  test('a turn that waits for somebody else is an answer that says so', async () => {
    const { response, error } = await run([[text('May I?'), stop('requires_action', 'tool_confirmation')]]);
    expect(error).toBeUndefined();
    expect(response).toMatchObject({ text: 'May I?', stopReason: 'tool_confirmation' });
  });

  test('is resumed with its waiting calls', async () => {
    const provider = scriptedProvider({ mode, turns: [[tool('a')], [text('there')], [text('you are')]] });
    const first = await openBackendSession(providerBackend(provider, { handler: () => '', maxTurns: 1 }));
    await first.send('Hi').catch(() => {});
    await first.stop();
    const backend = providerBackend(provider, { handler: () => 'ok' });
    const second = await openBackendSession(backend, { resume: first.sessionId ?? '' });
    expect((await second.send('And?')).text).toBe('there\nyou are');
  });
});

describe.each(modes)('a turn that another process has left (%s)', (mode) => {
  const known: AnsweredCall = { id: 'a', name: 'look_up', input: { id: 'a' }, output: { seen: 1 }, isError: false };
  const { signal } = new AbortController();

  /** The turn's process is gone when the first of its two calls has its result. */
  const left = async (hasHistory: boolean) => {
    const provider = scriptedProvider({ mode, hasHistory, turns: [[tool('a'), tool('b')], [text('there')]] });
    const handler: ToolFunction = (_, __, ___, { callId }) => (callId === 'a' ? { seen: 1 } : new Gate().opened);
    const dead = providerBackend(provider, { handler });
    const { events, session } = await dead.prompt(await dead.startSession(), 'Look', { signal });
    const iterator = events[Symbol.asyncIterator]();
    for (let type = ''; type !== 'tool_result'; ) type = (await iterator.next()).value?.type ?? 'tool_result';
    return { provider, sessionId: session.loop.info.sessionId };
  };

  /** What another process makes of it. */
  const goneOnWith = async (
    { provider, sessionId }: { provider: ScriptedProvider; sessionId: string },
    calls: readonly AnsweredCall[],
    options: Partial<ProviderBackendOptions> = {},
  ) => {
    const ran: string[] = [];
    const handler: ToolFunction = (_, __, ___, { callId }) => {
      ran.push(callId);
      return 'seen too';
    };
    const backend = providerBackend(provider, { handler, ...options });
    const session = await backend.resumeSession?.(sessionId);
    const turn = session && (await backend.resumeTurn?.(session, calls, { signal }));
    if (turn === undefined) throw new Error('expected a backend that goes on with a turn');
    return { ran, events: await collect(turn.events) };
  };

  test.each([true, false])(
    'goes on from its results; only what has none is run (the provider tells its history: %s)',
    async (hasHistory) => {
      const there = await left(hasHistory);
      const journal = new MemoryToolJournal();
      await journal.add(there.sessionId, [known, { ...known, id: 'b' }]);
      const { ran, events } = await goneOnWith(there, [known], { journal });
      expect(ran).toEqual(['b']);
      expect(events.map((event) => (event.type === 'text' ? event.text : event.type))).toEqual([
        'session',
        'tool_use',
        'tool_result',
        'there',
        'result',
      ]);
      expect(there.provider.inputs).toMatchObject([
        { type: 'user', prompt: 'Look' },
        {
          type: 'results',
          results: [
            { toolUseId: 'a', text: '{"seen":1}' },
            { toolUseId: 'b', text: 'seen too' },
          ],
        },
      ]);
    },
  );

  test('that has ended meanwhile is answered with how it ended, and nothing is sent', async () => {
    const provider = scriptedProvider({ mode, turns: [[tool('a')], [text('there')]] });
    const first = await openBackendSession(providerBackend(provider, { handler: () => 'ok' }));
    await first.send('Look');
    const { ran, events } = await goneOnWith({ provider, sessionId: first.sessionId ?? '' }, [known]);
    expect([ran, events.at(-1)]).toMatchObject([[], { type: 'result', text: 'there' }]);
    expect(provider.inputs).toHaveLength(2);
  });

  test('whose results were sent and whose answer nobody remembers has failed', async () => {
    const provider = scriptedProvider({ mode, hasHistory: false, turns: [[tool('a')], [text('there')]] });
    const journal = new MemoryToolJournal();
    const first = await openBackendSession(providerBackend(provider, { handler: () => 'ok', journal }));
    await first.send('Look');
    const { events } = await goneOnWith({ provider, sessionId: first.sessionId ?? '' }, [known], { journal });
    expect(events.at(-1)).toMatchObject({ type: 'error', error: { kind: 'incomplete', retryable: false } });
    expect(provider.inputs).toHaveLength(2);
  });
});

test('options that cannot work are refused at once', () => {
  const provider = scriptedProvider({ mode: 'streaming' });
  expect(() => providerBackend(provider, { handler: () => '', maxTurns: 0 })).toThrow('expected a number above 0');
});
