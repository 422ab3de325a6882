/** The loop over both kinds of provider: what holds for one holds for the other. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BackendError } from '../../src/backends/backend-error.js';
import { type LoopOptions, type MemoryToolJournal, runSession, type ToolObject } from '../../src/backends/tool-loop.js';
import {
  type ScriptedProviderOptions,
  type ScriptedProviderStep,
  type ScriptedProviderTurn,
  scriptedProvider,
} from '../../src/providers/scripted.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { type Call, comparable, drop, modes, noting, stop, text, tool, usage, wait } from '../support/loop.js';
import { errorOf, Gate, quiet, stateOf } from '../support/waiting.js';

describe.each(modes)('runSession (%s)', (mode) => {
  const provider = (options: Omit<ScriptedProviderOptions, 'mode'> = {}) => scriptedProvider({ mode, ...options });
  const run = (turns: readonly ScriptedProviderTurn[], options: Partial<LoopOptions> = {}) =>
    runSession(provider({ turns }), { handler: () => 'ok', prompt: 'Hi', ...options });

  describe('the loop', () => {
    test('runs what is handed back, resumes, and is done at the end of a turn', async () => {
      const calls: Call[] = [];
      const scripted = provider({
        turns: [
          [text('Let me '), text('see.'), tool('a', 'look_up', { word: 'tea' }), usage(5, 2)],
          [text('A drink.'), usage(7, 3)],
        ],
      });
      const result = await runSession(scripted, { handler: noting(calls), prompt: 'What is tea?' });
      expect(result).toMatchObject({
        terminal: 'end_turn',
        stopReason: 'end_turn',
        text: 'Let me see.\nA drink.',
        finalText: 'A drink.',
        toolUses: [{ id: 'a', name: 'look_up', input: { word: 'tea' } }],
        serverToolUses: [],
        usage: { inputTokens: 12, outputTokens: 5 },
        turns: 2,
        sessionId: scripted.opened[0]?.id,
      });
      expect(result.limit).toBeUndefined();
      expect(result.error).toBeUndefined();
      expect(calls).toEqual([{ name: 'look_up', input: { word: 'tea' }, callId: 'a' }]);
      expect(scripted.inputs).toEqual([
        { type: 'user', prompt: 'What is tea?' },
        { type: 'results', results: [{ toolUseId: 'a', name: 'look_up', text: 'look_up done', isError: false }] },
      ]);
    });

    test('keeps the raw events as they came, all of them', async () => {
      const scripted = provider({ turns: [[tool('a')], [text('x')]] });
      const seen: unknown[] = [];
      const handler: ToolObject = { handleToolCall: () => 'ok', handleEvent: (event) => void seen.push(event) };
      const { events } = await runSession(scripted, { handler, prompt: 'Hi' });
      const types = ['user', 'tool', 'stop', 'results', 'text', 'stop'];
      expect(events.map((event) => (event as { type: string }).type)).toEqual(types);
      expect(seen).toHaveLength(events.length);
      for (const [index, event] of events.entries()) expect(seen[index]).toBe(event);
    });

    test('begins a new session that is asked nothing', async () => {
      const scripted = provider({ turns: [[text('x')]] });
      await runSession(scripted, { handler: () => '', system: 'Be kind.' });
      expect(scripted.inputs).toEqual([{ type: 'user', prompt: 'Begin.' }]);
      expect(scripted.opened[0]?.options).toEqual({ system: 'Be kind.' });
    });

    test.each([
      ['max_tokens', 'terminated'],
      ['retries_exhausted', 'terminated'],
      ['satisfied', 'end_turn'],
    ] as const)('keeps the vendor’s own word for the end: %s', async (reason, terminal) => {
      const result = await run([[text('half'), stop(terminal, reason)]]);
      expect(result).toMatchObject({ terminal, stopReason: reason, text: 'half', turns: 1 });
      expect(result.limit).toBeUndefined();
    });

    test('ends where somebody else has to act', async () => {
      const result = await run([[stop('requires_action', 'tool_confirmation')]]);
      expect(result).toMatchObject({ terminal: 'requires_action', stopReason: 'tool_confirmation', turns: 1 });
    });

    test('tells what the provider ran itself, and does not run it', async () => {
      const calls: Call[] = [];
      const server: ScriptedProviderStep = { type: 'server_tool', id: 's', name: 'search', input: 'x' };
      const { serverToolUses } = await run([[server, text('found')]], { handler: noting(calls) });
      expect(serverToolUses).toEqual([{ id: 's', name: 'search', input: 'x' }]);
      expect(calls).toEqual([]);
    });

    test('refuses options that cannot work, before anything is opened', async () => {
      const scripted = provider();
      for (const bad of [
        { maxTurns: 0 },
        { timeoutMs: 0 },
        { timeoutMs: Number.NaN },
        { toolTimeoutMs: -1 },
        { maxTokens: Number.NaN },
        { maxReprompts: -1 },
        { maxReconnects: 1.5 },
        { handler: {} as never },
      ]) {
        const error = await errorOf(runSession(scripted, { handler: () => '', ...bad }));
        expect(error).toMatchObject({ code: 'INVALID_VALUE', kind: 'option' });
      }
      expect(scripted.opened).toEqual([]);
    });

    test('says why a session could not be opened', async () => {
      const openError = Object.assign(new TypeError('no such agent'), { status: 404 });
      const error = await errorOf(runSession(provider({ openError }), { handler: () => '' }));
      expect(error).toBeInstanceOf(BackendError);
      expect(error).toMatchObject({
        kind: 'not_found',
        retryable: false,
        failure: { provider: 'scripted', status: 404 },
      });
    });
  });

  describe('tools', () => {
    const ids = (count: number) => Array.from({ length: count }, (_, index) => `c${index}`);
    const results = (scripted: ReturnType<typeof provider>, at = 1) => {
      const input = scripted.inputs[at];
      return input?.type === 'results' ? input.results : [];
    };

    test('get name, input, context and session', async () => {
      const seen: unknown[][] = [];
      const handler: ToolObject<{ user: string }> = {
        handleToolCall: (...all) => {
          seen.push(all);
        },
      };
      const scripted = provider({ turns: [[tool('a', 'f', [1])]] });
      const context = { user: 'ada' };
      await runSession(scripted, { handler, context, metadata: { trace: 7 } });
      const [name, input, given, info] = seen[0] ?? [];
      expect([name, input]).toEqual(['f', [1]]);
      expect(given).toBe(context);
      expect(info).toEqual({
        sessionId: scripted.opened[0]?.id,
        provider: 'scripted',
        metadata: { trace: 7 },
        callId: 'a',
        signal: expect.any(AbortSignal),
      });
      expect(results(scripted)[0]?.text).toBe('');
    });

    test('run at most eight at once, and their results keep the order of the calls', async () => {
      const gates = new Map(ids(20).map((id) => [id, new Gate()]));
      let running = 0;
      let most = 0;
      const handler = async (_name: string, _input: unknown, _context: unknown, { callId }: { callId: string }) => {
        running += 1;
        most = Math.max(most, running);
        await gates.get(callId)?.opened;
        running -= 1;
        return callId;
      };
      const scripted = provider({ turns: [ids(20).map((id) => tool(id))] });
      const result = runSession(scripted, { handler });
      await quiet();
      expect(running).toBe(8);
      for (const id of ids(20).reverse()) {
        gates.get(id)?.open();
        await quiet();
      }
      await result;
      expect(most).toBe(8);
      expect(results(scripted).map((one) => one.text)).toEqual(ids(20));
    });

    test('that throw are results too', async () => {
      const scripted = provider({ turns: [['a', 'b', 'c', 'd', 'e'].map((id) => tool(id, id))] });
      const handler = async (name: string) => {
        if (name === 'a') throw new RangeError('too far');
        if (name === 'b') throw 'just text';
        if (name === 'c') return 10n;
        if (name === 'd') return { n: 1 };
        return null;
      };
      const { terminal } = await runSession(scripted, { handler });
      expect(terminal).toBe('end_turn');
      expect(results(scripted).map(({ text: said, isError }) => [said, isError])).toEqual([
        ['RangeError: too far', true],
        ['just text', true],
        [expect.stringContaining('BigInt'), true],
        ['{"n":1}', false],
        ['null', false],
      ]);
    });

    test('that are called twice under one id run once', async () => {
      const calls: Call[] = [];
      const scripted = provider({ turns: [[tool('a'), tool('a'), tool('b')], [tool('a')], [text('done')]] });
      const result = await runSession(scripted, { handler: noting(calls, ({ callId }) => `ran ${callId}`) });
      expect(result.terminal).toBe('end_turn');
      expect(calls.map(({ callId }) => callId)).toEqual(['a', 'b']);
      expect(results(scripted).map(({ toolUseId }) => toolUseId)).toEqual(['a', 'b']);
      expect(results(scripted, 2)).toEqual([{ toolUseId: 'a', name: 'look_up', text: 'ran a', isError: false }]);
    });

    test('that take too long are an error for the model, and are told so', async () => {
      const clock = new ManualClock();
      const scripted = provider({ turns: [[tool('a'), tool('b')], [text('never mind')]] });
      const signals: AbortSignal[] = [];
      const handler = (
        _name: string,
        _input: unknown,
        _context: unknown,
        info: { callId: string; signal: AbortSignal },
      ) => {
        signals.push(info.signal);
        return info.callId === 'a' ? new Promise(() => {}) : 'quick';
      };
      const result = runSession(scripted, { handler, toolTimeoutMs: 100, clock });
      await quiet();
      expect(await stateOf(result)).toBe('pending');
      clock.advance(100);
      expect((await result).text).toBe('never mind');
      expect(results(scripted)).toMatchObject([
        { text: 'The tool did not answer within 100 ms', isError: true },
        { text: 'quick', isError: false },
      ]);
      expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    });

    test('that throw while they look at events change nothing', async () => {
      const handler: ToolObject = {
        handleToolCall: () => 'ok',
        handleEvent() {
          throw new Error('look away');
        },
      };
      expect((await run([[tool('a')], [text('fine')]], { handler })).text).toBe('fine');
    });
  });

  describe('limits', () => {
    test('turns: what the last one asks for is not run', async () => {
      const calls: Call[] = [];
      const scripted = provider({ turns: ['a', 'b', 'c', 'd'].map((id) => [text(id), tool(id)]) });
      const result = await runSession(scripted, { handler: noting(calls), maxTurns: 2 });
      expect(result).toMatchObject({ terminal: 'terminated', stopReason: 'max_turns', limit: 'max_turns', turns: 2 });
      expect(result.text).toBe('a\nb');
      expect(calls).toHaveLength(1);
      expect(scripted.remaining).toBe(2);
    });

    test('as many turns as allowed are no breach', async () => {
      expect(await run([[tool('a')], [text('done')]], { maxTurns: 2 })).toMatchObject({
        terminal: 'end_turn',
        turns: 2,
      });
    });

    test('time: the work on the other side is ended too', async () => {
      const clock = new ManualClock();
      const scripted = provider({ turns: [[text('so far'), usage(3), wait(new Gate().opened)]] });
      const result = runSession(scripted, { handler: () => '', timeoutMs: 1_000, clock });
      await quiet();
      clock.advance(999);
      expect(await stateOf(result)).toBe('pending');
      clock.advance(1);
      expect(await result).toMatchObject({
        terminal: 'terminated',
        stopReason: 'timeout',
        limit: 'timeout',
        text: 'so far',
        usage: { inputTokens: 3 },
        turns: 0,
        durationMs: 1_000,
      });
      expect(scripted.interrupts).toBe(1);
      expect(scripted.active).toBe(0);
    });

    test('time: a tool is waited for no longer than that, and told', async () => {
      const clock = new ManualClock();
      let told: AbortSignal | undefined;
      const result = run([[tool('a')]], {
        clock,
        timeoutMs: 50,
        handler: (_name, _input, _context, { signal }) => {
          told = signal;
          return new Promise(() => {});
        },
      });
      await quiet();
      clock.advance(50);
      expect(await result).toMatchObject({ limit: 'timeout', turns: 1 });
      expect(told?.aborted).toBe(true);
    });

    test('tokens, in the middle of a turn', async () => {
      const scripted = provider({
        turns: [
          [usage(40, 10), text('a'), tool('t')],
          [usage(30), text('b'), usage(30), text('c'), wait(new Gate().opened)],
        ],
      });
      const result = await runSession(scripted, { handler: () => '', maxTokens: 100 });
      expect(result).toMatchObject({
        stopReason: 'token_budget',
        limit: 'token_budget',
        detail: { tokens: 110, maxTokens: 100 },
        text: 'a\nb',
        usage: { inputTokens: 100, outputTokens: 10 },
        turns: 1,
      });
      expect(scripted.interrupts).toBe(1);
      expect(scripted.active).toBe(0);
    });

    test('money, by the price of usage', async () => {
      const turns = [[usage(10), tool('a')], [usage(10), tool('b')], [usage(10)]];
      const price = ({ inputTokens = 0 }) => inputTokens / 100;
      expect(await run(turns, { maxCostUsd: 0.25, price })).toMatchObject({
        limit: 'cost_budget',
        detail: { costUsd: 0.3, maxCostUsd: 0.25 },
        costUsd: 0.3,
      });
      expect(await run(turns, { maxCostUsd: 0.3, price })).toMatchObject({ terminal: 'end_turn', costUsd: 0.3 });
    });

    test('money, as the provider tells it', async () => {
      const cost = (costUsd: number): ScriptedProviderStep => ({ type: 'usage', usage: { costUsd } });
      const result = await run(
        [
          [cost(1), tool('a')],
          [cost(2), text('late')],
        ],
        { maxCostUsd: 2.5 },
      );
      expect(result).toMatchObject({ limit: 'cost_budget', costUsd: 3, usage: { costUsd: 3 } });
    });

    test('a guard: asked after every turn, before its tools are run', async () => {
      const facts: unknown[] = [];
      const calls: Call[] = [];
      const result = await run(
        [
          [usage(1), tool('a')],
          [usage(2), tool('b')],
        ],
        {
          handler: noting(calls),
          turnGuard: (told) => {
            facts.push(told);
            return told.turns === 2 ? 'seen enough' : undefined;
          },
        },
      );
      expect(result).toMatchObject({ limit: 'turn_guard', detail: 'seen enough', turns: 2 });
      expect(calls).toHaveLength(1);
      expect(facts).toMatchObject([
        { turns: 1, usage: { inputTokens: 1 } },
        { turns: 2, usage: { inputTokens: 3 }, sessionId: result.sessionId },
      ]);
    });

    test('a guard goes before the number of turns', async () => {
      const guarded = { maxTurns: 1, turnGuard: () => 'first' };
      expect(await run([[tool('a')]], guarded)).toMatchObject({ limit: 'turn_guard', detail: 'first' });
    });

    test('a guard that throws stops the request, and only that', async () => {
      const error = new RangeError('confused');
      const turnGuard = () => {
        throw error;
      };
      expect(await run([[tool('a')]], { turnGuard })).toMatchObject({ limit: 'turn_guard', detail: error });
      const later = (async () => 'later') as never;
      expect(await errorOf(run([[tool('a')]], { turnGuard: later }))).toMatchObject({ code: 'INVALID_VALUE' });
    });

    test('a terminal tool: the model is reminded of it, so often and no more', async () => {
      const scripted = provider({ turns: [[text('a')], [text('b')], [tool('t', 'submit')], [text('c')]] });
      const result = await runSession(scripted, { handler: () => '', terminalTool: 'submit' });
      expect(result).toMatchObject({ terminal: 'end_turn', stopReason: 'end_turn', turns: 4 });
      expect(scripted.inputs.filter(({ type }) => type === 'user')).toHaveLength(3);
      expect(scripted.inputs[1]).toEqual({ type: 'user', prompt: expect.stringContaining('without calling submit') });
      const never = await run([[text('a')], [text('b')], [text('c')], [text('d')]], { terminalTool: 'submit' });
      expect(never).toMatchObject({
        terminal: 'end_turn',
        stopReason: 'no_terminal_tool',
        limit: 'no_terminal_tool',
        turns: 3,
      });
      const tried = [[tool('x', 'submit')], [text('a')], [text('b')]];
      const failing = { handler: () => Promise.reject(new Error('no')), terminalTool: 'submit', maxReprompts: 1 };
      expect(await run(tried, failing)).toMatchObject({ limit: 'no_terminal_tool', turns: 3 });
      expect(await run([[text('a')]], { terminalTool: 'submit', maxReprompts: 0 })).toMatchObject({ turns: 1 });
    });

    test('a signal interrupts', async () => {
      const controller = new AbortController();
      const scripted = provider({ turns: [[text('a'), wait(new Gate().opened)]] });
      const result = runSession(scripted, { handler: () => '', signal: controller.signal });
      await quiet();
      controller.abort('enough');
      expect(await result).toMatchObject({ limit: 'interrupted', detail: 'enough', text: 'a' });
      expect(scripted.active).toBe(0);
    });

    test('a signal that has fired opens nothing', async () => {
      const scripted = provider();
      const error = await errorOf(runSession(scripted, { handler: () => '', signal: AbortSignal.abort('before') }));
      expect(error).toMatchObject({ code: 'BACKEND_CANCELLED', cause: 'before' });
      expect(scripted.opened).toEqual([]);
    });
  });

  describe('a journal that fails', () => {
    const failing = (method: keyof MemoryToolJournal) => ({
      add: async () => {},
      begin: async () => ({ isFirst: true }),
      record: async () => {},
      sending: async () => {},
      unsent: async () => [],
      [method]: async () => {
        throw new TypeError('disk full');
      },
    });

    test.each(['add', 'begin', 'record', 'sending'] as const)(
      'at %s: nothing is sent that is not recorded',
      async (method) => {
        const scripted = provider({ turns: [[tool('a')], [text('never')]] });
        const error = await errorOf(runSession(scripted, { handler: () => 'ok', journal: failing(method) }));
        expect(error).toMatchObject({ message: 'disk full' });
        expect(scripted.inputs).toHaveLength(1);
      },
    );
  });
});

describe('one scenario, two modes', () => {
  const step = fc.oneof(
    fc.string().map(text),
    fc.tuple(fc.nat(9), fc.nat(9)).map(([input, output]) => usage(input, output)),
    fc
      .tuple(fc.uuid(), fc.constantFrom('f', 'g', 'fails'), fc.jsonValue())
      .map(([id, name, input]) => tool(id, name, input)),
    fc.uuid().map((id): ScriptedProviderStep => ({ type: 'server_tool', id, name: 'search' })),
  );
  const scenario = fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 5 });
  const options = fc.record(
    {
      maxTurns: fc.integer({ min: 1, max: 5 }),
      maxTokens: fc.integer({ min: 1, max: 60 }),
      terminalTool: fc.constantFrom('f', 'fails'),
    },
    { requiredKeys: [] },
  );
  const handler = async (name: string, input: unknown) => {
    if (name === 'fails') throw new Error('as asked');
    return { name, input };
  };

  const play = async (
    mode: (typeof modes)[number],
    turns: readonly ScriptedProviderTurn[],
    given: Partial<LoopOptions> = {},
  ) => {
    const scripted = scriptedProvider({ mode, turns });
    const result = await runSession(scripted, { handler, prompt: 'Hi', ...given });
    return { result: comparable(result), inputs: scripted.inputs };
  };

  test('give equal results, limits included', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, options, async (turns, given) => {
        expect(await play('streaming', turns, given)).toEqual(await play('request_response', turns, given));
      }),
    );
  });

  test('and equal ones wherever the connection is lost, however often', async () => {
    const clock = new ManualClock();
    const lossy = scenario.chain((turns) =>
      fc.tuple(
        fc.constant(turns),
        fc.array(fc.array(fc.option(fc.constantFrom('end', 'error')), { maxLength: 6 }), { maxLength: 5 }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(lossy, fc.constantFrom(...modes), async ([turns, losses], mode) => {
        const lossAt = (turn: number, at: number) => {
          const how = losses[turn]?.[at];
          return how === undefined || how === null ? [] : [drop(how)];
        };
        const dropped = turns.map((steps, turn) => [
          ...steps.flatMap((one, at) => [...lossAt(turn, at), one]),
          ...lossAt(turn, steps.length),
        ]);
        expect(await play(mode, dropped, { clock })).toEqual(await play(mode, turns));
      }),
    );
  });
});
