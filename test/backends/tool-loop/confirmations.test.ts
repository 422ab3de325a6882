/** Calls that the provider runs itself, once somebody has allowed them. */
import { describe, expect, test } from 'vitest';
import { runSession, startSession, type ToolObject } from '../../../src/backends/tool-loop.js';
import {
  type ScriptedProviderStep,
  type ScriptedProviderTurn,
  scriptedProvider,
} from '../../../src/providers/scripted.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { type Call, modes, noting, text, tool } from '../../support/loop.js';
import { errorOf, Gate, quiet } from '../../support/waiting.js';

const asking = (id: string, name = 'bash'): ScriptedProviderStep => ({
  type: 'server_tool',
  id,
  name,
  input: { run: id },
  asks: true,
});
const sessionId = 'theirs';

/** A handler that decides by the id of the call, and notes what it was asked. */
function confirming(answers: Readonly<Record<string, unknown>>, handleToolCall = () => 'ok') {
  const asked: unknown[] = [];
  const handler = {
    handleToolCall,
    confirmToolCall(name, input, context, { callId, sessionId: id, provider }) {
      asked.push([name, input, context, callId, id, provider]);
      return answers[callId] as 'allow';
    },
  } satisfies ToolObject;
  return { asked, handler };
}

describe.each(modes)('a call that asks (%s)', (mode) => {
  const provider = (...turns: ScriptedProviderTurn[]) => scriptedProvider({ mode, turns });

  test('is run by the provider when it is allowed, and not when it is denied', async () => {
    const scripted = provider([asking('a'), asking('b', 'rm'), asking('c')], [text('done')]);
    const { asked, handler } = confirming({ a: 'allow', b: { deny: 'Not that one' }, c: 'deny' });
    const result = await runSession(scripted, { handler, prompt: 'Hi', context: 7, sessionId });
    expect(result).toMatchObject({ terminal: 'end_turn', text: 'done', turns: 2, toolUses: [], unconfirmed: [] });
    expect(result.serverToolUses.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
    expect(asked).toEqual([
      ['bash', { run: 'a' }, 7, 'a', sessionId, 'scripted'],
      ['rm', { run: 'b' }, 7, 'b', sessionId, 'scripted'],
      ['bash', { run: 'c' }, 7, 'c', sessionId, 'scripted'],
    ]);
    expect(scripted.inputs.at(-1)).toEqual({
      type: 'results',
      results: [],
      decisions: [
        { toolUseId: 'a', isAllowed: true },
        { toolUseId: 'b', isAllowed: false, reason: 'Not that one' },
        { toolUseId: 'c', isAllowed: false },
      ],
    });
  });

  test('is decided while tools run, and both are told at once', async () => {
    const scripted = provider([tool('t'), asking('a')], [text('done')]);
    const gate = new Gate();
    const calls: Call[] = [];
    const handler: ToolObject = {
      handleToolCall: noting(calls),
      confirmToolCall: () => gate.opened.then(() => 'allow' as const),
    };
    const work = runSession(scripted, { handler, prompt: 'Hi' });
    await quiet();
    expect(calls).toHaveLength(1);
    expect(scripted.inputs).toHaveLength(1);
    gate.open();
    expect((await work).text).toBe('done');
    expect(scripted.inputs.slice(1)).toMatchObject([
      { results: [{ toolUseId: 't', isError: false }], decisions: [{ toolUseId: 'a', isAllowed: true }] },
    ]);
  });

  test('nobody decides about ends the request, which tells it', async () => {
    for (const handler of [() => 'ok', confirming({}).handler]) {
      const scripted = provider([text('May I?'), asking('a')], [text('never')]);
      const result = await runSession(scripted, { handler, prompt: 'Hi' });
      expect(result).toMatchObject({ terminal: 'requires_action', stopReason: 'requires_action', text: 'May I?' });
      expect(result.unconfirmed).toEqual([{ id: 'a', name: 'bash', input: { run: 'a' } }]);
      expect(result.limit).toBeUndefined();
      expect(scripted.inputs).toHaveLength(1);
    }
  });

  test('somebody else has decided about waits no more', async () => {
    const scripted = provider([tool('t'), asking('a')], [text('done')]);
    const result = await runSession(scripted, { handler: () => 'ok', prompt: 'Hi' });
    expect(result).toMatchObject({ terminal: 'end_turn', text: 'done', unconfirmed: [] });
    expect(scripted.inputs.at(-1)).toEqual({ type: 'results', results: [expect.objectContaining({ toolUseId: 't' })] });
  });

  test('is asked about again when the session is taken up', async () => {
    const scripted = provider([asking('a')], [text('done')]);
    await runSession(scripted, { handler: () => 'ok', prompt: 'Hi', sessionId });
    const again = await runSession(scripted, { handler: () => 'ok', sessionId });
    expect(again).toMatchObject({ terminal: 'requires_action', turns: 0, unconfirmed: [{ id: 'a' }] });
    const { handler } = confirming({ a: 'allow' });
    expect(await runSession(scripted, { handler, sessionId })).toMatchObject({ text: 'done', unconfirmed: [] });
    expect(scripted.inputs.map(({ type }) => type)).toEqual(['user', 'results']);
  });

  test('is asked about again in a live session, by a message that asks nothing', async () => {
    const scripted = provider([asking('a')], [text('done')]);
    const answers: Record<string, unknown> = {};
    const { handler, asked } = confirming(answers);
    const session = await startSession(scripted, { handler, prompt: 'Hi' });
    expect(await session.message()).toMatchObject({ terminal: 'requires_action', unconfirmed: [{ id: 'a' }] });
    answers.a = 'allow';
    expect(await session.message()).toMatchObject({ terminal: 'end_turn', text: 'done' });
    expect(asked).toHaveLength(3);
    await session.close();
  });

  test('is waited for no longer than the request, and the handler is told', async () => {
    const clock = new ManualClock();
    const scripted = provider([asking('a')], [text('never')]);
    let told: AbortSignal | undefined;
    const handler: ToolObject = {
      handleToolCall: () => 'ok',
      confirmToolCall: (_name, _input, _context, { signal }) => {
        told = signal;
        return new Promise(() => {});
      },
    };
    const work = runSession(scripted, { handler, prompt: 'Hi', timeoutMs: 1_000, clock });
    await quiet();
    clock.advance(1_000);
    expect(await work).toMatchObject({ limit: 'timeout', turns: 1 });
    expect(told?.aborted).toBe(true);
    expect(scripted.inputs).toHaveLength(1);
  });

  test('is denied by a handler that throws, and never allowed by an answer that is none', async () => {
    const scripted = provider([asking('a')], [text('done')]);
    const handler: ToolObject = {
      handleToolCall: () => 'ok',
      confirmToolCall: () => {
        throw new RangeError('Too far');
      },
    };
    await runSession(scripted, { handler, prompt: 'Hi' });
    expect(scripted.inputs.at(-1)).toMatchObject({
      decisions: [{ toolUseId: 'a', isAllowed: false, reason: 'RangeError: Too far' }],
    });
    for (const answer of [true, 'yes', {}, { deny: 1 }, null]) {
      const other = provider([asking('a')], [text('done')]);
      const error = await errorOf(runSession(other, { handler: confirming({ a: answer }).handler, prompt: 'Hi' }));
      expect(error).toMatchObject({ code: 'INVALID_VALUE', issues: [{ path: 'handler.confirmToolCall' }] });
      expect(other.inputs).toHaveLength(1);
    }
  });

  test('is not decided any more when a limit is reached', async () => {
    const scripted = provider([asking('a')], [text('never')]);
    const { handler, asked } = confirming({ a: 'allow' });
    const result = await runSession(scripted, { handler, prompt: 'Hi', maxTurns: 1 });
    expect(result).toMatchObject({ limit: 'max_turns' });
    expect(asked).toEqual([]);
  });
});
