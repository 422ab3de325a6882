/** What a hosted agent used is on its spans, under the vendor's name: RMA's had one name for all, and no tokens. */
import Anthropic from '@anthropic-ai/sdk';
import { trace } from '@opentelemetry/api';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { afterAll, expect, it } from 'vitest';
import { runSession } from '../../src/backends/tool-loop.js';
import { claudeManagedAgentsProvider } from '../../src/providers/claude-managed-agents.js';
import { type WireReply, WireServer } from '../support/wire-server.js';

const exporter = new InMemorySpanExporter();
const tracing = new BasicTracerProvider();
tracing.addSpanProcessor(new SimpleSpanProcessor(exporter));
trace.setGlobalTracerProvider(tracing);
afterAll(() => trace.disable());

it('a managed agent’s turn tells its tokens, its conversation and its end', async () => {
  const streams: WireReply[] = [];
  const turn = [
    { type: 'agent.message', id: 'e1', content: [{ type: 'text', text: 'secret' }] },
    { type: 'span.model_request_end', id: 'e2', model_usage: { input_tokens: 5, output_tokens: 2 } },
    { type: 'session.status_idle', id: 'e3', stop_reason: { type: 'end_turn' } },
  ];
  await using server = await WireServer.start(({ url }, reply) => {
    if (url.includes('/events/stream')) {
      streams.push(reply.head(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n'));
      return;
    }
    reply.json(200, { id: 'sesn_1', data: [] });
    for (const stream of streams) for (const event of turn) stream.write(`data: ${JSON.stringify(event)}\n\n`);
  });
  const client = new Anthropic({ apiKey: 'test', baseURL: server.url, logLevel: 'off' });
  const provider = claudeManagedAgentsProvider({ client, agent: 'agent_1', environmentId: 'env_1' });
  await runSession(provider, { prompt: 'secret', handler: () => '' });
  // The SDK writes spans of its own, of requests.
  const ours = exporter.getFinishedSpans().filter(({ attributes }) => 'gen_ai.operation.name' in attributes);
  const spans = ours.map(({ name, attributes }) => ({ name, attributes }));
  const told = {
    'gen_ai.provider.name': 'claude-managed-agents',
    'gen_ai.conversation.id': 'sesn_1',
    'gen_ai.usage.input_tokens': 5,
    'gen_ai.usage.output_tokens': 2,
    'gen_ai.response.finish_reasons': ['end_turn'],
  };
  expect(spans).toMatchObject([
    { name: 'chat claude-managed-agents', attributes: { ...told, 'gen_ai.operation.name': 'chat' } },
    { name: 'invoke_agent claude-managed-agents', attributes: { ...told, 'gen_ai.operation.name': 'invoke_agent' } },
  ]);
  expect(JSON.stringify(spans)).not.toContain('secret');
});
