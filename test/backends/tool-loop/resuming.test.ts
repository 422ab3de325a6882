/** Sessions that are taken up, and processes that die: what waits is done first, and no call is run twice. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  MemoryToolJournal,
  runSession,
  sessionToolJournal,
  type ToolJournal,
} from '../../../src/backends/tool-loop.js';
import { type ScriptedProviderTurn, scriptedProvider } from '../../../src/providers/scripted.js';
import { MemorySessionStore } from '../../../src/stores/memory.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { type Call, drop, modes, noting, stop, text, tool, wait } from '../../support/loop.js';
import { errorOf, Gate, quiet, stateOf } from '../../support/waiting.js';

/** A process that dies: what it still does reaches nobody. */
class Crash {
  readonly signal = new AbortController();
  isDead = false;

  /** Ends everything that is running, as if the process were gone. */
  now(): never {
    this.isDead = true;
    this.signal.abort('crash');
    throw new TypeError('crashed');
  }
}

const sessionId = 'theirs';

/** A session whose first process dies after its tools were handed back. */
async function leftWaiting(
  mode: 'streaming' | 'request_response',
  turns: readonly ScriptedProviderTurn[],
  journal: ToolJournal,
) {
  const provider = scriptedProvider({ mode, turns });
  const controller = new AbortController();
  const handler = () => {
    controller.abort();
    return new Promise(() => {});
  };
  await runSession(provider, { handler, sessionId, prompt: 'Hi', journal, signal: controller.signal });
  return provider;
}

describe.each(modes)('a session that is taken up (%s)', (mode) => {
  const provider = (turns: readonly ScriptedProviderTurn[] = []) => scriptedProvider({ mode, turns });

  test('has its waiting calls run first, then is asked', async () => {
    const calls: Call[] = [];
    const scripted = provider([[tool('a'), tool('b')], [text('answered')], [text('asked')]]);
    const stopped = await runSession(scripted, { handler: () => '', sessionId, prompt: 'Hi', maxTurns: 1 });
    expect(stopped).toMatchObject({ limit: 'max_turns', turns: 1 });
    const result = await runSession(scripted, { handler: noting(calls), sessionId, prompt: 'And?' });
    expect(result).toMatchObject({ terminal: 'end_turn', text: 'answered\nasked', turns: 2, sessionId });
    expect(calls.map(({ callId }) => callId)).toEqual(['a', 'b']);
    expect(scripted.inputs.map(({ type }) => type)).toEqual(['user', 'results', 'user']);
  });

  test('and asked nothing, with nothing to do, answers its last turn at once', async () => {
    const scripted = provider([[text('the answer')]]);
    await runSession(scripted, { handler: () => '', sessionId, prompt: 'Hi' });
    const again = await runSession(scripted, { handler: () => '', sessionId });
    expect(again).toMatchObject({ terminal: 'end_turn', text: 'the answer', turns: 0 });
    expect(scripted.inputs).toHaveLength(1);
    const unknown = await runSession(provider(), { handler: () => '', sessionId: 'never used' });
    expect(unknown).toMatchObject({ terminal: 'end_turn', stopReason: 'idle', text: '', turns: 0, events: [] });
  });

  test('in the middle of a turn is read to its end, nothing is lost, then it is asked', async () => {
    const gate = new Gate();
    const clock = new ManualClock();
    const scripted = provider([[text('one '), wait(gate.opened), text('two')], [text('three')]]);
    // The first process dies without a word: its request is never heard of again.
    void runSession(Object.create(scripted, { interrupt: { value: undefined } }), {
      handler: () => '',
      sessionId,
      prompt: 'Hi',
      clock,
    });
    await quiet();
    const result = runSession(scripted, { handler: () => '', sessionId, prompt: 'And?', clock });
    await quiet();
    gate.open();
    while ((await stateOf(result)) === 'pending') clock.advance(500);
    expect(await result).toMatchObject({ text: 'one two\nthree', turns: 2 });
    expect(scripted.inputs).toHaveLength(2);
  });

  test('is not in the middle of a turn for what may be said between two', async () => {
    const scripted = provider([[text('one'), stop('end_turn'), { type: 'aside' }], [text('two')]]);
    await runSession(scripted, { handler: () => '', sessionId, prompt: 'Hi' });
    expect(await runSession(scripted, { handler: () => '', sessionId })).toMatchObject({ text: 'one', turns: 0 });
    expect(await runSession(scripted, { handler: () => '', sessionId, prompt: 'And?' })).toMatchObject({ text: 'two' });
  });

  test('that has ended for good is told to have', async () => {
    const scripted = provider([[text('x'), stop('terminated', 'retries_exhausted')]]);
    await runSession(scripted, { handler: () => '', sessionId, prompt: 'Hi' });
    expect(await runSession(scripted, { handler: () => '', sessionId })).toMatchObject({
      terminal: 'terminated',
      stopReason: 'retries_exhausted',
    });
  });
});

