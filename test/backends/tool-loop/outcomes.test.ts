/** What is asked may be an outcome to work towards, in the place of a prompt. */
import { describe, expect, test } from 'vitest';
import { type LoopOptions, runSession, startSession } from '../../../src/backends/tool-loop.js';
import {
  type ScriptedProviderStep,
  type ScriptedProviderTurn,
  scriptedProvider,
} from '../../../src/providers/scripted.js';
import { modes, text, tool } from '../../support/loop.js';
import { errorOf } from '../../support/waiting.js';

const outcome = { description: 'A poem', rubric: 'It rhymes', maxIterations: 3 };
const graded = (verdict: string, iteration: number): ScriptedProviderStep => ({
  type: 'grade',
  grade: { verdict, explanation: `${verdict}!`, iteration },
});

describe.each(modes)('an outcome (%s)', (mode) => {
  const provider = (...turns: ScriptedProviderTurn[]) => scriptedProvider({ mode, turns, hasOutcomes: true });

  test('begins a session, and its last grade is told', async () => {
    const scripted = provider(
      [graded('needs_revision', 0), tool('a')],
      [text('Roses'), graded('satisfied', 1)],
      [text('Violets')],
    );
    const result = await runSession(scripted, { handler: () => 'ok', outcome });
    expect(result).toMatchObject({
      terminal: 'end_turn',
      turns: 2,
      outcome: { verdict: 'satisfied', explanation: 'satisfied!', iteration: 1 },
    });
    expect(scripted.inputs).toMatchObject([{ type: 'outcome', outcome }, { type: 'results' }]);
    expect((await runSession(scripted, { handler: () => 'ok', prompt: 'Hi' })).outcome).toBeUndefined();
  });

  test('is asked in a live session too, among prompts', async () => {
    const scripted = provider([text('a')], [text('b'), graded('failed', 0)]);
    const session = await startSession(scripted, { handler: () => 'ok', prompt: 'Hi' });
    expect(await session.message(outcome)).toMatchObject({ text: 'b', outcome: { verdict: 'failed' } });
    await session.close();
    expect(scripted.inputs).toEqual([
      { type: 'user', prompt: 'Hi' },
      { type: 'outcome', outcome },
    ]);
  });

  test('is refused where it cannot work, before anything is opened', async () => {
    const without = scriptedProvider({ mode });
    const error = await errorOf(runSession(without, { handler: () => 'ok', outcome }));
    expect(error).toMatchObject({ code: 'INVALID_VALUE', issues: [{ path: 'outcome' }] });
    expect(without.opened).toEqual([]);
    const scripted = provider();
    const bad: [path: string, options: Partial<LoopOptions>][] = [
      ['outcome', { outcome, prompt: 'Hi' }],
      ['outcome.description', { outcome: { ...outcome, description: '' } }],
      ['outcome.description', { outcome: {} as never }],
      ['outcome.rubric', { outcome: { description: 'A poem' } as never }],
      ['outcome.rubric', { outcome: { ...outcome, rubric: { fileId: '' } } }],
      ['outcome.maxIterations', { outcome: { ...outcome, maxIterations: 0 } }],
      ['outcome.maxIterations', { outcome: { ...outcome, maxIterations: 1.5 } }],
    ];
    for (const [path, options] of bad) {
      const refusal = await errorOf(runSession(scripted, { handler: () => 'ok', ...options }));
      expect(refusal).toMatchObject({ code: 'INVALID_VALUE', issues: [{ path }] });
    }
    expect(scripted.opened).toEqual([]);
  });

  test('that cannot work is told to whoever asks it in a live session, which lives on', async () => {
    const session = await startSession(scriptedProvider({ mode, turns: [[text('a')]] }), { handler: () => 'ok' });
    expect(await errorOf(session.message(outcome))).toMatchObject({ code: 'INVALID_VALUE' });
    expect(await session.message('Hi')).toMatchObject({ text: 'a' });
    await session.close();
  });
});
