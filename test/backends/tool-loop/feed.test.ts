/** Connections that are lost, inputs that may not have arrived: what is taken up again, and what is not tried twice. */
import { describe, expect, test } from 'vitest';
import { runSession, startSession } from '../../../src/backends/tool-loop.js';
import { scriptedProvider } from '../../../src/providers/scripted.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { type Call, drop, modes, noting, text, tool, usage, wait } from '../../support/loop.js';
import { errorOf, Gate, quiet, stateOf } from '../../support/waiting.js';

const handler = () => 'ok';
const reset = () => Object.assign(new TypeError('reset'), { code: 'ECONNRESET' });

/** Moves time on until the promise settles. */
async function inTheEnd<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  while ((await stateOf(work)) === 'pending') clock.advance(1_000);
  return work;
}

describe.each(modes)('a connection that is lost (%s)', (mode) => {
  test('after the end of the turn, unseen: the end is told all the same', async () => {
    const provider = scriptedProvider({ mode, turns: [[text('a'), drop(), text('b'), usage(3)]] });
    expect(await runSession(provider, { handler })).toMatchObject({
      terminal: 'end_turn',
      text: 'ab',
      usage: { inputTokens: 3 },
    });
  });

  test('before a call is handed back: it is run once', async () => {
    const calls: Call[] = [];
    const provider = scriptedProvider({ mode, turns: [[drop('error'), tool('a'), drop(), tool('b')], [text('done')]] });
    expect((await runSession(provider, { handler: noting(calls) })).text).toBe('done');
    expect(calls.map(({ callId }) => callId)).toEqual(['a', 'b']);
  });

  test('while the provider still thinks: it is waited for', async () => {
    const clock = new ManualClock();
    const gate = new Gate();
    const provider = scriptedProvider({ mode, turns: [[text('a'), drop(), wait(gate.opened), text('b')]] });
    const result = runSession(provider, { handler, clock });
    await quiet();
    expect(await stateOf(result)).toBe('pending');
    gate.open();
    expect((await inTheEnd(clock, result)).text).toBe('ab');
  });

  test('is an error when the provider cannot say what was missed', async () => {
    const provider = scriptedProvider({ mode, hasHistory: false, turns: [[text('a'), drop('end'), text('b')]] });
    expect(await errorOf(runSession(provider, { handler }))).toMatchObject({
      code: 'BACKEND_FAILED',
      kind: 'network',
      retryable: true,
    });
  });
});

describe('streams', () => {
  test('are connected before anything is sent, and kept from turn to turn', async () => {
    const provider = scriptedProvider({ mode: 'streaming', turns: [[tool('a')], [tool('b')], [text('done')]] });
    await runSession(provider, { handler });
    expect(provider.connections).toBe(1);
  });

  test('that cannot be connected are tried again, later and later, and not for ever', async () => {
    const clock = new ManualClock();
    const provider = scriptedProvider({
      mode: 'streaming',
      connects: [undefined, ...Array.from({ length: 20 }, reset)],
      turns: [[text('a'), drop(), text('b')]],
    });
    const session = await startSession(provider, { handler, clock, maxReconnects: 4, timeoutMs: 10_000_000 });
    const result = session.message('Hi');
    const connections: number[] = [];
    for (const ms of [0, 499, 1, 999, 1, 1_999, 1]) {
      clock.advance(ms);
      await quiet();
      connections.push(provider.connections);
    }
    expect(connections).toEqual([2, 2, 3, 3, 4, 4, 5]);
    expect(await errorOf(result)).toMatchObject({ kind: 'network', message: 'reset' });
  });

  test('that cannot be connected at first are tried again too, before anything is sent', async () => {
    const clock = new ManualClock();
    const busy = () => Object.assign(new TypeError('busy'), { status: 503 });
    const connecting = async (failures: number, maxReconnects: number, sessionId?: string) => {
      const connects = Array.from({ length: failures }, busy);
      const provider = scriptedProvider({ mode: 'streaming', connects, turns: [[text('a')]] });
      const own = sessionId === undefined ? {} : { sessionId };
      const result = runSession(provider, { handler, prompt: 'Hi', clock, maxReconnects, ...own });
      result.catch(() => {});
      while ((await stateOf(result)) === 'pending') clock.advance(500);
      return { provider, result };
    };
    for (const sessionId of [undefined, 'theirs']) {
      const { provider, result } = await connecting(2, 3, sessionId);
      expect((await result).text).toBe('a');
      expect([provider.connections, provider.inputs.length]).toEqual([3, 1]);
    }
    const { provider, result } = await connecting(9, 3);
    expect(await errorOf(result)).toMatchObject({ kind: 'overloaded', failure: { status: 503 } });
    expect([provider.connections, provider.inputs.length]).toEqual([3, 0]);
    const impatient = await connecting(1, 0);
    expect(await errorOf(impatient.result)).toMatchObject({ kind: 'overloaded' });
    expect(impatient.provider.connections).toBe(1);
  });

  test('that could not be connected are tried as patiently for the next message', async () => {
    const clock = new ManualClock();
    const connects = [undefined, reset(), reset(), reset(), reset()];
    const provider = scriptedProvider({ mode: 'streaming', connects, turns: [[text('a'), drop()], [text('b')]] });
    const session = await startSession(provider, { handler, clock, maxReconnects: 3 });
    expect(await errorOf(inTheEnd(clock, session.message('one')))).toMatchObject({ kind: 'network' });
    expect(await inTheEnd(clock, session.message('two'))).toMatchObject({ text: 'b' });
    await session.close();
  });

  test('are tried again as often as something new comes from them', async () => {
    const clock = new ManualClock();
    const steps = Array.from({ length: 50 }, (_, index) => [
      text(`${index} `),
      drop(index % 2 ? 'end' : 'error'),
    ]).flat();
    const provider = scriptedProvider({ mode: 'streaming', turns: [steps] });
    const { text: said } = await runSession(provider, { handler, clock, maxReconnects: 1 });
    expect(said.split(' ').filter(Boolean)).toHaveLength(50);
  });

  test('that are refused for good are not tried again', async () => {
    const gone = Object.assign(new TypeError('gone'), { status: 401 });
    const provider = scriptedProvider({
      mode: 'streaming',
      connects: [undefined, gone],
      turns: [[text('a'), drop(), wait(new Gate().opened)]],
    });
    expect(await errorOf(runSession(provider, { handler }))).toMatchObject({ kind: 'authentication' });
    expect(provider.connections).toBe(2);
  });

  test('that are lost between two turns are noticed, and nothing is missed', async () => {
    const gate = new Gate();
    const provider = scriptedProvider({ mode: 'streaming', turns: [[tool('a'), drop('error')], [text('x')]] });
    const result = runSession(provider, {
      handler: async () => {
        await gate.opened;
        return 'ok';
      },
    });
    await quiet();
    gate.open();
    expect(await result).toMatchObject({ terminal: 'end_turn', text: 'x', turns: 2 });
  });
});

