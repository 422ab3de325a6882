import { describe, expect, test } from 'vitest';
import type { Backend, BackendEvent, ResultEvent } from '../../src/backends/backend.js';
import { BackendError } from '../../src/backends/backend-error.js';
import { failure } from '../../src/backends/failure.js';
import { runPrompt } from '../../src/backends/run-prompt.js';
import { type ScriptedStep, scriptedBackend } from '../../src/backends/scripted.js';
import { AgentFlowError } from '../../src/errors.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { Gate, quiet, stateOf } from '../support/waiting.js';

const text = (said: string): BackendEvent => ({ type: 'text', text: said });
const result = (more: Partial<ResultEvent> = {}): BackendEvent => ({ type: 'result', ...more });

/** A backend of events, whose sessions count what was folded into them. */
function counting(events: () => AsyncIterable<BackendEvent>): Backend<number> {
  return {
    name: 'counting',
    startSession: () => 0,
    prompt: (session) => ({ session: session + 1, events: events() }),
    updateSession: (session) => session + 10,
    terminateSession: () => {},
  };
}

async function* of(...events: BackendEvent[]): AsyncGenerator<BackendEvent> {
  yield* events;
}

async function run(...steps: ScriptedStep[]) {
  const backend = scriptedBackend({ turns: [steps] });
  return runPrompt(backend, await backend.startSession(), 'Hi');
}

describe('a response', () => {
  test('has the result’s text, else the texts one after another', async () => {
    expect((await run(text('a'), text('b'), result())).response.text).toBe('ab');
    expect((await run(text('a'), text('b'), result({ text: 'whole' }))).response.text).toBe('whole');
    expect((await run(text('a'), result({ text: '' }))).response.text).toBe('');
  });

  test('has its events in order, its usage summed, and the facts of the result', async () => {
    const events: BackendEvent[] = [
      { type: 'session', sessionId: 'first' },
      { type: 'usage', usage: { inputTokens: 3, outputTokens: 1, costUsd: 0.25 } },
      { type: 'session', sessionId: 'second' },
      { type: 'usage', usage: { outputTokens: 2, costUsd: 0.5 } },
      result({ numTurns: 2, stopReason: 'end_turn' }),
    ];
    const clock = new ManualClock();
    const { response, error } = await runPrompt(
      counting(() => of(...events)),
      0,
      'Hi',
      { clock },
    );
    expect(error).toBeUndefined();
    expect(response).toEqual({
      text: '',
      events,
      usage: { inputTokens: 3, outputTokens: 3, costUsd: 0.75 },
      durationMs: 0,
      sessionId: 'second',
      costUsd: 0.75,
      numTurns: 2,
      stopReason: 'end_turn',
      isError: false,
    });
    const own = await run({ type: 'session', sessionId: 'x' }, result({ sessionId: 'of the result', costUsd: 2 }));
    expect(own.response).toMatchObject({ sessionId: 'of the result', costUsd: 2, usage: undefined });
  });

  test('tells how long it took', async () => {
    const clock = new ManualClock();
    const gate = new Gate();
    const backend = scriptedBackend({ turns: [[gate.opened, result()]] });
    const turn = runPrompt(backend, await backend.startSession(), 'Hi', { clock });
    await quiet();
    clock.advance(1_234);
    gate.open();
    expect((await turn).response.durationMs).toBe(1_234);
  });

  test('keeps so many events, and says how many it does not', async () => {
    const many = Array.from({ length: 100 }, (_, index) => text(`${index},`));
    const backend = scriptedBackend({ turns: [[...many, { type: 'usage', usage: { inputTokens: 1 } }, result()]] });
    const { response } = await runPrompt(backend, await backend.startSession(), 'Hi', { maxEvents: 10 });
    expect(response.events).toEqual(many.slice(0, 10));
    expect(response).toMatchObject({ omittedEvents: 92, usage: { inputTokens: 1 } });
    expect(response.text).toBe(many.map((event) => (event.type === 'text' ? event.text : '')).join(''));
  });
});

