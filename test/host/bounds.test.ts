/** What is kept of turns and results is bounded by count and by bytes; texts and sums are whole all the same. */
import { describe, expect, it } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { harness, settled } from './harness.js';

const said = (...texts: readonly string[]): BackendEvent[] => [
  ...texts.map((text) => ({ type: 'text', text }) as const),
  { type: 'usage', usage: { inputTokens: 3, outputTokens: 4 } },
  { type: 'result' },
];
const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

describe('events of a turn', () => {
  it('beyond the bytes that are kept are counted, from the first that does not fit; text, usage and outcome are whole', async () => {
    const { start, host } = harness();
    const [small, large] = ['é', 'x'.repeat(500)];
    const [first] = said(small);
    await start({}, { maxEventBytesPerTurn: bytesOf(first) + 100 }, said(small, large, small));
    const response = await host.ask('a', 'go');
    expect(response.events).toEqual([first]);
    expect(response).toMatchObject({ text: small + large + small, omittedEvents: 4, usage: { inputTokens: 3 } });
  });

  it('fill the bytes to the last one', async () => {
    const { start, host } = harness();
    const all = said('a', 'b');
    const bytes = all.reduce((sum, event) => sum + bytesOf(event), 0);
    await start({}, { maxEventBytesPerTurn: bytes }, all);
    expect((await host.ask('a', 'go')).omittedEvents).toBeUndefined();
    await start({}, { name: 'b', maxEventBytesPerTurn: bytes - 1 }, all);
    expect((await host.ask('b', 'go')).omittedEvents).toBe(1);
  });

  it('that may not be left out fail the turn with the bounds', async () => {
    const { start, host } = harness();
    await start({}, { maxEventBytesPerTurn: 40, eventRetention: 'lossless' }, said('a', 'b'), 'fine');
    await expect(host.ask('a', 'go')).rejects.toMatchObject({
      code: 'TURN_EVENTS_OVERFLOW',
      status: 'RESOURCE_EXHAUSTED',
      details: { maxCount: 1_000, maxBytes: 40 },
    });
    expect((await host.status('a')).state).toBe('idle');
  });

  it('are bounded by default', async () => {
    const { start, host } = harness();
    const many = said(...Array.from({ length: 1_200 }, () => 'x'));
    await start({}, {}, many, said('y'.repeat(2_000_000), 'z'));
    expect(await host.ask('a', 'go')).toMatchObject({ omittedEvents: 202 });
    const { text, events, omittedEvents } = await host.ask('a', 'go');
    expect([text.length, events, omittedEvents]).toEqual([2_000_001, [], 4]);
  });
});

describe('outcomes of tell', () => {
  it('beyond the bytes that are kept go, the oldest first', async () => {
    const { start, host } = harness();
    const text = 'x'.repeat(100);
    await start({}, { maxTellResultBytes: 900 }, ...[1, 2, 3, 4].map(() => text));
    const refs: string[] = [];
    for (const prompt of ['1', '2', '3', '4']) refs.push(await host.tell('a', prompt));
    await settled();
    const known = await Promise.all(
      refs.map((ref) =>
        host.poll('a', ref).then(
          ({ status }) => status,
          ({ code }) => code,
        ),
      ),
    );
    expect(known).toEqual(['REF_NOT_FOUND', 'REF_NOT_FOUND', 'completed', 'completed']);
  });

  it('that are too large by themselves are told, and not kept; the others stay', async () => {
    const { start, host } = harness();
    await start({}, { maxTellResultBytes: 1_000 }, 'small', 'x'.repeat(5_000));
    const [small, large] = [await host.tell('a', '1'), await host.tell('a', '2')];
    expect((await host.await('a', large)).text).toHaveLength(5_000);
    await expect(host.poll('a', large)).rejects.toMatchObject({ code: 'REF_NOT_FOUND' });
    expect(await host.poll('a', small)).toMatchObject({ status: 'completed' });
  });

  it('weigh their events too, and failures what they say', async () => {
    const { start, host } = harness();
    const wordy: BackendEvent[] = [
      { type: 'tool_use', id: 't', name: 'read', input: 'x'.repeat(900) },
      { type: 'result', text: 'ok' },
    ];
    await start({}, { maxTellResultBytes: 1_000 }, wordy, { refuses: new TypeError('y'.repeat(300)) });
    const [first, second] = [await host.tell('a', '1'), await host.tell('a', '2')];
    await settled();
    await expect(host.poll('a', first)).rejects.toMatchObject({ code: 'REF_NOT_FOUND' });
    expect(await host.poll('a', second)).toMatchObject({ status: 'failed' });
  });

  it.each(['maxEventBytesPerTurn', 'maxTellResultBytes'] as const)('%s must be a whole number', async (option) => {
    const { start } = harness();
    for (const value of [-1, 0.5, Number.NaN, '9'])
      await expect(start({}, { [option]: value as number })).rejects.toMatchObject({
        code: 'INVALID_VALUE',
        issues: [{ path: option }],
      });
  });

  it('none are kept with a bound of 0', async () => {
    const { start, host } = harness();
    await start({}, { maxTellResults: 0 }, 'hi');
    const ref = await host.tell('a', 'go');
    expect((await host.await('a', ref)).text).toBe('hi');
    await expect(host.poll('a', ref)).rejects.toMatchObject({ code: 'REF_NOT_FOUND' });
  });
});
