/** What the HTTP backends do beyond the contract that all backends keep: tools, history, and how vendors fail. */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { type AnthropicBackendOptions, anthropicBackend } from '../../src/backends/anthropic.js';
import type { Backend, BackendEvent, Message } from '../../src/backends/backend.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import { type BackendTool, openaiBackend } from '../../src/backends/openai.js';
import { runPrompt } from '../../src/backends/run-prompt.js';
import { frame as messageFrame, messageStream } from '../support/anthropic-wire.js';
import { frame as responseFrame, responseStream } from '../support/openai-wire.js';
import { collect, Gate } from '../support/waiting.js';
import { bytewiseFetch, type WireReply, type WireScript, WireServer } from '../support/wire-server.js';

type Options = Partial<Omit<AnthropicBackendOptions, 'client' | 'model'>>;

/** A text, a call, or a refusal, in a vendor's own bytes. */
interface Vendor {
  backend(url: string, options?: Options): Backend;
  text(text: string): string;
  calls(...calls: { id: string; name: string; input: unknown }[]): string;
  /** The answers to calls in the newest request. */
  results(body: unknown): { id: unknown; text: unknown }[];
  /** How many messages, or items, the model was told. */
  told(body: unknown): number;
  cutShort: string;
  refused: string;
  errorFrame: string;
}

type Body = Readonly<Record<string, unknown>>;

const anthropic: Vendor = {
  backend: (baseURL, options = {}) =>
    anthropicBackend({
      client: new Anthropic({ apiKey: 'k', baseURL, fetch: bytewiseFetch, logLevel: 'off' }),
      model: 'm',
      ...options,
    }) as Backend,
  text: (text) => messageStream([{ text }]),
  calls: (...calls) => messageStream(calls),
  results(body) {
    const { messages } = body as { messages: { content: Body[] }[] };
    return (messages.at(-1)?.content ?? []).map(({ tool_use_id: id, content: text }) => ({ id, text }));
  },
  told: (body) => (body as { messages: unknown[] }).messages.length,
  cutShort: messageStream([{ text: 'too long' }], { stopReason: 'max_tokens' }),
  refused: messageStream([], { stopReason: 'refusal' }),
  errorFrame: messageFrame({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }),
};

const openai: Vendor = {
  backend: (baseURL, options = {}) =>
    openaiBackend({
      client: new OpenAI({ apiKey: 'k', baseURL, fetch: bytewiseFetch, logLevel: 'off' }),
      model: 'm',
      ...options,
    }) as Backend,
  text: (text) => responseStream([{ text }]),
  calls: (...calls) => responseStream(calls),
  results(body) {
    const { input } = body as { input: Body[] };
    const outputs = input.filter(({ type }) => type === 'function_call_output');
    return outputs.map(({ call_id: id, output: text }) => ({ id, text }));
  },
  told: (body) => (body as { input: unknown[] }).input.length,
  cutShort: responseStream([{ text: 'too long' }], { status: 'incomplete', incompleteReason: 'max_output_tokens' }),
  refused: responseStream([{ refusal: 'no' }]),
  errorFrame: responseFrame({ type: 'error', code: 'server_is_overloaded', message: 'Overloaded', param: null }),
};

/** Answers each request with the next of these; a function answers by itself. */
function script(...answers: (string | ((reply: WireReply) => unknown))[]): WireScript {
  const left = [...answers];
  return (_, reply) => {
    const next = left.shift() ?? (({ json }: WireReply) => json(500, { error: 'nothing left' }));
    return typeof next === 'string' ? reply.events(next) : next(reply);
  };
}

const schema = { type: 'object' };
const tool = (name: string, run: BackendTool['run']): BackendTool => ({ name, inputSchema: schema, run });
const noSignal = () => new AbortController().signal;

