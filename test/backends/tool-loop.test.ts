/** The loop, over both kinds of provider: what holds for one holds for the other. */
import { describe, expect, test } from 'vitest';
import { BackendError } from '../../src/backends/backend-error.js';
import { type LoopOptions, runSession, type SessionResult } from '../../src/backends/tool-loop.js';
import { type ScriptedProviderOptions, type ScriptedStep, scriptedProvider } from '../../src/providers/scripted.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { errorOf, Gate, quiet, stateOf } from '../support/waiting.js';

const modes = ['streaming', 'request_response'] as const;

const text = (said: string): ScriptedStep => ({ type: 'text', text: said });
const tool = (id: string, name = 'look_up', input: unknown = { id }): ScriptedStep => ({ type: 'tool', id, name, input });
const usage = (inputTokens: number, outputTokens = 0): ScriptedStep => ({
  type: 'usage',
  usage: { inputTokens, outputTokens },
});

type Calls = { name: string; input: unknown; callId: string }[];

/** A handler that notes what it was called with. */
function noting(calls: Calls, answer: (name: string, input: unknown) => unknown = (name) => `${name} done`) {
  return (name: string, input: unknown, _context: unknown, { callId }: { callId: string }) => {
    calls.push({ name, input, callId });
    return answer(name, input);
  };
}

/** A result without what differs from run to run. */
function comparable({ sessionId, durationMs: _, events, ...result }: SessionResult) {
  return JSON.parse(JSON.stringify({ ...result, events }).replaceAll(sessionId, 'session'));
}

describe.each(modes)('runSession (%s)', (mode) => {
  const provider = (options: Omit<ScriptedProviderOptions, 'mode'>) => scriptedProvider({ mode, ...options });
  const run = (turns: ScriptedProviderOptions['turns'], options: Partial<LoopOptions> = {}) =>
    runSession(provider({ turns: turns ?? [] }), { handler: () => 'ok', prompt: 'Hi', ...options });

  test('runs what is handed back, resumes, and is done at the end of a turn', async () => {
    const calls: Calls = [];
    const scripted = provider({
      turns: [
        [text('Let me see.'), tool('a', 'look_up', { word: 'tea' }), usage(5, 2)],
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
    });
    expect(result.limit).toBeUndefined();
    expect(calls).toEqual([{ name: 'look_up', input: { word: 'tea' }, callId: 'a' }]);
    expect(scripted.inputs).toEqual([
      { type: 'user', prompt: 'What is tea?' },
      { type: 'results', results: [{ toolUseId: 'a', name: 'look_up', text: 'look_up done', isError: false }] },
    ]);
    expect(result.sessionId).toBe(scripted.opened[0]?.id);
  });
});
