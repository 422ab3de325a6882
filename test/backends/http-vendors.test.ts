/** What only one of the HTTP vendors has: thinking, pauses, reasoning, quotas, pictures; and both under the tool loop. */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { conversationOf as anthropicConversation } from '../../src/backends/anthropic/content.js';
import { anthropicBackend, anthropicProvider } from '../../src/backends/anthropic.js';
import type { Backend, Message } from '../../src/backends/backend.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import { conversationOf as openaiConversation } from '../../src/backends/openai/content.js';
import { openaiBackend, openaiProvider } from '../../src/backends/openai.js';
import { runSession } from '../../src/backends/tool-loop.js';
import { frame as messageFrame, messageStream } from '../support/anthropic-wire.js';
import { frame as responseFrame, responseStream } from '../support/openai-wire.js';
import { WireServer } from '../support/wire-server.js';

/** Answers each request with the next of these streams. */
async function serving(...streams: string[]): Promise<WireServer> {
  const left = [...streams];
  return WireServer.start((_, reply) => reply.events(left.shift() ?? ''));
}

const bodyOf = (server: WireServer, nth: number): unknown => server.requests[nth]?.body;
const anthropicClient = (baseURL: string) => new Anthropic({ apiKey: 'k', baseURL, logLevel: 'off' });
const openaiClient = (baseURL: string) => new OpenAI({ apiKey: 'k', baseURL, logLevel: 'off' });
const tool = { name: 'look', description: 'Looks', inputSchema: { type: 'object' }, run: () => 'seen' };
const call = { id: 'c1', name: 'look', input: { at: 'it' } };
const photo = { media: { url: 'data:image/png;base64,AAAA', contentType: 'image/png' } };

const conversation: readonly Message[] = [
  { role: 'system', content: [{ text: 'Be kind.' }] },
  { role: 'user', content: [{ text: 'Look' }, photo] },
  { role: 'model', content: [{ text: '' }, { toolRequest: { name: 'look', ref: 'c1', input: { at: 'it' } } }] },
  { role: 'tool', content: [{ toolResponse: { name: 'look', ref: 'c1', output: { saw: 1 } } }] },
  { role: 'model', content: [{ text: 'I see.' }] },
];

