/** Claude Managed Agents: the official SDK, against a local server that speaks the wire of 2026-04-01. */
import Anthropic from '@anthropic-ai/sdk';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../../src/backends/failure.js';
import { hasArrived, normalizeManagedAgent, pendingCalls } from '../../src/providers/claude-managed-agents/events.js';
import { JsonEventDecoder } from '../../src/providers/claude-managed-agents/sse.js';
import {
  type ClaudeManagedAgentsOptions,
  claudeManagedAgentsProvider,
} from '../../src/providers/claude-managed-agents.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { collectToError, errorOf, Gate, quiet, take } from '../support/waiting.js';
import { bytewiseFetch, type WireScript, WireServer } from '../support/wire-server.js';

const noSignal = () => new AbortController().signal;
const io = () => ({ signal: noSignal() });

function providerFor(baseURL: string, options: Partial<ClaudeManagedAgentsOptions> = {}) {
  const client = new Anthropic({ apiKey: 'test', baseURL, fetch: bytewiseFetch, logLevel: 'off' });
  return claudeManagedAgentsProvider({ client, agent: 'agent_1', environmentId: 'env_1', ...options });
}

const message = (text: string, id = 'm') => ({ type: 'agent.message', id, content: [{ type: 'text', text }] });
const idle = (type = 'end_turn', more: object = {}) => ({
  type: 'session.status_idle',
  id: 'i',
  stop_reason: { type, ...more },
});
const call = (id: string) => ({ type: 'agent.custom_tool_use', id, name: 'weather', input: { city: 'SF' } });
const counted = (input: number, output: number, more: object = {}) => ({
  type: 'span.model_request_end',
  model_usage: { input_tokens: input, output_tokens: output, ...more },
});
const frame = (event: object, end: string) =>
  `: c${end}event: x${end}id: 7${end}data: ${JSON.stringify(event)}${end}${end}`;

describe('a session', () => {
  it('is made, spoken to, listed and interrupted as the wire has it', async () => {
    const pages = [
      { data: [message('one', 'e1')], next_page: 'p2' },
      { data: [idle()], next_page: null },
    ];
    await using server = await WireServer.start(({ method, url }, reply) => {
      if (method === 'POST' && !url.includes('/events')) return reply.json(200, { id: 'sesn_1' });
      return reply.json(200, method === 'GET' ? pages[url.includes('page=p2') ? 1 : 0] : { data: [] });
    });
    const provider = providerFor(server.url, { session: { title: 'T' } });
    const session = await provider.open({}, io());
    expect(provider.sessionId(session)).toBe('sesn_1');
    await provider.send(session, provider.userInput('Hi'), io());
    const result = { toolUseId: 'c1', name: 'weather', text: 'sunny', isError: false };
    await provider.send(session, provider.resumeInput([], [result]), io());
    expect(await provider.history?.(session, io())).toEqual([message('one', 'e1'), idle()]);
    await provider.interrupt?.(session);
    const asked = server.requests.map(({ method, url, body }) => [`${method} ${url.split('?')[0]}`, body]);
    expect(asked).toEqual([
      ['POST /v1/sessions', { agent: 'agent_1', environment_id: 'env_1', title: 'T' }],
      [
        'POST /v1/sessions/sesn_1/events',
        { events: [{ type: 'user.message', content: [{ type: 'text', text: 'Hi' }] }] },
      ],
      [
        'POST /v1/sessions/sesn_1/events',
        {
          events: [
            {
              type: 'user.custom_tool_result',
              custom_tool_use_id: 'c1',
              content: [{ type: 'text', text: 'sunny' }],
              is_error: false,
            },
          ],
        },
      ],
      ['GET /v1/sessions/sesn_1/events', ''],
      ['GET /v1/sessions/sesn_1/events', ''],
      ['POST /v1/sessions/sesn_1/events', { events: [{ type: 'user.interrupt' }] }],
    ]);
    const { headers } = server.requests[0] ?? {};
    expect(headers?.authorization ?? headers?.['x-api-key']).toContain('test');
    expect(headers?.['anthropic-beta']).toContain('managed-agents-2026-04-01');
  });

  it('is taken up without a request', async () => {
    expect(await providerFor('http://127.0.0.1:1').open({ sessionId: 'sesn_9' }, io())).toEqual({ id: 'sesn_9' });
  });

  it('has no system prompt of its own', async () => {
    const open = providerFor('http://127.0.0.1:1').open({ system: 'Be brief.' }, io());
    await expect(open).rejects.toMatchObject({ code: 'INVALID_VALUE', issues: [{ path: 'system' }] });
  });

  // RMA's client retried every POST, and could say a thing twice.
  it.each([
    ['open', 503],
    ['open', 429],
    ['send', 500],
    ['send', 'drop'],
  ] as const)('asks once, whatever comes: %s, %s', async (what, answer) => {
    await using server = await WireServer.start((_, reply) =>
      answer === 'drop'
        ? reply.drop()
        : reply.json(answer, { error: {} }, { 'retry-after': '0', 'x-should-retry': 'true' }),
    );
    const provider = providerFor(server.url);
    const work = what === 'open' ? provider.open({}, io()) : provider.send({ id: 's' }, provider.userInput('Hi'), io());
    const failure = failureOf(await errorOf(work), { provider: 'p' });
    expect(failure).toMatchObject({
      retryable: true,
      ...(answer === 'drop' ? { kind: 'network' } : { status: answer }),
    });
    expect(server.requests).toHaveLength(1);
  });

  it('is not listed for ever when a page leads back', async () => {
    await using server = await WireServer.start((_, reply) =>
      reply.json(200, { data: [message('again', 'e1')], next_page: 'p' }),
    );
    expect(await providerFor(server.url).history?.({ id: 's' }, io())).toHaveLength(1);
  });
});

