/** Many runs that are opened at once, before Genkit has brought tracing up: each of them is answered, and each ends. */
import 'genkit/beta'; // must come before genkit/tracing, or telemetry is not initialised
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { genkit, z } from 'genkit';
import { enableTelemetry } from 'genkit/tracing';
import { expect, it } from 'vitest';
import { defineAgent } from '../../src/index.js';
import { Gate } from '../support/waiting.js';

it('runs that wait for tracing to come up end as all others do', async () => {
  const ai = genkit({});
  const agent = defineAgent(ai, { name: 'crowd', inputSchema: z.string(), outputSchema: z.string() }, async (args) => {
    let last = '';
    await args.turns((input) => {
      if (input === 'fail') throw new TypeError('as asked');
      last = input;
    });
    return { output: last };
  });
  const exporter = new InMemorySpanExporter();
  const gate = new Gate();
  const config = gate.opened.then(() => ({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
  const ready = enableTelemetry(config);
  const open = (input: string) => {
    const connection = agent.streamBidi();
    void connection.send(input);
    return connection;
  };
  const crowd = Array.from({ length: 20 }, (_, number) => open(number % 5 === 0 ? 'fail' : `input ${number}`));
  const aborted = [open('never'), open('never')];
  for (const connection of aborted) connection.abort();
  for (const connection of crowd) connection.close();
  expect(await Promise.all(aborted.map(({ done }) => done))).toMatchObject(
    aborted.map(() => ({ finishReason: 'aborted' })),
  );
  gate.open();
  const outcomes = await Promise.allSettled(crowd.map((connection) => connection.output()));
  expect(outcomes.map((outcome) => ('value' in outcome ? outcome.value.output : outcome.reason.message))).toEqual(
    outcomes.map((_, number) => (number % 5 === 0 ? 'as asked' : `input ${number}`)),
  );
  await ready;
  exporter.reset();
  await agent.run('late');
  expect(exporter.getFinishedSpans().map(({ name }) => name)).toEqual(['turn-1', 'crowd']);
});