describe('anthropic', () => {
  const ask = async (server: WireServer, prompt: Parameters<Awaited<ReturnType<typeof open>>['send']>[0] = 'Hi') =>
    (await open(server)).send(prompt);
  const open = (server: WireServer, options = {}) =>
    openBackendSession(
      anthropicBackend({ client: anthropicClient(server.url), model: 'm', tools: [tool], ...options }) as Backend,
    );

  it('tells thinking again as it came, and does not tell it to the caller', async () => {
    const block = { type: 'thinking', thinking: '', signature: '' };
    const deltas = [
      { type: 'thinking_delta', thinking: 'Hm. ' },
      { type: 'thinking_delta', thinking: 'So.' },
      { type: 'signature_delta', signature: 'sig' },
    ];
    const thinking = [
      { type: 'content_block_start', index: 9, content_block: block },
      ...deltas.map((delta) => ({ type: 'content_block_delta', index: 9, delta })),
    ];
    const frames = thinking.map((event) => messageFrame(event)).join('');
    const first = messageStream([call]).replace(/(event: ping\ndata: .*\n\n)/, `$1${frames}`);
    await using server = await serving(first, messageStream([{ text: 'done' }]));
    expect((await ask(server)).text).toBe('done');
    const { messages } = bodyOf(server, 1) as { messages: { content: unknown[] }[] };
    expect(messages[1]?.content).toContainEqual({ type: 'thinking', thinking: 'Hm. So.', signature: 'sig' });
    expect(messages[1]?.content).toContainEqual({ type: 'tool_use', id: 'c1', name: 'look', input: { at: 'it' } });
  });

  it('goes on after a pause, in one turn', async () => {
    const paused = messageStream([{ text: 'Wait. ' }], { stopReason: 'pause_turn' });
    await using server = await serving(paused, messageStream([{ text: 'Done.' }]));
    const response = await ask(server);
    expect(response).toMatchObject({ text: 'Wait. Done.', numTurns: 1, stopReason: 'end_turn' });
    expect(response.usage).toEqual({ inputTokens: 20, outputTokens: 10, totalTokens: 30 });
    const { messages } = bodyOf(server, 1) as { messages: { role: string }[] };
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
  });

  it('does not go on after pauses for ever', async () => {
    const paused = messageStream([{ text: 'Wait. ' }], { stopReason: 'pause_turn' });
    await using server = await serving(paused, paused, paused);
    const backend = anthropicBackend({ client: anthropicClient(server.url), model: 'm', maxTurns: 2 });
    const session = await openBackendSession(backend);
    await expect(session.send('Hi')).rejects.toMatchObject({ kind: 'limit' });
    expect(server.requests).toHaveLength(2);
  });

  it('counts what came from the cache as input, and the output once', async () => {
    const cached = '"input_tokens":10,"cache_read_input_tokens":7,"cache_creation_input_tokens":3';
    await using server = await serving(messageStream([{ text: 'ok' }]).replace('"input_tokens":10', cached));
    expect((await ask(server)).usage).toEqual({ inputTokens: 20, outputTokens: 5, totalTokens: 25 });
  });

  it('tells what was used of an answer that broke off', async () => {
    const [begun = ''] = messageStream([{ text: 'half' }]).split('event: message_delta');
    await using server = await serving(begun);
    const session = await open(server);
    await expect(session.send('Hi')).rejects.toMatchObject({ kind: 'network' });
    expect(session.lastResult).toMatchObject({ text: 'half', usage: { inputTokens: 10 } });
    expect(session.totalUsage).toEqual({ inputTokens: 10, totalTokens: 10 });
  });

  it('asks with all it was given', async () => {
    await using server = await serving(messageStream([{ text: 'ok' }]));
    const request = { temperature: 0, tools: [{ type: 'web_search_20250305', name: 'web_search' }] };
    const session = await open(server, { system: 'Be brief.', request, maxTokens: 9 });
    await session.send([{ text: 'Look' }, photo]);
    const source = { type: 'base64', media_type: 'image/png', data: 'AAAA' };
    expect(server.requests[0]?.body).toEqual({
      model: 'm',
      max_tokens: 9,
      stream: true,
      system: 'Be brief.',
      temperature: 0,
      tools: [...request.tools, { name: 'look', description: 'Looks', input_schema: { type: 'object' } }],
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Look' },
            { type: 'image', source },
          ],
        },
      ],
    });
  });

  it('takes a conversation of Genkit over', () => {
    expect(anthropicConversation(conversation)).toEqual({
      system: 'Be kind.',
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Look' }, expect.objectContaining({ type: 'image' })] },
        { role: 'assistant', content: [{ type: 'tool_use', id: 'c1', name: 'look', input: { at: 'it' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c1', content: '{"saw":1}' }] },
        { role: 'assistant', content: [{ type: 'text', text: 'I see.' }] },
      ],
    });
  });

  it('is a provider for the tool loop, too', async () => {
    await using server = await serving(messageStream([call]), messageStream([{ text: 'done' }]));
    const provider = anthropicProvider({ client: anthropicClient(server.url), model: 'm', tools: [tool] });
    const result = await runSession(provider, { prompt: 'Hi', handler: () => 'seen' });
    expect(result).toMatchObject({ terminal: 'end_turn', finalText: 'done', toolUses: [call], turns: 2 });
    expect(result.usage).toEqual({ inputTokens: 20, outputTokens: 10, totalTokens: 30 });
  });
});

describe('openai', () => {
  const open = (server: WireServer, options = {}) =>
    openBackendSession(
      openaiBackend({ client: openaiClient(server.url), model: 'm', tools: [tool], ...options }) as Backend,
    );

  it('tells reasoning again encrypted, and no ids of a store that keeps nothing', async () => {
    const item = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'secret' };
    const bare = { type: 'reasoning', id: 'rs_2', summary: [] };
    const done = [item, bare].map((one) =>
      responseFrame({ type: 'response.output_item.done', output_index: 9, item: one }),
    );
    const first = responseStream([call]).replace(
      'event: response.completed',
      `${done.join('')}event: response.completed`,
    );
    await using server = await serving(first, responseStream([{ text: 'done' }]));
    expect((await (await open(server)).send('Hi')).text).toBe('done');
    const { input, store, include } = bodyOf(server, 1) as {
      input: unknown[];
      store: boolean;
      include: string[];
    };
    expect({ store, include }).toEqual({ store: false, include: ['reasoning.encrypted_content'] });
    expect(input.slice(1)).toEqual([
      { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{"at":"it"}' },
      { type: 'reasoning', summary: [], encrypted_content: 'secret' },
      { type: 'function_call_output', call_id: 'c1', output: 'seen' },
    ]);
  });

  it.each([
    [
      { code: 'server_error', message: 'boom' },
      { kind: 'server', retryable: true, message: 'boom' },
    ],
    [
      { code: 'rate_limit_exceeded', message: 'slow' },
      { kind: 'rate_limit', retryable: true },
    ],
    [
      { code: 'insufficient_quota', message: 'pay' },
      { kind: 'rate_limit', retryable: false },
    ],
    [
      { code: 'unheard_of', message: '' },
      { kind: 'unknown', retryable: false, message: 'The response failed' },
    ],
  ])('tells a response that failed: %o', async (error, failure) => {
    await using server = await serving(responseStream([], { status: 'failed', error }));
    await expect((await open(server)).send('Hi')).rejects.toMatchObject({ failure });
  });

  it('does not call a quota that is used up retryable', async () => {
    const error = { code: 'insufficient_quota', message: 'pay', type: 'insufficient_quota' };
    await using server = await WireServer.start((_, reply) => reply.json(429, { error }));
    const failure = { kind: 'rate_limit', status: 429, retryable: false };
    await expect((await open(server)).send('Hi')).rejects.toMatchObject({ failure });
  });

  it('asks with all it was given', async () => {
    await using server = await serving(responseStream([{ text: 'ok' }]));
    const request = { reasoning: { effort: 'low' }, tools: [{ type: 'web_search' }], store: true, include: [] };
    const session = await open(server, { system: 'Be brief.', request, maxOutputTokens: 9 });
    await session.send([{ text: 'Look' }, photo]);
    const content = [
      { type: 'input_text', text: 'Look' },
      { type: 'input_image', image_url: photo.media.url, detail: 'auto' },
    ];
    const ours = {
      type: 'function',
      name: 'look',
      description: 'Looks',
      parameters: { type: 'object' },
      strict: false,
    };
    expect(server.requests[0]?.body).toEqual({
      ...request,
      model: 'm',
      stream: true,
      instructions: 'Be brief.',
      max_output_tokens: 9,
      tools: [{ type: 'web_search' }, ours],
      input: [{ type: 'message', role: 'user', content }],
    });
  });

  it('takes a conversation of Genkit over', () => {
    expect(openaiConversation(conversation)).toEqual({
      system: 'Be kind.',
      items: [
        {
          type: 'message',
          role: 'user',
          content: [{ type: 'input_text', text: 'Look' }, expect.objectContaining({ type: 'input_image' })],
        },
        { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{"at":"it"}' },
        { type: 'function_call_output', call_id: 'c1', output: '{"saw":1}' },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'I see.' }] },
      ],
    });
  });

  it('is a provider for the tool loop, too', async () => {
    await using server = await serving(responseStream([call]), responseStream([{ text: 'done' }]));
    const provider = openaiProvider({ client: openaiClient(server.url), model: 'm', tools: [tool] });
    const result = await runSession(provider, { prompt: 'Hi', handler: () => 'seen' });
    expect(result).toMatchObject({ terminal: 'end_turn', finalText: 'done', toolUses: [call], turns: 2 });
    expect(result.transcript?.map(({ role }) => role)).toEqual(['user', 'model', 'tool', 'model']);
  });
});
