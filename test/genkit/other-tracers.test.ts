/** A tracer of the application's that is none of OpenTelemetry's SDK, and makes spans where that makes none. */
import 'genkit/beta'; // must come before genkit/tracing, or telemetry is not initialised
import { createContextKey } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, Tracer } from '@opentelemetry/sdk-trace-base';
import { genkit, z } from 'genkit';
import { enableTelemetry } from 'genkit/tracing';
import { expect, it, vi } from 'vitest';
import { defineAgent } from '../../src/index.js';
import { quiet } from '../support/waiting.js';

it('leaves no span open, and from its second run on an agent has one', async () => {
  const exporter = new InMemorySpanExporter();
  const started = vi.fn();
  const processor = new SimpleSpanProcessor(exporter);
  const counting = { onStart: started, onEnd: () => {}, forceFlush: async () => {}, shutdown: async () => {} };
  await enableTelemetry({ spanProcessors: [processor, counting] });
  const { startSpan } = Tracer.prototype;
  vi.spyOn(Tracer.prototype, 'startSpan').mockImplementation(function (this: Tracer, name, options, context) {
    const suppressed = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING');
    return startSpan.call(this, name, options, context?.deleteValue(suppressed));
  });
  const agent = defineAgent(genkit({}), { name: 'observed', inputSchema: z.string() }, async ({ turns, session }) => {
    await turns(() => {});
    return { output: session.id };
  });
  const runs: string[][] = [];
  for (const sessionId of ['a', 'b']) {
    exporter.reset();
    await agent.run('hello', { sessionId });
    await quiet();
    const spans = exporter.getFinishedSpans();
    runs.push(spans.map(({ name, attributes }) => `${name}: ${attributes['genkit:metadata:agent:sessionId'] ?? ''}`));
  }
  expect(runs.map((spans) => spans.sort())).toEqual([
    ['observed: ', 'observed: a', 'turn-1: a'],
    ['observed: b', 'turn-1: b'],
  ]);
  expect(started).toHaveBeenCalledTimes(5);
});
