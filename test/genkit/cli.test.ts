/** The real Genkit CLI sees our agents and runs them: what the Dev UI does, without the UI. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { built } from '../support/built.js';
import { flowRun, type GenkitCli, startGenkitCli, type Trace } from '../support/genkit-cli.js';

// Whoever starts a CLI may have to wait for other test files that are starting one.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const app = built('test/support/fixtures/agent-app.ts');
const command = ['node', app];

describe('the Genkit CLI', () => {
  let cli: GenkitCli;

  beforeAll(async () => {
    cli = await startGenkitCli({ command, waitFor: '/flow/waits' });
  });

  afterAll(() => cli.stop());

  test('lists an agent with all its schemas', async () => {
    const listed = (await cli.listActions())['/flow/tally'];
    expect(listed).toMatchObject({
      name: 'tally',
      description: 'Adds up, and says the total after every turn.',
      inputSchema: { type: 'object', properties: { add: { type: 'number' } }, required: ['add'] },
      outputSchema: {
        properties: {
          sessionId: { type: 'string' },
          output: { properties: { turns: { type: 'number' } } },
          state: { properties: { total: { type: 'number' } } },
        },
      },
      metadata: {
        bidi: true,
        streamSchema: { properties: { total: { type: 'number' } } },
        stateSchema: { properties: { total: { type: 'number' } } },
        initSchema: { properties: { sessionId: { type: 'string' }, init: { properties: { total: {} } } } },
      },
    });
  });

  test('runs it with one input and no init', async () => {
    const { result } = await cli.runAction('/flow/tally', { add: 2 });
    expect(result).toMatchObject({ output: { turns: 1 }, state: { total: 2 }, finishReason: 'stop' });
  });

  test('runs two turns over one bidi run, resumes the session, and reads one span per turn back', async () => {
    const first = await cli.streamBidi('/flow/tally', { sessionId: 'shared', init: { total: 10 } });
    await first.send({ add: 1 });
    expect(await first.next()).toEqual({ total: 11 });
    await first.send({ add: 2 });
    expect(await first.next()).toEqual({ total: 13 });
    await first.end();
    expect(await first.result).toMatchObject({ sessionId: 'shared', output: { turns: 2 }, state: { total: 13 } });

    const again = await cli.runAction('/flow/tally', { add: 1 }, { sessionId: 'shared', init: { total: 99 } });
    expect(again.result).toMatchObject({ state: { total: 14 } });

    const parrots = ({ spans }: Trace) => spans.filter(({ name }) => name === 'parrot');
    // The spans come one by one, and in no order: the innermost of both turns must be there.
    const trace = await cli.trace(first.traceId, (seen) => parrots(seen).length >= 2);
    const { root } = trace;
    expect(root).toMatchObject({
      name: 'tally',
      attributes: {
        'genkit:key': '/flow/tally',
        'genkit:metadata:agent:sessionId': 'shared',
        'gen_ai.conversation.id': 'shared',
      },
      children: [
        {
          name: 'turn-1',
          attributes: { 'genkit:metadata:agent:sessionId': 'shared' },
          children: [{ name: 'generate' }],
        },
        {
          name: 'turn-2',
          attributes: { 'genkit:metadata:agent:sessionId': 'shared' },
          children: [{ name: 'generate' }],
        },
      ],
    });
    expect(parrots(trace)).toHaveLength(2);
  });

  test('a bad input takes nothing with it', async () => {
    const run = await cli.streamBidi('/flow/tally');
    await run.send({ add: 1 });
    expect(await run.next()).toEqual({ total: 1 });
    await run.send({ add: 'two' });
    await run.send({ add: 3 });
    expect(await run.next()).toEqual({ total: 4 });
    await run.end();
    expect(await run.result).toMatchObject({ output: { turns: 2 } });
    await expect(cli.runAction('/flow/tally', { add: 'two' })).rejects.toMatchObject({
      message: expect.stringContaining('at "add" expected number, got string'),
    });
  });

  test.each(['in a turn', 'between turns'])('cancels a run %s', async (when) => {
    const run = await cli.streamBidi('/flow/waits');
    if (when === 'in a turn') {
      await run.send('go');
      expect(await run.next()).toBe('working');
    }
    await cli.cancel(run.traceId);
    await expect(run.result).rejects.toThrow();
    const { root } = await cli.trace(run.traceId);
    expect(root.attributes['genkit:state']).toBe('error');
  });
});

test('genkit flow:run takes one input and no init', async () => {
  const printed = await flowRun('tally', '{"add":5}', { command });
  const [chunks, result] = printed.slice(printed.indexOf('{')).split('Result:');
  expect(JSON.parse(chunks ?? '')).toEqual({ total: 5 });
  expect(JSON.parse(result?.split('Trace ID')[0] ?? '')).toMatchObject({ output: { turns: 1 }, state: { total: 5 } });
});