describe('the stream', () => {
  async function streamed(script: WireScript, options: Partial<ClaudeManagedAgentsOptions> = {}) {
    await using server = await WireServer.start(script);
    const events = await providerFor(server.url, options).connect({ id: 's' }, io());
    return collectToError(events);
  }

  it.each(['\n', '\r\n', '\r'])(
    'is read at every byte, with comments, names and ids, whatever ends a line: %j',
    async (end) => {
      const events = [message('Grüße 👋'), { type: 'unheard.of', deep: { a: ['\r\n'] } }, idle()];
      const text = events.map((event) => frame(event, end)).join('');
      const { chunks, error } = await streamed((_, reply) => reply.events(text));
      expect(error).toBeUndefined();
      expect(chunks).toEqual(events);
    },
  );

  it('passes over what is no JSON, and goes on', async () => {
    const bad = [
      'data: {"type":\n\n',
      'data: 7\n\n',
      'data: [1]\n\n',
      'data\n\n',
      'data:\n\n',
      'nonsense\n\n',
      ':\n\n',
    ];
    const text = `${bad.join('')}data: {"type":\ndata: "joined"}\n\n${frame(idle(), '\n')}data: {"type":"cut"}`;
    const { chunks, error } = await streamed((_, reply) => reply.events(text));
    expect(error).toBeUndefined();
    expect(chunks).toEqual([{ type: 'joined' }, idle()]);
  });

  it('passes over events that are too long', async () => {
    const lines = `${'data:\n'.repeat(2_000)}data: {}\n\n`;
    const text = frame(message('x'.repeat(5_000)), '\n') + lines + frame(idle(), '\n');
    const { chunks } = await streamed((_, reply) => reply.events(text), { maxEventLength: 1_000 });
    expect(chunks).toEqual([idle()]);
  });

  it('that is cut throws, after all that came', async () => {
    const { chunks, error } = await streamed((_, reply) => {
      reply.head(200, { 'content-type': 'text/event-stream' }).write(frame(message('half'), '\n'));
      setImmediate(() => reply.drop());
    });
    expect(chunks).toEqual([message('half')]);
    expect(failureOf(error, { provider: 'p' })).toMatchObject({ kind: 'network', retryable: true });
  });

  it.each([401, 404, 500])('that is refused says so: %i', async (status) => {
    await using server = await WireServer.start((_, reply) => reply.json(status, { error: { message: 'no' } }));
    const failure = failureOf(await errorOf(providerFor(server.url).connect({ id: 's' }, io())), { provider: 'p' });
    expect(failure).toMatchObject({ status });
    expect(server.requests).toHaveLength(1);
  });

  /** A server that says one thing and then nothing. */
  async function silent() {
    const hungUp = new Gate();
    const server = await WireServer.start((_, reply) => {
      reply.head(200, { 'content-type': 'text/event-stream' }).write(frame(message('one'), '\n'));
      void reply.hungUp.then(() => hungUp.open());
    });
    return { server, hungUp };
  }

  it('that falls silent ends, and hangs up', async () => {
    const { server, hungUp } = await silent();
    await using _ = server;
    const clock = new ManualClock();
    const events = await providerFor(server.url, { clock, idleTimeoutMs: 1_000 }).connect({ id: 's' }, io());
    const iterator = events[Symbol.asyncIterator]();
    expect(await iterator.next()).toMatchObject({ value: message('one') });
    const next = iterator.next();
    await quiet();
    clock.advance(1_000);
    expect(await next).toMatchObject({ done: true });
    await hungUp.opened;
  });

  it('that is cancelled ends, and hangs up', async () => {
    const { server, hungUp } = await silent();
    await using _ = server;
    const controller = new AbortController();
    const events = await providerFor(server.url).connect({ id: 's' }, { signal: controller.signal });
    const read = (async () => {
      for await (const _ of events) controller.abort();
    })();
    await Promise.allSettled([read]);
    await hungUp.opened;
  });

  it('whose reader leaves hangs up', async () => {
    const { server, hungUp } = await silent();
    await using _ = server;
    await take(await providerFor(server.url).connect({ id: 's' }, io()), 1);
    await hungUp.opened;
  });

  it('is decoded the same however it is split', () => {
    const text = [message('ü\u2028'), idle()].map((event, n) => frame(event, ['\n', '\r\n', '\r'][n] ?? '\n')).join('');
    const bytes = new TextEncoder().encode(text);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), (cuts) => {
        const decoder = new JsonEventDecoder(1_000);
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const events = places.flatMap((from, nth) => decoder.push(bytes.subarray(from, places[nth + 1])));
        expect(events).toEqual([message('ü\u2028'), idle()]);
      }),
    );
  });
});

