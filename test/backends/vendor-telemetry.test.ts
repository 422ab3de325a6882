/** The spans of the vendors' backends: model calls and tools of the HTTP ones, tools of the CLIs. */
import 'genkit/beta'; // must come before genkit/tracing, or telemetry is not initialised
import Anthropic from '@anthropic-ai/sdk';
import { SpanKind, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { enableTelemetry } from 'genkit/tracing';
import OpenAI from 'openai';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { anthropicBackend } from '../../src/backends/anthropic.js';
import type { Backend } from '../../src/backends/backend.js';
import { claudeCliBackend } from '../../src/backends/claude-cli.js';
import { codexCliBackend } from '../../src/backends/codex-cli.js';
import { type BackendTool, openaiBackend } from '../../src/backends/openai.js';
import { runPrompt } from '../../src/backends/run-prompt.js';
import type { TelemetryOptions } from '../../src/backends/telemetry.js';
import { messageStream } from '../support/anthropic-wire.js';
import { responseStream } from '../support/openai-wire.js';
import { ScriptedCli } from '../support/scripted-cli.js';
import { WireServer } from '../support/wire-server.js';

const exporter = new InMemorySpanExporter();
const secret = 'xyzzy';

beforeAll(async () => {
  await enableTelemetry({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
});
beforeEach(() => exporter.reset());

const spans = () => exporter.getFinishedSpans();
// A vendor's SDK may have spans of its own.
const ours = () => spans().filter(({ name }) => /^(invoke_agent|chat|execute_tool) /.test(name));
const parentOf = (span: ReadableSpan | undefined) =>
  spans().find((other) => other.spanContext().spanId === span?.parentSpanId)?.name;
const named = (name: string) => ours().find((span) => span.name === name);
const everything = () => JSON.stringify(ours().map(({ name, attributes, events }) => [name, attributes, events]));

const call = { id: 'c1', name: 'look', input: { at: secret } };
const inside = (run: () => unknown): BackendTool => ({
  name: 'look',
  inputSchema: { type: 'object' },
  run() {
    trace.getTracer('test').startSpan('inside the tool').end();
    return run();
  },
});

interface HttpVendor {
  backend(url: string, tools: readonly BackendTool[], telemetry?: TelemetryOptions): Backend;
  readonly answers: readonly string[];
}

const vendors: Readonly<Record<string, HttpVendor>> = {
  anthropic: {
    backend(baseURL, tools, telemetry = {}) {
      const client = new Anthropic({ apiKey: 'k', baseURL, logLevel: 'off' });
      return anthropicBackend({ client, model: 'asked', tools, telemetry }) as Backend;
    },
    answers: [messageStream([call], { model: 'answered' }), messageStream([{ text: secret }], { model: 'answered' })],
  },
  openai: {
    backend(baseURL, tools, telemetry = {}) {
      const client = new OpenAI({ apiKey: 'k', baseURL, logLevel: 'off' });
      return openaiBackend({ client, model: 'asked', tools, telemetry }) as Backend;
    },
    answers: [responseStream([call], { model: 'answered' }), responseStream([{ text: secret }], { model: 'answered' })],
  },
};

describe.each(Object.entries(vendors))('%s', (name, vendor) => {
  async function ask(run: () => unknown, telemetry?: TelemetryOptions, answers = vendor.answers) {
    const left = [...answers];
    await using server = await WireServer.start((_, reply) => reply.events(left.shift() ?? ''));
    const backend = vendor.backend(server.url, [inside(run)], telemetry);
    return await runPrompt(backend, await backend.startSession(), secret, { telemetry: { agentName: 'helper' } });
  }

  test('a turn is an invoke_agent with a chat for each request and an execute_tool for each call below it', async () => {
    const { response } = await ask(() => secret);
    expect(ours().map((span) => span.name)).toEqual([
      'chat asked',
      'execute_tool look',
      'chat asked',
      'invoke_agent helper',
    ]);
    expect(ours().slice(0, 3).map(parentOf)).toEqual(Array(3).fill('invoke_agent helper'));
    expect(parentOf(spans().find((span) => span.name === 'inside the tool'))).toBe('execute_tool look');
    const common = { 'gen_ai.provider.name': name, 'gen_ai.conversation.id': response.sessionId };
    const [first, second] = ours().filter((span) => span.name === 'chat asked');
    expect(first?.kind).toBe(SpanKind.CLIENT);
    expect(first?.attributes).toEqual({
      ...common,
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'asked',
      'gen_ai.response.model': 'answered',
      'gen_ai.usage.input_tokens': 10,
      'gen_ai.usage.output_tokens': 5,
      'gen_ai.response.finish_reasons': [name === 'openai' ? 'completed' : 'tool_use'],
    });
    expect(second?.attributes['gen_ai.response.finish_reasons']).not.toEqual(['tool_use']);
    expect(named('execute_tool look')?.attributes).toEqual({
      ...common,
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 'look',
      'gen_ai.tool.call.id': 'c1',
      'gen_ai.tool.type': 'function',
    });
    for (const span of ours()) expect(span.duration[0] * 1e9 + span.duration[1]).toBeGreaterThan(0);
    expect(everything()).not.toContain(secret);
  });

  test('what was said is told where that is switched on', async () => {
    await ask(() => 'seen', { content: true });
    expect(named('execute_tool look')?.attributes).toMatchObject({
      'gen_ai.tool.call.arguments': JSON.stringify({ at: secret }),
      'gen_ai.tool.call.result': '"seen"',
    });
    const chats = ours().filter((span) => span.name === 'chat asked');
    expect(String(chats[1]?.attributes['gen_ai.output.messages'])).toContain(secret);
  });

  test('what failed says why in one word', async () => {
    await ask(() => Promise.reject(new Error(secret)), {}, [...vendor.answers.slice(0, 1), ': nothing\n\n']);
    expect(named('execute_tool look')?.attributes['error.type']).toBe('tool_error');
    const chats = ours().filter((span) => span.name === 'chat asked');
    expect(chats.map(({ attributes }) => attributes['error.type'])).toEqual([undefined, 'network']);
    expect(named('invoke_agent helper')?.attributes['error.type']).toBe('network');
    expect(everything()).not.toContain(secret);
  });

  test('a reader that leaves ends the span too', async () => {
    await using server = await WireServer.start((_, reply) => reply.events(vendor.answers[1] ?? ''));
    const backend = vendor.backend(server.url, []);
    const { events } = await backend.prompt(await backend.startSession(), 'Hi', {
      signal: new AbortController().signal,
    });
    for await (const { type } of events) if (type === 'text') break;
    expect(named('chat asked')?.attributes['error.type']).toBe('cancelled');
  });
});

describe.each([
  ['claude', claudeCliBackend, 'look'],
  ['codex', codexCliBackend, 'tools.look'],
] as const)('%s', (kind, make, toolName) => {
  async function ask(telemetry: TelemetryOptions) {
    await using cli = await ScriptedCli.start(kind);
    const { command, commandArguments } = cli;
    const backend = make({ command, commandArguments, telemetry }) as Backend;
    cli.play({ tool: { name: 'look', input: { at: secret }, output: secret }, text: [secret] });
    return await runPrompt(backend, await backend.startSession(), secret, { telemetry: { agentName: 'coder' } });
  }

  test('a tool the CLI runs is an execute_tool below the turn', async () => {
    const { response } = await ask({});
    const tool = named(`execute_tool ${toolName}`);
    expect(parentOf(tool)).toBe('invoke_agent coder');
    expect(tool?.attributes).toEqual({
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.provider.name': `${kind}-cli`,
      'gen_ai.conversation.id': response.sessionId,
      'gen_ai.tool.name': toolName,
      'gen_ai.tool.call.id': expect.any(String),
      'gen_ai.tool.type': 'function',
    });
    expect(everything()).not.toContain(secret);
  });

  test('what it was given and has answered is told where that is switched on', async () => {
    await ask({ content: true });
    expect(named(`execute_tool ${toolName}`)?.attributes).toMatchObject({
      'gen_ai.tool.call.arguments': expect.stringContaining(secret),
      'gen_ai.tool.call.result': expect.stringContaining(secret),
    });
  });
});
