/** The first runs of a process come before Genkit has brought tracing up. Their traces are as all others. */
import 'genkit/beta'; // must come before genkit/tracing, or telemetry is not initialised
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { genkit, z } from 'genkit';
import { enableTelemetry } from 'genkit/tracing';
import { expect, it } from 'vitest';
import { defineAgent } from '../../src/index.js';
import { traceOf } from '../support/traces.js';

it('a run that is opened before tracing is up is traced once, like those after it', async () => {
  const exporter = new InMemorySpanExporter();
  const ai = genkit({});
  const agent = defineAgent(ai, { name: 'early', inputSchema: z.string() }, async ({ turns }) => {
    await turns((input) => ai.run('look up', async () => void input));
    return { output: 'done' };
  });
  const traces: unknown[] = [];
  const run = () =>
    agent.run(['one', 'two'], {
      sessionId: 's',
      context: { tier: 'gold' },
      telemetryLabels: { label: 'l' },
      onTraceStart: ({ traceId }) => void traces.push(traceId),
    });
  const early = traceOf(exporter, async () => {
    const ready = enableTelemetry(Promise.resolve({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
    expect((await run()).output).toBe('done');
    await ready;
  });
  const first = await early;
  expect(first.map(({ place }) => place)).toHaveLength(5);
  expect(await traceOf(exporter, run)).toEqual(first);
  expect(traces).toHaveLength(2);
});