describe('an input whose sending failed', () => {
  const turns = [[tool('a')], [text('done')]];

  test('and that arrived is not sent again', async () => {
    const provider = scriptedProvider({ mode: 'streaming', turns, sends: ['lost', 'lost'] });
    expect((await runSession(provider, { handler, prompt: 'Hi' })).text).toBe('done');
    expect(provider.inputs.map(({ type }) => type)).toEqual(['user', 'results']);
  });

  test('and that did not arrive is sent again', async () => {
    const clock = new ManualClock();
    const provider = scriptedProvider({ mode: 'streaming', turns, sends: ['refused', 'ok', 'refused', 'lost'] });
    const result = await inTheEnd(clock, runSession(provider, { handler, prompt: 'Hi', clock }));
    expect(result.text).toBe('done');
    expect(provider.inputs.map(({ type }) => type)).toEqual(['user', 'results']);
  });

  test('again and again is an error', async () => {
    const clock = new ManualClock();
    const provider = scriptedProvider({ mode: 'streaming', turns, sends: ['refused', 'refused', 'refused', 'ok'] });
    const error = await errorOf(inTheEnd(clock, runSession(provider, { handler, clock })));
    expect(error).toMatchObject({ kind: 'network', retryable: true });
    expect(provider.inputs).toEqual([]);
  });

  test('is not sent again where nobody can tell whether it arrived', async () => {
    const provider = scriptedProvider({ mode: 'streaming', hasHistory: false, turns, sends: ['refused'] });
    expect(await errorOf(runSession(provider, { handler }))).toMatchObject({ kind: 'network' });
    expect(provider.inputs).toEqual([]);
  });

  test('because the vendor is busy is sent again when the vendor says', async () => {
    const clock = new ManualClock();
    const provider = scriptedProvider({ mode: 'streaming', turns });
    if (provider.mode !== 'streaming') throw new Error('not streaming');
    let sends = 0;
    const busy = Object.create(provider, {
      send: {
        value: async (...all: Parameters<typeof provider.send>) => {
          sends += 1;
          if (sends > 1) return provider.send(...all);
          throw Object.assign(new TypeError('busy'), { status: 429, headers: { 'retry-after': '7' } });
        },
      },
    });
    const result = runSession(busy, { handler, clock });
    for (const [ms, hasArrived] of [
      [6_999, false],
      [1, true],
    ] as const) {
      await quiet();
      clock.advance(ms);
      await quiet();
      expect(provider.inputs.length > 0).toBe(hasArrived);
    }
    expect((await result).terminal).toBe('end_turn');
  });

  test('is not sent again when it was refused', async () => {
    const provider = scriptedProvider({ mode: 'streaming', turns });
    let sends = 0;
    const refusing = Object.create(provider, {
      send: {
        value: async () => {
          sends += 1;
          throw Object.assign(new TypeError('no'), { status: 400 });
        },
      },
    });
    expect(await errorOf(runSession(refusing, { handler }))).toMatchObject({ kind: 'invalid_request' });
    expect(sends).toBe(1);
  });
});
