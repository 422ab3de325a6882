import { describe, expect, test } from 'vitest';
import { type ScriptedEvent, type ScriptedProviderOptions, scriptedProvider } from '../../src/providers/scripted.js';
import { drop, modes, stop, text, tool, usage, wait } from '../support/loop.js';
import { collect, errorOf, Gate, quiet, stateOf, take } from '../support/waiting.js';

const signal = new AbortController().signal;

/** One turn of a session, whatever the mode. */
async function turn(options: ScriptedProviderOptions, prompt = 'Hi') {
  const provider = scriptedProvider(options);
  const session = await provider.open({}, { signal });
  const input = provider.userInput(prompt);
  const events: AsyncIterable<ScriptedEvent> =
    provider.mode === 'streaming'
      ? await provider.connect(session, { signal })
      : provider.request(session, input, { signal });
  if (provider.mode === 'streaming') await provider.send(session, input, { signal });
  return { provider, session, events };
}

const types = (events: readonly ScriptedEvent[]) => events.map(({ type }) => type);

describe.each(modes)('scriptedProvider (%s)', (mode) => {
  test('tells an input and the steps of its turn, each under an id of its own', async () => {
    const { provider, session, events } = await turn({ mode, turns: [[text('a'), usage(3), tool('c', 'f', 1)]] });
    const told = await take(events, 5);
    expect(types(told)).toEqual(['user', 'text', 'usage', 'tool', 'stop']);
    expect(new Set(told.map(({ eventId }) => eventId)).size).toBe(5);
    expect(provider.normalize(told)).toEqual({
      terminal: 'requires_action',
      stopReason: 'requires_action',
      text: 'a',
      toolUses: [{ id: 'c', name: 'f', input: 1 }],
      serverToolUses: [],
      usage: { inputTokens: 3, outputTokens: 0 },
    });
    expect(await provider.history?.(session, { signal })).toEqual(told);
    expect(provider.pending?.(told)).toEqual([{ id: 'c', name: 'f', input: 1 }]);
  });

  test('ends a turn by itself, or as it is told', async () => {
    const end = async (...steps: Parameters<typeof stop>) =>
      (await take((await turn({ mode, turns: [[stop(...steps)]] })).events, 2)).at(-1);
    expect(await end('terminated', 'max_tokens')).toMatchObject({ terminal: 'terminated', reason: 'max_tokens' });
    const { events } = await turn({ mode });
    expect((await take(events, 2)).at(-1)).toMatchObject({ type: 'stop', terminal: 'end_turn' });
  });

  test('goes on when a connection is lost', async () => {
    for (const how of ['end', 'error'] as const) {
      const { provider, session, events } = await turn({ mode, turns: [[text('a'), drop(how), text('b')]] });
      const work = collect(events);
      if (how === 'end') expect(types(await work)).toEqual(['user', 'text']);
      else expect(await errorOf(work)).toMatchObject({ code: 'ECONNRESET' });
      const all = (await provider.history?.(session, { signal })) ?? [];
      expect(types(all)).toEqual(['user', 'text', 'text', 'stop']);
    }
  });

  test('waits where it is told to, and can be interrupted there', async () => {
    const gate = new Gate();
    const { provider, session, events } = await turn({ mode, turns: [[wait(gate.opened), text('a')]] });
    const told = take(events, 2);
    expect(await stateOf(told)).toBe('pending');
    expect(provider.active).toBe(1);
    await provider.interrupt?.(session);
    expect((await told).at(-1)).toMatchObject({ type: 'stop', reason: 'interrupted' });
    expect([provider.active, provider.interrupts]).toEqual([0, 1]);
    await provider.interrupt?.(session);
    gate.open();
    await quiet();
    expect(types((await provider.history?.(session, { signal })) ?? [])).toEqual(['user', 'stop']);
  });

  test('answers by its input, and tells the session it belongs to', async () => {
    const seen: unknown[] = [];
    const { provider, session } = await turn(
      {
        mode,
        turns: [
          (input, info) => {
            seen.push(input, info);
            return [text('x')];
          },
        ],
      },
      'What?',
    );
    expect(seen).toEqual([
      { type: 'user', prompt: 'What?' },
      { sessionId: session.id, earlier: 0 },
    ]);
    expect(provider.inputs).toEqual([{ type: 'user', prompt: 'What?' }]);
    expect(provider.transcript?.(session)).toEqual([
      { role: 'user', content: [{ text: 'What?' }] },
      { role: 'model', content: [{ text: 'x' }] },
    ]);
  });

  test('takes up a session, and keeps sessions apart', async () => {
    const { provider, session } = await turn({ mode, turns: [[text('a')]] });
    const again = await provider.open({ sessionId: session.id }, { signal });
    expect(await provider.history?.(again, { signal })).toHaveLength(3);
    const other = await provider.open({}, { signal });
    expect(other.id).not.toBe(session.id);
    expect(await provider.history?.(other, { signal })).toEqual([]);
    expect(provider.opened).toHaveLength(3);
  });

  test('has no history where it is told to have none', async () => {
    const { provider } = await turn({ mode, hasHistory: false });
    expect([provider.history, provider.pending]).toEqual([undefined, undefined]);
  });
});

describe('a stream', () => {
  test('begins where it is connected, and goes on from turn to turn', async () => {
    const provider = scriptedProvider({ mode: 'streaming', turns: [[text('a')], [text('b')]] });
    if (provider.mode !== 'streaming') throw new Error('not streaming');
    const session = await provider.open({}, { signal });
    await provider.send(session, provider.userInput('one'), { signal });
    const events = await provider.connect(session, { signal });
    await provider.send(session, provider.userInput('two'), { signal });
    expect((await take(events, 3)).map((event) => (event.type === 'text' ? event.text : event.type))).toEqual([
      'user',
      'b',
      'stop',
    ]);
  });

  test('knows an input that arrived from one that did not', async () => {
    const provider = scriptedProvider({ mode: 'streaming', sends: ['lost', 'refused'] });
    if (provider.mode !== 'streaming') throw new Error('not streaming');
    const session = await provider.open({}, { signal });
    const [first, second] = [provider.userInput('one'), provider.userInput('two')];
    for (const input of [first, second])
      expect(await errorOf(provider.send(session, input, { signal }))).toMatchObject({ code: 'ECONNRESET' });
    const events = (await provider.history?.(session, { signal })) ?? [];
    expect([provider.arrived?.(first, events), provider.arrived?.(second, events)]).toEqual([true, false]);
    expect(provider.inputs).toEqual([first]);
  });
});