describe('the terminal', () => {
  test('ends the reading: what comes after it is not asked for, and the backend may clean up', async () => {
    let asked = 0;
    let cleaned = false;
    async function* events(): AsyncGenerator<BackendEvent> {
      try {
        for (const event of [text('a'), result(), text('b'), result()]) {
          asked += 1;
          yield event;
        }
      } finally {
        cleaned = true;
      }
    }
    const { response } = await runPrompt(counting(events), 0, 'Hi');
    expect([asked, cleaned, response.text]).toEqual([2, true, 'a']);
  });

  test('that is missing is an error of its own', async () => {
    const { error, response } = await run(text('half'));
    expect(error).toBeInstanceOf(BackendError);
    expect(error).toMatchObject({
      code: 'BACKEND_NO_TERMINAL',
      kind: 'protocol',
      retryable: true,
      status: 'DATA_LOSS',
    });
    expect(response).toMatchObject({ text: 'half', isError: true });
    expect(error).toHaveProperty('response', response);
  });

  test('that is an error fails the turn with all it says', async () => {
    const raw = { body: 'secret' };
    const told = failure('vendor', 'rate_limit', 'slow down', { status: 429, retryAfterMs: 2_000, raw });
    const { error, response } = await run(text('so far'), { type: 'error', error: told });
    expect(error).toMatchObject({
      code: 'BACKEND_FAILED',
      status: 'RESOURCE_EXHAUSTED',
      message: 'slow down',
      kind: 'rate_limit',
      retryable: true,
      retryAfterMs: 2_000,
      failure: told,
      details: { provider: 'vendor', kind: 'rate_limit', retryable: true, httpStatus: 429, retryAfterMs: 2_000 },
    });
    expect(JSON.stringify(error)).not.toContain('secret');
    expect(response).toMatchObject({ text: 'so far', isError: true });
  });

  test('that is a result marked as an error is a failure', async () => {
    const { error, response } = await run(result({ isError: true, stopReason: 'error_max_turns', costUsd: 1 }));
    expect(error).toMatchObject({ code: 'BACKEND_FAILED', message: expect.stringContaining('error_max_turns') });
    expect(response).toMatchObject({ isError: true, costUsd: 1, stopReason: 'error_max_turns' });
  });
});

describe('the session', () => {
  test('is the one the prompt returned, folded once, and only on a result', async () => {
    expect(
      (
        await runPrompt(
          counting(() => of(result())),
          0,
          'x',
        )
      ).session,
    ).toBe(11);
    expect(
      (
        await runPrompt(
          counting(() => of(text('a'))),
          0,
          'x',
        )
      ).session,
    ).toBe(1);
    expect(
      (
        await runPrompt(
          counting(() => of(result({ isError: true }))),
          0,
          'x',
        )
      ).session,
    ).toBe(1);
    const error: BackendEvent = { type: 'error', error: failure('x', 'server', 'no') };
    expect(
      (
        await runPrompt(
          counting(() => of(error)),
          0,
          'x',
        )
      ).session,
    ).toBe(1);
  });

  test('is the old one when the turn could not begin', async () => {
    const backend: Backend<number> = {
      ...counting(() => of(result())),
      prompt() {
        throw Object.assign(new TypeError('down'), { code: 'ECONNREFUSED' });
      },
    };
    const { session, error } = await runPrompt(backend, 0, 'x');
    expect(session).toBe(0);
    expect(error).toMatchObject({ kind: 'network', retryable: true, failure: { provider: 'counting' } });
  });

  test('a fold that throws fails the turn', async () => {
    const backend: Backend<number> = {
      ...counting(() => of(result())),
      updateSession: async () => {
        throw new RangeError('no room');
      },
    };
    const { session, error } = await runPrompt(backend, 0, 'x');
    expect([session, error?.message]).toEqual([1, 'no room']);
  });

  test('a method of the backend keeps its this', async () => {
    class Own implements Backend<number> {
      readonly name = 'own';
      readonly #step = 5;
      startSession = () => 0;
      terminateSession = () => {};
      prompt(session: number) {
        return { session, events: of(result()) };
      }
      updateSession(session: number) {
        return session + this.#step;
      }
    }
    expect((await runPrompt(new Own(), 0, 'x')).session).toBe(5);
  });
});