describe.each(modes)('calls that were begun (%s)', (mode) => {
  const turns = [[tool('a')], [text('done')]];

  test('and did not finish are not run again, and the model is told so', async () => {
    const journal = new MemoryToolJournal();
    const scripted = await leftWaiting(mode, turns, journal);
    const calls: Call[] = [];
    const result = await runSession(scripted, { handler: noting(calls), sessionId, journal });
    expect(result.text).toBe('done');
    expect(calls).toEqual([]);
    expect(scripted.inputs.at(-1)).toMatchObject({
      type: 'results',
      results: [{ toolUseId: 'a', isError: true, text: expect.stringContaining('not run again') }],
    });
  });

  test('are run again where that is wanted', async () => {
    const journal = new MemoryToolJournal();
    const scripted = await leftWaiting(mode, turns, journal);
    const calls: Call[] = [];
    await runSession(scripted, { handler: noting(calls), sessionId, journal, unfinishedCalls: 'rerun' });
    expect(calls).toHaveLength(1);
  });

  test('and finished too late are answered with what they said', async () => {
    const journal = new MemoryToolJournal();
    const gate = new Gate();
    const controller = new AbortController();
    const scripted = scriptedProvider({ mode, turns });
    const handler = async () => {
      controller.abort();
      await gate.opened;
      return 'late';
    };
    await runSession(scripted, { handler, sessionId, prompt: 'Hi', journal, signal: controller.signal });
    gate.open();
    await quiet();
    await runSession(scripted, { handler: () => 'again', sessionId, journal });
    expect(scripted.inputs.at(-1)).toMatchObject({ results: [{ text: 'late', isError: false }] });
  });
});

test('without a history the journal knows what waits', async () => {
  const journal = new MemoryToolJournal();
  const scripted = scriptedProvider({
    mode: 'request_response',
    hasHistory: false,
    turns: [[tool('a'), tool('b')], [text('done')]],
  });
  const crash = new Crash();
  const failing: ToolJournal = {
    add: (...all) => journal.add(...all),
    begin: (...all) => journal.begin(...all),
    record: (...all) => journal.record(...all),
    sending: () => crash.now(),
    unsent: (...all) => journal.unsent(...all),
  };
  const calls: Call[] = [];
  await errorOf(runSession(scripted, { handler: noting(calls), sessionId, prompt: 'Hi', journal: failing }));
  const result = await runSession(scripted, { handler: noting(calls), sessionId, journal });
  expect(result.text).toBe('done');
  expect(calls.map(({ callId }) => callId)).toEqual(['a', 'b']);
  expect(scripted.inputs.at(-1)).toMatchObject({ results: [{ text: 'look_up done' }, { text: 'look_up done' }] });
});

describe('a process that dies anywhere', () => {
  const scenario = fc.array(
    fc.tuple(fc.integer({ min: 1, max: 4 }), fc.boolean()).map(([count, isLost]) => ({ count, isLost })),
    { minLength: 1, maxLength: 4 },
  );

  /** One process: every touch of its journal and of a tool is a place to die, before it has happened or after. */
  function mortalProcess(journal: ToolJournal, death: number, onRun: (callId: string) => void) {
    const crash = new Crash();
    let steps = 0;
    const mortal = async <T>(work: () => Promise<T>): Promise<T> => {
      if (crash.isDead || steps++ === death) return crash.now();
      const done = await work();
      if (crash.isDead || steps++ === death) return crash.now();
      return done;
    };
    const given: ToolJournal = {
      add: (...all) => mortal(() => journal.add(...all)),
      begin: (...all) => mortal(() => journal.begin(...all)),
      record: (...all) => mortal(() => journal.record(...all)),
      sending: (...all) => mortal(() => journal.sending(...all)),
      unsent: (...all) => mortal(() => journal.unsent(...all)),
    };
    const handler = (_name: string, _input: unknown, _context: unknown, { callId }: { callId: string }) =>
      mortal(async () => onRun(callId));
    return { handler, sessionId, journal: given, signal: crash.signal.signal, clock: new ManualClock() };
  }

  test.each(['memory', 'a store'])(
    'leaves no call that is run twice, and the next one brings the session to its end (%s)',
    async (where) => {
      const property = fc.asyncProperty(
        scenario,
        fc.constantFrom(...modes),
        fc.array(fc.nat(25), { maxLength: 4 }),
        async (shape, mode, deaths) => {
          const ids = shape.map(({ count }, turn) => Array.from({ length: count }, (_, index) => `${turn}.${index}`));
          const turns = ids.map((calls, turn) => [
            ...(shape[turn]?.isLost ? [drop()] : []),
            ...calls.map((id) => tool(id)),
          ]);
          const scripted = scriptedProvider({ mode, turns: [...turns, [text('done')]] });
          const memory = new MemoryToolJournal();
          const store = new MemorySessionStore();
          const ran: string[] = [];
          let prompt: { prompt?: string } = { prompt: 'Hi' };
          for (const death of [...deaths, Number.POSITIVE_INFINITY]) {
            const journal = where === 'memory' ? memory : sessionToolJournal(store);
            const process = mortalProcess(journal, death, (callId) => ran.push(callId));
            const result = await runSession(scripted, { ...process, ...prompt }).catch(() => undefined);
            prompt = {};
            if (result?.limit === undefined && result !== undefined) expect(result.terminal).toBe('end_turn');
          }
          expect(new Set(ran).size).toBe(ran.length);
          expect(scripted.remaining).toBe(0);
          // Each call was answered, and once.
          const answers = scripted.inputs.flatMap((input) =>
            input.type === 'results' ? input.results.map(({ toolUseId }) => toolUseId) : [],
          );
          expect([...answers].sort()).toEqual(ids.flat().sort());
        },
      );
      await fc.assert(property, { numRuns: 200 });
    },
  );
});