describe.each(Object.entries({ anthropic, openai }))('%s', (name, vendor) => {
  async function ask(answers: Parameters<typeof script>, options: Options = {}) {
    await using server = await WireServer.start(script(...answers));
    const session = await openBackendSession(vendor.backend(server.url, options));
    const outcome = await session.send('Hi').then(
      (response) => ({ response, error: undefined }),
      (error: unknown) => ({ response: session.lastResult, error }),
    );
    return { ...outcome, requests: server.requests };
  }

  describe('tools', () => {
    it('run at once, and are answered in the order they were called', async () => {
      const second = new Gate();
      const tools = [
        tool('slow', async (input) => {
          await second.opened;
          return { told: input };
        }),
        tool('quick', () => {
          second.open();
          return 'quick';
        }),
      ];
      const calls = vendor.calls(
        { id: 'c1', name: 'slow', input: { n: 1 } },
        { id: 'c2', name: 'quick', input: {} },
        { id: 'c3', name: 'nobody', input: {} },
      );
      const { response, requests } = await ask([calls, vendor.text('done')], { tools });
      expect(response).toMatchObject({ text: expect.stringContaining('done'), numTurns: 2 });
      const results = vendor.results(requests[1]?.body);
      expect(results.map(({ id }) => id)).toEqual(['c1', 'c2', 'c3']);
      expect(results.map(({ text }) => text)).toEqual([
        '{"told":{"n":1}}',
        'quick',
        expect.stringContaining('There is no tool named nobody'),
      ]);
      const told = response?.events.filter(({ type }) => type === 'tool_result');
      expect(told).toMatchObject([
        { output: { told: { n: 1 } }, isError: false },
        { isError: false },
        { isError: true },
      ]);
    });

    it('are told as soon as they and those before them have a result', async () => {
      const calls = ['fast', 'slow'].map((name) => ({ id: name, name, input: {} }));
      const slow = new Gate();
      const told: unknown[] = [];
      const answers = [vendor.calls(...calls), vendor.text('done')];
      await using server = await WireServer.start(script(...answers));
      const tools = [tool('fast', () => 'ok'), tool('slow', () => slow.opened)];
      const session = await openBackendSession(vendor.backend(server.url, { tools }));
      const onEvent = (event: BackendEvent) => {
        if (event.type !== 'tool_result') return;
        told.push(event.id);
        slow.open();
      };
      await session.send('Hi', { onEvent });
      expect(told).toEqual(['fast', 'slow']);
    });

    it('that throw are told to the model as an error, and the turn goes on', async () => {
      const tools = [tool('bad', () => Promise.reject(new RangeError('too far')))];
      const { response, requests } = await ask(
        [vendor.calls({ id: 'c1', name: 'bad', input: {} }), vendor.text('ok')],
        { tools },
      );
      expect(response?.text).toContain('ok');
      expect(vendor.results(requests[1]?.body)[0]?.text).toContain('too far');
    });

    it('run no more than eight at once', async () => {
      let running = 0;
      let most = 0;
      const run = async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise(setImmediate);
        running -= 1;
        return '';
      };
      const calls = Array.from({ length: 20 }, (_, n) => ({ id: `c${n}`, name: 'any', input: {} }));
      const { response } = await ask([vendor.calls(...calls), vendor.text('ok')], { tools: [tool('any', run)] });
      expect(response?.events.filter(({ type }) => type === 'tool_result')).toHaveLength(20);
      expect(most).toBe(8);
    });

    it('are not called for ever', async () => {
      const call = vendor.calls({ id: 'c', name: 'any', input: {} });
      const { error, requests } = await ask([call, call, call], { tools: [tool('any', () => '')], maxTurns: 2 });
      expect(error).toMatchObject({ kind: 'limit', retryable: false });
      expect(requests).toHaveLength(2);
    });

    it.each([Number.NaN, 0, '5' as unknown as number])('have a bound that is one: not %s', (maxTurns) => {
      expect(() => vendor.backend('http://localhost', { maxTurns })).toThrow(
        expect.objectContaining({ code: 'INVALID_VALUE', issues: [expect.objectContaining({ path: 'maxTurns' })] }),
      );
    });

    it('hear of a cancellation, and are not waited for', async () => {
      const begun = new Gate();
      let heard: AbortSignal | undefined;
      const run: BackendTool['run'] = (_, { signal }) => {
        heard = signal;
        begun.open();
        return new Promise(() => {});
      };
      await using server = await WireServer.start(script(vendor.calls({ id: 'c', name: 'any', input: {} })));
      const session = await openBackendSession(vendor.backend(server.url, { tools: [tool('any', run)] }));
      const controller = new AbortController();
      const turn = session.send('Hi', { signal: controller.signal });
      await begun.opened;
      controller.abort();
      await expect(turn).rejects.toMatchObject({ kind: 'cancelled' });
      await expect.poll(() => heard?.aborted).toBe(true);
    });
  });

  describe('a turn that fails', () => {
    it.each<[what: string, answer: (reply: WireReply) => unknown, failure: object]>([
      [
        'by a rate limit',
        (reply) => reply.json(429, { error: { message: 'slow' } }, { 'retry-after': '7' }),
        { kind: 'rate_limit', status: 429, retryAfterMs: 7_000, retryable: true },
      ],
      [
        'by a rate limit in milliseconds',
        (reply) => reply.json(429, { error: { message: 'slow' } }, { 'retry-after-ms': '1500' }),
        { kind: 'rate_limit', retryAfterMs: 1_500 },
      ],
      [
        'by a broken server',
        (reply) => reply.json(500, { error: { message: 'boom' } }),
        { kind: 'server', status: 500 },
      ],
      ['by a page that is no JSON', (reply) => reply.head(502).end('<html>'), { kind: 'server', status: 502 }],
      [
        'by an error within the stream',
        (reply) => reply.events(vendor.errorFrame),
        { kind: 'overloaded', retryable: true },
      ],
      [
        'by a frame that is no JSON',
        (reply) => reply.events('event: message_start\ndata: {"type":\n\n'),
        { kind: 'protocol', retryable: true },
      ],
      ['by a stream that ends early', (reply) => reply.events(': nothing\n\n'), { kind: 'network', retryable: true }],
      [
        'by a lost connection',
        (reply) => {
          reply.head(200, { 'content-type': 'text/event-stream' }).write(vendor.text('long').slice(0, 400));
          setImmediate(() => reply.drop());
        },
        { kind: 'network', retryable: true },
      ],
      ['because nobody answers', (reply) => reply.drop(), { kind: 'network', retryable: true }],
      [
        'by an answer that was cut short',
        (reply) => reply.events(vendor.cutShort),
        { kind: 'incomplete', retryable: false },
      ],
      ['by a refusal', (reply) => reply.events(vendor.refused), { kind: 'refused', retryable: false }],
    ])('%s says so, after one request', async (_, answer, failure) => {
      const { error, requests } = await ask([answer]);
      expect(error).toMatchObject({ failure: { provider: name, ...failure } });
      expect(requests).toHaveLength(1);
    });

    it('is tried again by the SDK when it is told to', async () => {
      const refuse = (reply: WireReply) => reply.json(500, {}, { 'retry-after-ms': '1' });
      const { response, requests } = await ask([refuse, vendor.text('at last')], { maxRetries: 1 });
      expect(response?.text).toBe('at last');
      expect(requests).toHaveLength(2);
    });

    it('leaves nothing in the conversation, not even half of its calls', async () => {
      const call = vendor.calls({ id: 'c', name: 'any', input: {} });
      const answers = [vendor.text('one'), call, (reply: WireReply) => reply.json(500, {}), vendor.text('three')];
      await using server = await WireServer.start(script(...answers));
      const session = await openBackendSession(vendor.backend(server.url, { tools: [tool('any', () => 'ok')] }));
      await session.send('first');
      await expect(session.send('second')).rejects.toMatchObject({ kind: 'server' });
      await session.send('third');
      expect(server.requests.map(({ body }) => vendor.told(body))).toEqual([1, 3, 5, 3]);
      expect(session.history.map(({ isError }) => isError)).toEqual([false, true, false]);
    });
  });

  describe('a turn that another process has left', () => {
    const call = (ref: string) => ({ role: 'model' as const, content: [{ toolRequest: { ref, name: 'look' } }] });
    const answer = { role: 'tool' as const, content: [{ toolResponse: { ref: 'c0', name: 'look', output: 'no' } }] };
    const messages: readonly Message[] = [
      { role: 'user', content: [{ text: 'Hi' }] },
      { role: 'model', content: [{ text: 'Hello' }] },
      { role: 'user', content: [{ text: 'Look' }] },
      call('c0'),
      answer,
      call('c1'),
    ];
    const answered = [{ id: 'c1', name: 'look', input: {}, output: 'seen', isError: false }];

    it('is dropped whole when it fails, or when something else is asked', async () => {
      const failing = (reply: WireReply) => reply.json(500, {});
      await using server = await WireServer.start(script(failing, vendor.text('one'), vendor.text('two')));
      const backend = vendor.backend(server.url);
      const [first, second] = [await resumed(backend), await resumed(backend)];
      const turn = await backend.resumeTurn?.(first, answered, { signal: noSignal() });
      if (turn === undefined) throw new Error('expected a backend that goes on with a turn');
      expect((await collect(turn.events)).at(-1)).toMatchObject({ type: 'error', error: { kind: 'server' } });
      for (const session of [first, second])
        expect(await runPrompt(backend, session, 'Hi')).toMatchObject({ error: undefined });
      expect(server.requests.map(({ body }) => vendor.told(body))).toEqual([7, 3, 3]);
    });

    const resumed = async (backend: Backend) => backend.resumeSession?.('id', { messages });
  });

  it('hangs up when it is cancelled', async () => {
    const hungUp = new Gate();
    await using server = await WireServer.start((_, reply) => {
      reply.head(200, { 'content-type': 'text/event-stream' }).write(vendor.text('begun').slice(0, -200));
      void reply.hungUp.then(() => hungUp.open());
    });
    const session = await openBackendSession(vendor.backend(server.url));
    const controller = new AbortController();
    const onEvent = ({ type }: BackendEvent) => void (type === 'text' && controller.abort());
    await expect(session.send('Hi', { signal: controller.signal, onEvent })).rejects.toMatchObject({
      kind: 'cancelled',
    });
    await hungUp.opened;
  });

  it('hangs up when its session is terminated', async () => {
    const hungUp = new Gate();
    const asked = new Gate();
    await using server = await WireServer.start((_, reply) => {
      asked.open();
      void reply.hungUp.then(() => hungUp.open());
    });
    const backend = vendor.backend(server.url);
    const session = await backend.startSession();
    const { events } = await backend.prompt(session, 'Hi', { signal: noSignal() });
    const last = (async () => {
      for await (const event of events) if (event.type === 'error') return event.error;
    })();
    await asked.opened;
    await backend.terminateSession(session);
    await hungUp.opened;
    expect(await last).toMatchObject({ kind: 'cancelled' });
  });

  it('cannot take up a session whose messages nobody gives', async () => {
    const backend = vendor.backend('http://127.0.0.1:1');
    await expect(backend.resumeSession?.('id')).rejects.toMatchObject({ code: 'BACKEND_CANNOT_RESUME' });
  });

  it('refuses a part that the vendor has no words for', async () => {
    const backend = vendor.backend('http://127.0.0.1:1');
    const session = await backend.startSession();
    const ask = async () => backend.prompt(session, [{ text: 'see' }, { custom: {} }], { signal: noSignal() });
    await expect(ask()).rejects.toMatchObject({ code: 'INVALID_VALUE', issues: [{ path: 'prompt.1' }] });
  });
});
