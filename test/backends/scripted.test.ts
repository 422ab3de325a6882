import { describe, expect, test } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { runPrompt } from '../../src/backends/run-prompt.js';
import { scriptedBackend } from '../../src/backends/scripted.js';
import { testBackend } from '../../src/testing/backend-suite.js';
import { scriptedModel } from '../support/scripted-model.js';
import { errorOf, Gate, stateOf } from '../support/waiting.js';

describe('the contract', () => {
  testBackend({ test, create: scriptedModel });
});

describe('scriptedBackend', () => {
  test('plays one turn for each prompt, in order, and tells what is left', async () => {
    const backend = scriptedBackend({ turns: ['one', ({ text }) => `you said ${text}`] });
    const session = await backend.startSession();
    expect(backend.remaining).toBe(2);
    expect((await runPrompt(backend, session, 'a')).response).toMatchObject({ text: 'one', stopReason: 'end_turn' });
    expect((await runPrompt(backend, session, 'b')).response.text).toBe('you said b');
    expect(backend.prompts.map(({ text, earlier }) => [text, earlier])).toEqual([
      ['a', 0],
      ['b', 1],
    ]);
    expect(backend.remaining).toBe(0);
    const { error } = await runPrompt(backend, session, 'c');
    expect(error).toMatchObject({ code: 'BACKEND_FAILED', kind: 'invalid_request', retryable: false });
  });

  test('plays events exactly as given', async () => {
    const events: BackendEvent[] = [
      { type: 'text', text: '' },
      { type: 'result', text: 'all', costUsd: 0.5, numTurns: 3 },
      { type: 'text', text: 'too late' },
    ];
    const backend = scriptedBackend({ turns: [events] });
    const { response } = await runPrompt(backend, await backend.startSession(), 'x');
    expect(response).toMatchObject({ text: 'all', costUsd: 0.5, numTurns: 3, events: events.slice(0, 2) });
  });

  test('holds a turn until its promise resolves', async () => {
    const gate = new Gate();
    const backend = scriptedBackend({ turns: [[{ type: 'text', text: 'a' }, gate.opened, { type: 'result' }]] });
    const turn = runPrompt(backend, await backend.startSession(), 'x');
    expect(await stateOf(turn)).toBe('pending');
    expect(backend.active).toBe(1);
    gate.open();
    expect((await turn).response.text).toBe('a');
    expect(backend.active).toBe(0);
  });

  test('refuses to begin, and to start, with what it is given', async () => {
    const backend = scriptedBackend({
      turns: [{ refuses: new TypeError('no') }],
      startError: new RangeError('closed'),
    });
    expect(await errorOf(async () => backend.startSession())).toMatchObject({ message: 'closed' });
    expect(await errorOf(async () => backend.resumeSession('id'))).toMatchObject({ message: 'closed' });
    const session = { id: 'any', options: {} };
    expect(
      await errorOf(async () => backend.prompt(session, 'x', { signal: new AbortController().signal })),
    ).toMatchObject({ message: 'no' });
  });

  test('takes text alone', async () => {
    const backend = scriptedBackend({ turns: ['a', 'b'] });
    const session = await backend.startSession();
    const parts = await runPrompt(backend, session, [{ text: 'one ' }, { text: 'two' }]);
    expect(parts.error).toBeUndefined();
    expect(backend.prompts.at(-1)?.text).toBe('one two');
    const media = await runPrompt(backend, session, [{ media: { url: 'data:,' } }]);
    expect(media.error).toMatchObject({ kind: 'invalid_request' });
    expect(backend.remaining).toBe(1);
  });
});
