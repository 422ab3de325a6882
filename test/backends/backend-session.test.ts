import { describe, expect, test } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import { failure } from '../../src/backends/failure.js';
import { scriptedBackend } from '../../src/backends/scripted.js';
import { errorOf, Gate, quiet, stateOf } from '../support/waiting.js';

const turn = (text: string, costUsd: number, inputTokens: number): BackendEvent[] => [
  { type: 'text', text },
  { type: 'usage', usage: { inputTokens } },
  { type: 'result', sessionId: 'theirs', costUsd },
];

describe('a session of a backend', () => {
  test('remembers its turns, its cost and its id', async () => {
    const session = await openBackendSession(scriptedBackend({ turns: [turn('a', 0.5, 3), turn('b', 0.25, 4)] }));
    expect(session).toMatchObject({
      history: [],
      lastResult: undefined,
      sessionId: undefined,
      totalCost: 0,
      turnCount: 0,
    });
    expect((await session.send('one')).text).toBe('a');
    const last = await session.send('two');
    expect(session.lastResult).toBe(last);
    expect(session.history.map(({ text }) => text)).toEqual(['a', 'b']);
    expect(session).toMatchObject({
      sessionId: 'theirs',
      totalCost: 0.75,
      totalUsage: { inputTokens: 7 },
      turnCount: 2,
    });
  });

  test('a turn that failed is the last result, costs what it cost, and is no turn that was answered', async () => {
    const failed: BackendEvent[] = [
      { type: 'text', text: 'half' },
      { type: 'usage', usage: { inputTokens: 5, costUsd: 0.125 } },
      { type: 'error', error: failure('scripted', 'server', 'no') },
    ];
    const marked: BackendEvent[] = [{ type: 'result', text: 'sorry', isError: true, costUsd: 0.5 }];
    const session = await openBackendSession(scriptedBackend({ turns: [turn('a', 1, 1), failed, marked] }));
    await session.send('one');
    expect(await errorOf(session.send('two'))).toMatchObject({ kind: 'server' });
    expect(session.lastResult).toMatchObject({ text: 'half', isError: true });
    expect(await errorOf(session.send('three'))).toMatchObject({ code: 'BACKEND_FAILED' });
    expect(session.lastResult).toMatchObject({ text: 'sorry', isError: true });
    expect(session).toMatchObject({ turnCount: 1, totalCost: 1.625 });
    expect(session.history).toHaveLength(3);
  });

  test('answers prompts one after another', async () => {
    const gate = new Gate();
    const backend = scriptedBackend({ turns: [[gate.opened, { type: 'result', text: 'a' }], 'b'] });
    const session = await openBackendSession(backend);
    const answers = [session.send('one'), session.send('two')];
    await quiet();
    expect(backend.prompts).toHaveLength(1);
    gate.open();
    expect((await Promise.all(answers)).map(({ text }) => text)).toEqual(['a', 'b']);
    expect(backend.prompts.map(({ earlier }) => earlier)).toEqual([0, 1]);
  });

  test('is taken up by its id', async () => {
    const backend = scriptedBackend({ turns: ['a'] });
    const messages = [{ role: 'model' as const, content: [{ text: 'before' }] }];
    const session = await openBackendSession(backend, { resume: 'theirs', messages });
    expect(session.sessionId).toBe('theirs');
    await session.send('x');
    expect(backend.prompts[0]).toMatchObject({ sessionId: 'theirs', earlier: 1 });
    const { resumeSession: _, ...forgetful } = backend;
    expect(await errorOf(openBackendSession(forgetful, { resume: 'theirs' }))).toMatchObject({
      code: 'BACKEND_CANNOT_RESUME',
      status: 'FAILED_PRECONDITION',
    });
  });

  test('stop ends the turn in flight and the session, once; prompts that wait are refused', async () => {
    const backend = scriptedBackend({ turns: [[new Gate().opened], 'b'] });
    const session = await openBackendSession(backend);
    const flying = errorOf(session.send('one'));
    const waiting = errorOf(session.send('two'));
    await quiet();
    await session.stop();
    await session.stop();
    expect(await flying).toMatchObject({ code: 'BACKEND_CANCELLED' });
    expect(await waiting).toMatchObject({ code: 'CONNECTION_CLOSED' });
    expect([backend.active, backend.terminated.length, backend.remaining]).toEqual([0, 1, 1]);
    expect(await errorOf(session.send('three'))).toMatchObject({ code: 'CONNECTION_CLOSED' });
  });

  test('stop is over when the backend has let go, for everybody who asks', async () => {
    const gate = new Gate();
    const backend = { ...scriptedBackend(), terminateSession: () => gate.opened };
    const session = await openBackendSession(backend);
    const stops = [session.stop(), session.stop()];
    expect(await Promise.all(stops.map(stateOf))).toEqual(['pending', 'pending']);
    gate.open();
    await Promise.all(stops);
  });

  test('one prompt can be cancelled', async () => {
    const session = await openBackendSession(scriptedBackend({ turns: [[new Gate().opened], 'b'] }));
    const controller = new AbortController();
    const flying = errorOf(session.send('one', { signal: controller.signal }));
    await quiet();
    controller.abort();
    expect(await flying).toMatchObject({ code: 'BACKEND_CANCELLED' });
    expect((await session.send('two')).text).toBe('b');
  });
});