describe('whoever is told the events', () => {
  test('gets each, the terminal one too, before the next is read', async () => {
    const gates = [new Gate(), new Gate()];
    const seen: string[] = [];
    const turn = runPrompt(
      counting(() => of(text('a'), result())),
      0,
      'x',
      {
        async onEvent({ type }) {
          seen.push(type);
          await gates[seen.length - 1]?.opened;
        },
      },
    );
    await quiet();
    expect(seen).toEqual(['text']);
    gates[0]?.open();
    await quiet();
    expect(seen).toEqual(['text', 'result']);
    expect(await stateOf(turn)).toBe('pending');
    gates[1]?.open();
    expect((await turn).session).toBe(11);
  });

  test('and throws ends the turn with its own error, and the work', async () => {
    let cleaned = false;
    async function* events(): AsyncGenerator<BackendEvent> {
      try {
        yield text('a');
        await new Promise(() => {});
      } finally {
        cleaned = true;
      }
    }
    const own = new AgentFlowError('TURN_INTERRUPTED', 'cut short');
    const onEvent = () => {
      throw own;
    };
    const { error, response, session } = await runPrompt(counting(events), 0, 'x', { onEvent });
    expect(error).toBe(own);
    expect([response.text, response.isError, session, cleaned]).toEqual(['a', true, 1, true]);
  });
});

describe('a signal', () => {
  test('that has fired asks nothing', async () => {
    const backend = scriptedBackend({ turns: ['x'] });
    const { error } = await runPrompt(backend, await backend.startSession(), 'x', {
      signal: AbortSignal.abort('before'),
    });
    expect(error).toMatchObject({ code: 'BACKEND_CANCELLED', status: 'CANCELLED', cause: 'before', retryable: false });
    expect(backend.prompts).toEqual([]);
  });

  test.each<[string, (signal: AbortSignal) => AsyncGenerator<BackendEvent>]>([
    [
      'that is not heeded',
      async function* () {
        yield text('a');
        await new Promise(() => {});
      },
    ],
    [
      'that is told as something else',
      async function* (signal) {
        yield text('a');
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        yield { type: 'error', error: failure('x', 'network', 'socket hang up', { retryable: true }) };
      },
    ],
    [
      'that ends the events without a word',
      async function* (signal) {
        yield text('a');
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    ],
  ])('%s is a cancellation all the same', async (_, events) => {
    const controller = new AbortController();
    const backend: Backend<number> = {
      ...counting(() => of()),
      prompt: (session, _prompt, { signal }) => ({ session: session + 1, events: events(signal) }),
    };
    const turn = runPrompt(backend, 0, 'x', { signal: controller.signal });
    await quiet();
    controller.abort('enough');
    const { error, response, session } = await turn;
    expect(error).toMatchObject({ code: 'BACKEND_CANCELLED', cause: 'enough', retryable: false });
    expect([response.text, session]).toEqual(['a', 1]);
  });

  test('does not wait for a turn that does not begin; what begins too late is left', async () => {
    const gate = new Gate();
    let left = false;
    const backend: Backend<number> = {
      ...counting(() => of()),
      async prompt(session) {
        await gate.opened;
        const events = {
          next: async () => ({ value: undefined, done: true as const }),
          return: async () => {
            left = true;
            return { value: undefined, done: true as const };
          },
        };
        return { session, events: { [Symbol.asyncIterator]: () => events } };
      },
    };
    const controller = new AbortController();
    const turn = runPrompt(backend, 0, 'x', { signal: controller.signal });
    await quiet();
    controller.abort();
    expect((await turn).error).toMatchObject({ code: 'BACKEND_CANCELLED' });
    gate.open();
    await quiet();
    expect(left).toBe(true);
  });
});
