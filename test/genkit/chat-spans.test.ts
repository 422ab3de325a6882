import 'genkit/beta'; // must come before genkit/tracing, or telemetry is not initialised
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { genkit } from 'genkit/beta';
import { enableTelemetry } from 'genkit/tracing';
import { expect, test } from 'vitest';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { converse, defineTalker } from '../support/chat.js';

test('a chat is traced as an agent, its turns below it, and all that is done below its turn', async () => {
  const exporter = new InMemorySpanExporter();
  const ai = genkit({});
  await enableTelemetry({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const work = async (input: string) => ai.run(`look up ${input}`, async () => {});
  const { chatAgent } = defineTalker(work, { ai, store: new MemorySessionStore() });
  const { output } = await converse(chatAgent, ['one', 'two']);
  const spans = exporter.getFinishedSpans();
  const named = (name: string) => spans.find((span) => span.name === name) ?? expect.fail(`no span ${name}`);
  const session = { 'genkit:metadata:agent:sessionId': output.sessionId, 'gen_ai.conversation.id': output.sessionId };
  expect(named('talker').attributes).toMatchObject({
    'genkit:type': 'action',
    'genkit:metadata:subtype': 'agent',
    'genkit:key': '/agent/talker',
    'genkit:path': '/{talker,t:action}',
    'genkit:state': 'success',
    ...session,
  });
  for (const [turn, step] of [
    ['turn-1', 'look up one'],
    ['turn-2', 'look up two'],
  ] as const) {
    expect(named(turn).attributes).toMatchObject({
      'genkit:path': `/{talker,t:action}/{${turn},t:flowStep}`,
      ...session,
    });
    expect(named(turn).parentSpanId).toBe(named('talker').spanContext().spanId);
    expect(named(step).parentSpanId).toBe(named(turn).spanContext().spanId);
  }
  // One run, one span: the agent's flow is not run as well.
  expect(spans.filter(({ name }) => name === 'talker')).toHaveLength(1);
});