describe('a turn', () => {
  it.each<[events: object[], turn: object]>([
    [
      [call('e1'), idle('requires_action', { event_ids: ['e1'] })],
      { terminal: 'requires_action', toolUses: [{ id: 'e1', name: 'weather', input: { city: 'SF' } }] },
    ],
    [
      [{ type: 'session.status_terminated', stop_reason: { type: 'error' } }],
      { terminal: 'terminated', stopReason: 'error' },
    ],
    [[{ type: 'session.status_terminated' }], { terminal: 'terminated', stopReason: 'terminated' }],
    [[message('a'), message('b'), idle()], { terminal: 'end_turn', stopReason: 'end_turn', text: 'a\nb' }],
    [[idle('satisfied')], { terminal: 'end_turn', stopReason: 'satisfied' }],
    [[idle('max_iterations_reached')], { terminal: 'end_turn' }],
    // RMA told all of these apart from each other no more.
    [[idle('retries_exhausted')], { terminal: 'terminated', stopReason: 'retries_exhausted' }],
    [[idle('budget_reached')], { terminal: 'terminated', stopReason: 'budget_reached' }],
    [[idle('unheard_of')], { terminal: 'terminated', stopReason: 'unheard_of' }],
    [[{ type: 'session.status_idle' }], { terminal: 'terminated', stopReason: 'unknown' }],
    [
      [{ type: 'session.error', error: { type: 'billing_error' } }],
      { terminal: 'terminated', stopReason: 'billing_error' },
    ],
    [[{ type: 'session.error' }], { terminal: 'terminated', stopReason: 'error' }],
    [[message('a')], { terminal: 'terminated', stopReason: 'stream_ended' }],
    [
      [{ type: 'session.error', error: { type: 'x', retry_status: { type: 'retrying' } } }, idle()],
      { terminal: 'end_turn' },
    ],
    [
      [call('e1'), call('e2'), idle('requires_action', { event_ids: ['e2', 'elsewhere'] })],
      { toolUses: [expect.objectContaining({ id: 'e2' })] },
    ],
    [
      [{ type: 'agent.tool_use', id: 't', name: 'bash', input: {} }, idle()],
      { serverToolUses: [{ id: 't', name: 'bash', input: {} }], toolUses: [] },
    ],
    [
      [
        counted(3, 1, { cache_read_input_tokens: 4, cache_creation_input_tokens: 2 }),
        counted(1, 1),
        { type: 'span.model_request_end' },
        idle(),
      ],
      { usage: { inputTokens: 10, outputTokens: 2, totalTokens: 12 } },
    ],
    [[{ type: 7, content: 'x', id: null }, idle()], { terminal: 'end_turn', usage: undefined }],
  ])('of %j', (events, turn) => {
    expect(normalizeManagedAgent(events as Record<string, unknown>[])).toMatchObject(turn);
  });

  it('is peeked at event by event', () => {
    const { peek } = providerFor('http://127.0.0.1:1');
    expect(peek(message('a', 'e1'))).toEqual({ id: 'e1', text: 'a' });
    expect(peek(counted(1, 2))).toEqual({ usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3 } });
    expect(peek(idle())).toEqual({ id: 'i', ends: true });
    const error = (type: string) => ({ type: 'session.error', error: { retry_status: { type } } });
    expect(['retrying', 'exhausted', 'terminal'].map((type) => peek(error(type)).ends)).toEqual([
      undefined,
      undefined,
      true,
    ]);
    expect(peek({ type: 'session.thread_status_idle' })).toEqual({ isAside: true });
  });
});

describe('history', () => {
  const answered = { type: 'user.custom_tool_result', custom_tool_use_id: 'e1', content: [] };

  it('tells which calls nobody has answered', () => {
    expect(pendingCalls([call('e1'), call('e2'), answered]).map(({ id }) => id)).toEqual(['e2']);
    expect(pendingCalls([])).toEqual([]);
  });

  it('tells whether an input has arrived', () => {
    const { userInput, resumeInput } = providerFor('http://127.0.0.1:1');
    const result = (toolUseId: string) => resumeInput([], [{ toolUseId, name: 'n', text: 't', isError: false }]);
    const said = { type: 'user.message', content: [{ type: 'text', text: 'Hi' }] };
    expect(hasArrived(userInput('Hi'), [idle(), said])).toBe(true);
    expect(hasArrived(userInput('Hi'), [message('Hi')])).toBe(false);
    expect(hasArrived(userInput('Ho'), [said])).toBe(false);
    expect(hasArrived(result('e1'), [answered])).toBe(true);
    expect(hasArrived([...result('e1'), ...result('e2')], [answered])).toBe(false);
  });
});
