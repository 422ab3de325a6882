import 'genkit/beta'; // must come before genkit/tracing, or telemetry is not initialised
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { type GenerateResponseData, genkit, z } from 'genkit';
import { enableTelemetry } from 'genkit/tracing';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { failure } from '../../src/backends/failure.js';
import { runPrompt } from '../../src/backends/run-prompt.js';
import { scriptedBackend } from '../../src/backends/scripted.js';
import { providerBackend, runSession } from '../../src/backends/tool-loop.js';
import { BackendStateSchema, backendHandler } from '../../src/genkit/backend-handler.js';
import { defineAgent } from '../../src/genkit/define-agent.js';
import { genkitBackend } from '../../src/genkit/genkit-backend.js';
import { scriptedProvider } from '../../src/providers/scripted.js';
import { modes, stop, text, tool, usage, wait } from '../support/loop.js';
import { Gate, quiet } from '../support/waiting.js';

const exporter = new InMemorySpanExporter();
const secret = 'xyzzy';

beforeAll(async () => {
  await enableTelemetry({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
});

beforeEach(() => exporter.reset());

function named(name: string): ReadableSpan {
  const found = exporter.getFinishedSpans().find((span) => span.name === name);
  if (found === undefined)
    throw new Error(`no span ${name} in ${exporter.getFinishedSpans().map((span) => span.name)}`);
  return found;
}

function ancestors(span: ReadableSpan): string[] {
  const parent = exporter.getFinishedSpans().find((other) => other.spanContext().spanId === span.parentSpanId);
  return parent === undefined ? [] : [parent.name, ...ancestors(parent)];
}

/** The spans of the conventions, as a tree of names. */
const ours = () => exporter.getFinishedSpans().filter((span) => 'gen_ai.operation.name' in span.attributes);
const everything = () =>
  JSON.stringify(ours().map(({ name, attributes, events, status }) => [name, attributes, events, status]));

describe.each(modes)('runSession (%s)', (mode) => {
  const turns = [
    [text(`${secret} one`), tool('c1', 'look_up', { word: secret }), usage(5, 2)],
    [text(`${secret} two`), usage(7, 3)],
  ];

  test('is one invoke_agent with chats and tools below it', async () => {
    const tracer = trace.getTracer('test');
    await runSession(scriptedProvider({ mode, turns }), {
      prompt: secret,
      system: secret,
      handler: async () => {
        tracer.startSpan('inside the tool').end();
        return secret;
      },
      telemetry: { agentName: 'helper', attributes: { tenant: 't1' } },
    });
    expect(ours().map(({ name }) => name)).toEqual([
      'chat scripted',
      'execute_tool look_up',
      'chat scripted',
      'invoke_agent helper',
    ]);
    expect(ours().map(({ attributes }) => attributes.tenant)).toEqual([undefined, undefined, undefined, 't1']);
    for (const span of ours().slice(0, 3)) expect(ancestors(span)).toEqual(['invoke_agent helper']);
    expect(ancestors(named('inside the tool'))).toEqual(['execute_tool look_up', 'invoke_agent helper']);
  });

  test('tells who, how long, how much and how it ended, and nothing that was said', async () => {
    const result = await runSession(scriptedProvider({ mode, turns, name: 'vendor' }), {
      prompt: secret,
      system: secret,
      handler: () => secret,
    });
    const { sessionId } = result;
    const common = { 'gen_ai.provider.name': 'vendor', 'gen_ai.conversation.id': sessionId };
    const run = named('invoke_agent vendor');
    expect(run.kind).toBe(SpanKind.INTERNAL);
    expect(run.attributes).toEqual({
      ...common,
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.usage.input_tokens': 12,
      'gen_ai.usage.output_tokens': 5,
      'gen_ai.response.finish_reasons': ['end_turn'],
    });
    const [first, second] = ours().filter(({ name }) => name === 'chat vendor');
    expect(first?.kind).toBe(SpanKind.CLIENT);
    expect(first?.attributes).toEqual({
      ...common,
      'gen_ai.operation.name': 'chat',
      'gen_ai.usage.input_tokens': 5,
      'gen_ai.usage.output_tokens': 2,
      'gen_ai.response.finish_reasons': ['requires_action'],
    });
    expect(second?.attributes['gen_ai.response.finish_reasons']).toEqual(['end_turn']);
    expect(named('execute_tool look_up').attributes).toEqual({
      ...common,
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 'look_up',
      'gen_ai.tool.call.id': 'c1',
      'gen_ai.tool.type': 'function',
    });
    expect(everything()).not.toContain(secret);
    expect(run.duration[0] * 1e9 + run.duration[1]).toBeGreaterThan(0);
  });

  test('tells what was said where that is switched on', async () => {
    await runSession(scriptedProvider({ mode, turns }), {
      prompt: 'What is it?',
      system: 'Be kind.',
      handler: () => 'a drink',
      telemetry: { content: true },
    });
    const run = named('invoke_agent scripted').attributes;
    expect(JSON.parse(String(run['gen_ai.input.messages']))).toEqual([
      { role: 'user', parts: [{ type: 'text', content: 'What is it?' }] },
    ]);
    expect(JSON.parse(String(run['gen_ai.system_instructions']))).toEqual([{ type: 'text', content: 'Be kind.' }]);
    expect(String(run['gen_ai.output.messages'])).toContain(`${secret} two`);
    expect(named('execute_tool look_up').attributes).toMatchObject({
      'gen_ai.tool.call.arguments': JSON.stringify({ word: secret }),
      'gen_ai.tool.call.result': '"a drink"',
    });
  });

  test('tells why something failed, in one word', async () => {
    const failing = () => {
      throw new Error(secret);
    };
    await runSession(scriptedProvider({ mode, turns }), { handler: failing, maxTurns: 2 });
    expect(named('execute_tool look_up')).toMatchObject({
      attributes: { 'error.type': 'tool_error' },
      status: { code: SpanStatusCode.ERROR },
    });
    expect(named('invoke_agent scripted').attributes['error.type']).toBeUndefined();
    exporter.reset();
    await runSession(scriptedProvider({ mode, turns }), { handler: () => '', maxTurns: 1 });
    expect(named('invoke_agent scripted').attributes['error.type']).toBe('max_turns');
    exporter.reset();
    const cut = scriptedProvider({ mode, hasHistory: false, turns: [[text('a'), { type: 'drop', how: 'error' }]] });
    await runSession(cut, { handler: () => '' }).catch(() => {});
    expect(named('chat scripted').attributes['error.type']).toBe('network');
    expect(named('invoke_agent scripted').attributes['error.type']).toBe('BACKEND_FAILED');
    expect(everything()).not.toContain(secret);
  });

  test('ends its spans however it is stopped', async () => {
    const controller = new AbortController();
    const provider = scriptedProvider({ mode, turns: [[wait(new Gate().opened)]] });
    const run = runSession(provider, { handler: () => '', signal: controller.signal });
    await quiet();
    controller.abort();
    await run;
    expect(ours().map(({ name, attributes }) => [name, attributes['error.type']])).toEqual([
      ['chat scripted', 'interrupted'],
      ['invoke_agent scripted', 'interrupted'],
    ]);
  });

  test('behind a backend is part of the prompt’s own invoke_agent', async () => {
    const backend = providerBackend(scriptedProvider({ mode, turns }), { handler: () => 'ok' });
    await runPrompt(backend, await backend.startSession(), 'Hi', { telemetry: { agentName: 'coder' } });
    expect(ours().map(({ name }) => name)).toEqual([
      'chat scripted',
      'execute_tool look_up',
      'chat scripted',
      'invoke_agent coder',
    ]);
    for (const span of ours().slice(0, 3)) expect(ancestors(span)).toEqual(['invoke_agent coder']);
  });

  test('keeps the reason a vendor gives', async () => {
    await runSession(scriptedProvider({ mode, turns: [[stop('terminated', 'max_tokens')]] }), { handler: () => '' });
    expect(named('chat scripted').attributes['gen_ai.response.finish_reasons']).toEqual(['max_tokens']);
  });
});

describe('runPrompt', () => {
  test('is an invoke_agent', async () => {
    const events: BackendEvent[] = [
      { type: 'session', sessionId: 's1' },
      { type: 'text', text: secret },
      { type: 'usage', usage: { inputTokens: 3, outputTokens: 4 } },
      { type: 'result', stopReason: 'end_turn' },
    ];
    const backend = scriptedBackend({
      turns: [events, [{ type: 'error', error: failure('x', 'rate_limit', secret) }]],
    });
    const session = await backend.startSession();
    await runPrompt(backend, session, secret, { telemetry: { attributes: { tenant: 't1' } } });
    expect(named('invoke_agent scripted').attributes).toEqual({
      tenant: 't1',
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.provider.name': 'scripted',
      'gen_ai.conversation.id': 's1',
      'gen_ai.usage.input_tokens': 3,
      'gen_ai.usage.output_tokens': 4,
      'gen_ai.response.finish_reasons': ['end_turn'],
    });
    exporter.reset();
    await runPrompt(backend, session, secret);
    expect(named('invoke_agent scripted').attributes['error.type']).toBe('rate_limit');
    expect(everything()).not.toContain(secret);
  });
});

describe('genkitBackend', () => {
  const ai = genkit({});
  let calls = 0;
  ai.defineModel({ name: 'm', apiVersion: 'v2' }, async () => {
    calls += 1;
    const content = calls % 2 === 1 ? [{ toolRequest: { name: 'look', input: secret, ref: 'r' } }] : [{ text: secret }];
    return {
      message: { role: 'model', content },
      finishReason: 'stop',
      usage: { inputTokens: 2 },
    } as GenerateResponseData;
  });
  ai.defineTool({ name: 'look', description: 'looks', inputSchema: z.any() }, async () =>
    ai.run('inside', async () => secret),
  );
  const backend = genkitBackend(ai, { model: 'm', tools: ['look'] });

  test('traces every model call and every tool call, with Genkit’s own spans below them', async () => {
    const { response } = await runPrompt(backend, await backend.startSession(), secret);
    expect(response.text).toBe(secret);
    expect(ours().map(({ name }) => name)).toEqual(['chat m', 'execute_tool look', 'chat m', 'invoke_agent genkit']);
    for (const span of ours())
      expect(span.spanContext().traceId).toBe(named('invoke_agent genkit').spanContext().traceId);
    expect(named('chat m').attributes).toMatchObject({
      'gen_ai.provider.name': 'genkit',
      'gen_ai.request.model': 'm',
      'gen_ai.conversation.id': response.sessionId,
      'gen_ai.usage.input_tokens': 2,
      'gen_ai.response.finish_reasons': ['stop'],
    });
    expect(ancestors(named('inside'))).toContain('execute_tool look');
    expect(everything()).not.toContain(secret);
  });

  test('in an agent, hangs below its turn', async () => {
    const agent = defineAgent(
      ai,
      { name: 'traced', inputSchema: z.string(), streamSchema: z.string(), stateSchema: BackendStateSchema },
      backendHandler(backend, { telemetry: { agentName: 'traced' } }),
    );
    await agent.run('Hi');
    for (const span of ours()) expect(ancestors(span)).toEqual(expect.arrayContaining(['turn-1', 'traced']));
    expect(ancestors(named('execute_tool look'))).toContain('invoke_agent traced');
    expect(ancestors(named('inside'))).toContain('execute_tool look');
  });
});
