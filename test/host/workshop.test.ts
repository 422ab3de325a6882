/** The 18 behaviours of AgentWorkshop's contract, and what it lacked: budgets that hold during a turn. */
import { describe, expect, it } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { noreply } from '../../src/host/host.js';
import { Gate, harness, settled } from './harness.js';

const paid = (text: string, costUsd: number, more: object = {}): BackendEvent[] => [
  { type: 'text', text },
  { type: 'usage', usage: { inputTokens: 10, outputTokens: 5 } },
  { type: 'result', sessionId: 's-1', costUsd, numTurns: 2, ...more },
];
const failing: BackendEvent[] = [
  { type: 'text', text: 'half' },
  { type: 'error', error: { provider: 'scripted', kind: 'server', retryable: true, message: 'down', raw: undefined } },
];

describe("AgentWorkshop's contract", () => {
  it('01 startSession is called with what init gave, once', async () => {
    const { start, host, backend } = harness();
    await start({ init: () => ({ state: { log: [] }, session: { system: 'You code.' } }) }, {}, 'a', 'b');
    await host.ask('a', '1');
    await host.ask('a', '2');
    expect(backend.started).toMatchObject([{ options: { system: 'You code.' } }]);
  });

  it('02 a message blocks until its result is there', async () => {
    const { start, host } = harness();
    const gate = new Gate();
    await start({}, {}, gate.turn);
    let isAnswered = false;
    const asked = host.ask('a', 'go').then(() => {
      isAnswered = true;
    });
    await settled();
    expect(isAnswered).toBe(false);
    gate.open();
    await asked;
  });

  it('03 a result has text, session, cost, duration, turns and its error mark', async () => {
    const { start, host } = harness();
    await start({}, {}, paid('hi', 0.5));
    await host.ask('a', 'go');
    const { ref, ...rest } = (await host.lastResult('a')) ?? {};
    expect(typeof ref).toBe('string');
    expect(rest).toEqual({ result: 'hi', sessionId: 's-1', costUsd: 0.5, isError: false, durationMs: 0, numTurns: 2 });
  });

  it('04 what the backend does not tell is undefined', async () => {
    const { start, host } = harness();
    await start({}, {}, [{ type: 'result', text: 'x' }]);
    await host.ask('a', 'go');
    expect(await host.lastResult('a')).toMatchObject({ costUsd: undefined, numTurns: undefined, sessionId: undefined });
  });

  it('05 history has every turn, oldest first, failed ones marked, up to its bound', async () => {
    const { start, host } = harness();
    await start({}, { maxHistory: 2 }, 'one', failing, 'three');
    await host.ask('a', '1');
    await host.ask('a', '2').catch(() => {});
    await host.ask('a', '3');
    expect((await host.history('a')).map(({ result, isError }) => [result, isError])).toEqual([
      ['half', true],
      ['three', false],
    ]);
  });

  it('06 history and last result are empty at first', async () => {
    const { start, host } = harness();
    await start();
    expect([await host.history('a'), await host.lastResult('a')]).toEqual([[], undefined]);
  });

  it('07 a failed turn becomes the last result: the one before is not passed on for it', async () => {
    const { start, host } = harness();
    await start({}, {}, 'one', failing);
    await host.ask('a', '1');
    await host.ask('a', '2').catch(() => {});
    expect(await host.lastResult('a')).toMatchObject({
      result: 'half',
      isError: true,
      error: { code: 'BACKEND_FAILED' },
    });
  });

  it('08 a result marked as an error is a failure; its cost and turn count', async () => {
    const { start, host } = harness();
    await start({}, {}, paid('sorry', 0.25, { isError: true, text: 'sorry' }));
    await expect(host.ask('a', 'go')).rejects.toMatchObject({ code: 'BACKEND_FAILED', message: 'sorry' });
    expect([await host.totalCost('a'), await host.turnCount('a')]).toEqual([0.25, 1]);
  });

  it('09 the session id is there once the backend has told it, and stays', async () => {
    const { start, host } = harness();
    await start({}, {}, paid('a', 0), [{ type: 'result' }]);
    expect(await host.sessionId('a')).toBeUndefined();
    await host.ask('a', '1');
    await host.ask('a', '2');
    expect(await host.sessionId('a')).toBe('s-1');
  });

  it('10 the total cost is the sum of all turns, failed ones too', async () => {
    const { start, host } = harness();
    await start({}, {}, paid('a', 0.5), [{ type: 'usage', usage: { costUsd: 0.25 } }, ...failing]);
    await host.ask('a', '1');
    await host.ask('a', '2').catch(() => {});
    expect(await host.totalCost('a')).toBe(0.75);
    expect(await host.totalCost()).toBe(0.75);
  });

  it('11 the turn count is of turns that were answered', async () => {
    const { start, host } = harness();
    await start({}, {}, 'one', failing, 'three');
    for (const text of ['1', '2', '3']) await host.ask('a', text).catch(() => {});
    expect(await host.turnCount('a')).toBe(2);
  });

  it('12 stop ends the session', async () => {
    const { start, host, backend } = harness();
    await start();
    await host.stop('a');
    expect(backend.terminated).toEqual(backend.started);
  });

  it('13 a reset session is fresh; state, queue and cost stay', async () => {
    const { start, host, backend, log } = harness();
    await start({}, {}, paid('a', 0.5), 'b');
    await host.ask('a', '1');
    await host.resetSession('a');
    expect([await host.sessionId('a'), backend.started.length, backend.terminated.length]).toEqual([undefined, 2, 1]);
    await host.ask('a', '2');
    expect(await log()).toEqual(['response a', 'response b']);
    expect(await host.totalCost('a')).toBe(0.5);
  });

  it('14 a session cannot be reset while a turn goes on', async () => {
    const { start, host } = harness();
    const gate = new Gate();
    await start({}, {}, gate.turn);
    const asked = host.ask('a', 'go');
    await settled();
    await expect(host.resetSession('a')).rejects.toMatchObject({ code: 'AGENT_BUSY' });
    gate.open();
    await asked;
  });

  it('15 await waits for a tell that runs, and answers one that has run', async () => {
    const { start, host, clock } = harness();
    const gate = new Gate();
    await start({}, {}, gate.turn);
    const ref = await host.tell('a', 'go');
    const late = host.await('a', ref, { timeoutMs: 10 });
    await settled();
    clock.advance(10);
    await expect(late).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' });
    const waiting = host.await('a', ref);
    gate.open();
    expect((await waiting).text).toBe('gated');
    expect((await host.await('a', ref)).text).toBe('gated');
  });

  it('16 a caller that gives up takes back a prompt that waits, and leaves one in flight alone', async () => {
    const { start, host, clock, told } = harness();
    const gate = new Gate();
    await start({}, {}, gate.turn);
    const first = host.ask('a', '1', { timeoutMs: 10 });
    const stop = new AbortController();
    const second = host.ask('a', '2', { signal: stop.signal });
    await settled();
    clock.advance(10);
    stop.abort(new TypeError('gone'));
    await expect(first).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' });
    await expect(second).rejects.toThrow('gone');
    expect(await host.status('a')).toMatchObject({ state: 'processing', queued: 0 });
    expect(told('turn.cancelled')).toMatchObject([{ by: 'signal' }]);
    gate.open();
    await settled();
    expect(await host.turnCount('a')).toBe(1);
  });

  it('17 a budget refuses what it cannot pay, before the turn: what is reserved counts', async () => {
    const { start, host } = harness({ budget: { maxCostUsd: 1, reserveCostUsd: 0.4 } });
    const gates = [new Gate('a'), new Gate('b')];
    await start({}, {}, ...gates.map(({ turn }) => turn));
    await start({}, { name: 'b' });
    await start({ handleError: (_ref, _error, state) => noreply(state) }, { name: 'c' });
    const asked = [host.ask('a', '1'), host.ask('b', '1')];
    await settled();
    expect(await host.budget()).toMatchObject({ limitUsd: 1, spentUsd: 0, reservedUsd: 0.8 });
    await expect(host.ask('c', '1')).rejects.toMatchObject({
      code: 'BUDGET_EXCEEDED',
      details: { scope: 'host', unit: 'usd', limit: 1, reserved: 0.8 },
    });
    for (const gate of gates) gate.open();
    await Promise.all(asked);
    expect(await host.budget()).toMatchObject({ reservedUsd: 0, spentUsd: 0 });
  });

  it('18 a budget cuts a turn that breaks it, and the next is refused', async () => {
    const { start, host, backend } = harness();
    const spending: BackendEvent[] = [
      { type: 'usage', usage: { costUsd: 0.4 } },
      { type: 'usage', usage: { costUsd: 0.4 } },
      { type: 'text', text: 'never' },
      { type: 'result' },
    ];
    await start({}, { budget: { maxCostUsd: 0.5 } }, spending, 'no');
    await expect(host.ask('a', '1')).rejects.toMatchObject({ code: 'BUDGET_EXCEEDED', details: { scope: 'agent' } });
    expect((await host.lastResult('a'))?.result).toBe('');
    await expect(host.ask('a', '2')).rejects.toMatchObject({ code: 'BUDGET_EXCEEDED' });
    expect([await host.totalCost('a'), backend.remaining, backend.active]).toEqual([0.8, 1, 0]);
    expect(await host.budget('a')).toMatchObject({ spentUsd: 0.8, remainingUsd: 0 });
  });

  it('a turn with more events than are kept says so, or fails where nothing may be left out', async () => {
    const { start, host } = harness();
    const many: BackendEvent[] = [...'abc'].map((text) => ({ type: 'text', text }) as const);
    await start({}, { maxEventsPerTurn: 2 }, [...many, { type: 'result' }]);
    expect(await host.ask('a', 'go')).toMatchObject({ text: 'abc', omittedEvents: 2, events: [{}, {}] });
    await start({}, { name: 'b', maxEventsPerTurn: 2, eventRetention: 'lossless' }, [...many, { type: 'result' }]);
    await expect(host.ask('b', 'go')).rejects.toMatchObject({ code: 'TURN_EVENTS_OVERFLOW' });
  });
});
