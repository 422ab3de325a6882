/** AgentCore's harness: the official SDK, against a local server that speaks AWS's event stream. */
import { describe, expect, it } from 'vitest';
import { failureOf } from '../../src/backends/failure.js';
import { normalizeHarness } from '../../src/providers/bedrock-agentcore/events.js';
import { type BedrockAgentCoreOptions, bedrockAgentCoreProvider } from '../../src/providers/bedrock-agentcore.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { agentCoreClient } from '../support/agentcore-client.js';
import { errorFrame, eventFrames, exceptionFrame } from '../support/aws-event-stream.js';
import { errorOf, Gate, quiet, take } from '../support/waiting.js';
import { type WireReply, type WireScript, WireServer } from '../support/wire-server.js';

const harnessArn = 'arn:aws:bedrock-agentcore:us-east-1:123456789012:harness/h-1';
const noSignal = () => new AbortController().signal;
const head = { 'content-type': 'application/vnd.amazon.eventstream' };

const said = (...texts: string[]) =>
  texts.map((text) => ({ contentBlockDelta: { contentBlockIndex: 0, delta: { text } } }));
const stopped = (stopReason: string) => ({ messageStop: { stopReason } });
const counted = (inputTokens: number, outputTokens: number, more = {}) => ({
  metadata: {
    usage: { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, ...more },
    metrics: { latencyMs: 1 },
  },
});
const answer = [
  { messageStart: { role: 'assistant' } },
  ...said('Hel', 'lö'),
  { contentBlockStop: { contentBlockIndex: 0 } },
];
const whole = [...answer, stopped('end_turn'), counted(3, 2)];

async function ask(script: WireScript, options: Partial<BedrockAgentCoreOptions> = {}, pieceLength = 1) {
  await using server = await WireServer.start(script);
  const client = agentCoreClient(server.url, pieceLength);
  const provider = bedrockAgentCoreProvider({ client, harnessArn, ...options });
  const session = await provider.open({ system: 'Be brief.' }, { signal: noSignal() });
  const events: unknown[] = [];
  const read = (async () => {
    for await (const event of provider.request(session, provider.userInput('Hi'), { signal: noSignal() }))
      events.push(event);
  })();
  const error = await read.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { events, error, turn: provider.normalize(events as never[]), requests: server.requests, session };
}

describe('an invocation', () => {
  it.each([1, 2, 3, 7, 1_000])('is read whatever the pieces it comes in: %i bytes', async (pieceLength) => {
    const { events, error, turn } = await ask(
      (_, reply) => reply.head(200, head).end(eventFrames(whole)),
      {},
      pieceLength,
    );
    expect(error).toBeUndefined();
    expect(events).toEqual(whole);
    expect(turn).toMatchObject({ terminal: 'end_turn', stopReason: 'end_turn', text: 'Hellö' });
    expect(turn.usage).toEqual({ inputTokens: 3, outputTokens: 2, totalTokens: 5 });
  });

  it('asks as the wire has it', async () => {
    const { requests, session } = await ask((_, reply) => reply.head(200, head).end(eventFrames(whole)), {
      qualifier: 'prod',
      maxIterations: 3,
      request: { actorId: 'ada' },
    });
    const [{ method, url, headers, body } = { method: '', url: '', headers: {}, body: {} }] = requests;
    expect(`${method} ${url.split('?')[0]}`).toBe('POST /harnesses/invoke');
    expect(new URLSearchParams(url.split('?')[1]).get('harnessArn')).toBe(harnessArn);
    expect(headers['x-amzn-bedrock-agentcore-runtime-session-id']).toBe(session.id);
    expect(session.id.length).toBeGreaterThanOrEqual(33);
    expect(headers.authorization).toContain('/us-east-1/bedrock-agentcore/aws4_request');
    expect(body).toMatchObject({
      messages: [{ role: 'user', content: [{ text: 'Hi' }] }],
      systemPrompt: [{ text: 'Be brief.' }],
      maxIterations: 3,
    });
  });

  it('hands calls back, and takes their results as messages', async () => {
    const call = [
      { messageStart: { role: 'assistant' } },
      { contentBlockStart: { contentBlockIndex: 1, start: { toolUse: { toolUseId: 't1', name: 'weather' } } } },
      ...['{"loc', 'ation":"NYC"}'].map((input) => ({
        contentBlockDelta: { contentBlockIndex: 1, delta: { toolUse: { input } } },
      })),
      { contentBlockStop: { contentBlockIndex: 1 } },
      stopped('tool_use'),
    ];
    const { turn } = await ask((_, reply) => reply.head(200, head).end(eventFrames(call)));
    expect(turn).toMatchObject({ terminal: 'requires_action', stopReason: 'tool_use' });
    expect(turn.toolUses).toEqual([{ id: 't1', name: 'weather', input: { location: 'NYC' } }]);
    const { resumeInput } = bedrockAgentCoreProvider({ client: agentCoreClient('http://127.0.0.1:1'), harnessArn });
    const result = { toolUseId: 't1', name: 'weather', text: 'sunny', isError: true };
    expect(resumeInput(turn.toolUses, [result])).toMatchObject([
      { role: 'assistant', content: [{ toolUse: { toolUseId: 't1', name: 'weather', input: { location: 'NYC' } } }] },
      { role: 'user', content: [{ toolResult: { toolUseId: 't1', content: [{ text: 'sunny' }], status: 'error' } }] },
    ]);
    // AWS refuses a call whose input is no object, and a model may have made one.
    const broken = { id: 't1', name: 'weather', input: '{"loc' };
    expect(resumeInput([broken], [result])).toMatchObject([
      { content: [{ toolUse: { input: { INVALID_JSON: '{"loc' } } }] },
      {},
    ]);
  });
});

describe('an invocation that fails', () => {
  it.each<[what: string, script: (reply: WireReply) => unknown, failure: object]>([
    [
      'by an exception within the stream',
      (reply) =>
        reply
          .head(200, head)
          .end(
            Buffer.concat([
              eventFrames(answer),
              exceptionFrame('validationException', { message: 'bad', reason: 'CannotParse' }),
            ]),
          ),
      { kind: 'invalid_request', retryable: false, message: 'bad' },
    ],
    [
      'by an internal exception within the stream',
      (reply) => reply.head(200, head).end(exceptionFrame('internalServerException', { message: 'boom' })),
      { kind: 'server', retryable: true },
    ],
    [
      'by an error within the stream',
      (reply) => reply.head(200, head).end(errorFrame('ThrottlingException', 'slow down')),
      { retryable: true },
    ],
    [
      'by a refusal',
      (reply) => reply.json(403, { message: 'no' }, { 'x-amzn-errortype': 'AccessDeniedException' }),
      { kind: 'permission', status: 403 },
    ],
    [
      'by a limit',
      (reply) => reply.json(429, { message: 'slow' }, { 'x-amzn-errortype': 'ThrottlingException' }),
      { kind: 'rate_limit', status: 429 },
    ],
    ['by a stream that ends early', (reply) => reply.head(200, head).end(eventFrames(answer)), { retryable: true }],
    [
      'by a frame that is cut',
      (reply) => reply.head(200, head).end(eventFrames(answer).subarray(0, -5)),
      { retryable: true },
    ],
    [
      'by a frame with a wrong checksum',
      (reply) => {
        const bytes = eventFrames(answer);
        bytes[bytes.length - 6] = (bytes[bytes.length - 6] ?? 0) ^ 1;
        reply.head(200, head).end(bytes);
      },
      { retryable: true },
    ],
    [
      'by a lost connection',
      (reply) => {
        reply.head(200, head).write(eventFrames(answer));
        setImmediate(() => reply.drop());
      },
      { kind: 'network', retryable: true },
    ],
  ])('%s says so, after one request', async (_, script, failure) => {
    const { error, requests } = await ask((_, reply) => script(reply));
    expect(failureOf(error, { provider: 'bedrock-agentcore' })).toMatchObject(failure);
    expect(requests).toHaveLength(1);
  });

  it('because it ends between two of its messages is told so: the end of the first is not the end', async () => {
    const first = [{ messageStart: { role: 'assistant' } }, ...said('I look.'), stopped('tool_use')];
    const { error } = await ask((_, reply) => reply.head(200, head).end(eventFrames([...first, ...answer])));
    expect(error).toMatchObject({ code: 'BACKEND_FAILED', status: 'DATA_LOSS' });
  });

  it('is none when all was said, though the connection stays open', async () => {
    const clock = new ManualClock();
    async function* stream() {
      yield* whole;
      await new Promise(() => {});
    }
    const client = { invokeHarness: async () => ({ stream: stream() }) };
    const provider = bedrockAgentCoreProvider({ client, harnessArn, idleTimeoutMs: 1_000, clock });
    const session = await provider.open({}, { signal: noSignal() });
    const events = provider.request(session, provider.userInput('Hi'), { signal: noSignal() })[Symbol.asyncIterator]();
    for (const event of whole) expect(await events.next()).toEqual({ done: false, value: event });
    const next = events.next();
    await quiet();
    clock.advance(1_000);
    expect(await next).toMatchObject({ done: true });
  });

  it('because nothing comes any more is told so, and the request is ended', async () => {
    const clock = new ManualClock();
    const hungUp = new Gate();
    await using server = await WireServer.start((_, reply) => {
      reply.head(200, head).write(eventFrames(answer));
      void reply.hungUp.then(() => hungUp.open());
    });
    const provider = bedrockAgentCoreProvider({
      client: agentCoreClient(server.url),
      harnessArn,
      idleTimeoutMs: 1_000,
      clock,
    });
    const session = await provider.open({}, { signal: noSignal() });
    const events = provider.request(session, provider.userInput('Hi'), { signal: noSignal() })[Symbol.asyncIterator]();
    for (let count = 0; count < answer.length; count++) await events.next();
    const next = events.next();
    await quiet();
    clock.advance(1_000);
    expect(failureOf(await errorOf(next), { provider: 'p' })).toMatchObject({ kind: 'timeout', retryable: true });
    await hungUp.opened;
  });

  it('hangs up when it is cancelled', async () => {
    const hungUp = new Gate();
    await using server = await WireServer.start((_, reply) => {
      reply.head(200, head).write(eventFrames(answer));
      void reply.hungUp.then(() => hungUp.open());
    });
    const provider = bedrockAgentCoreProvider({ client: agentCoreClient(server.url), harnessArn });
    const session = await provider.open({}, { signal: noSignal() });
    const controller = new AbortController();
    const events = provider.request(session, provider.userInput('Hi'), { signal: controller.signal });
    const read = (async () => {
      for await (const _ of events) controller.abort('enough');
    })();
    expect(await errorOf(read)).toBe('enough');
    await hungUp.opened;
  });

  it('hangs up when its reader leaves', async () => {
    const hungUp = new Gate();
    await using server = await WireServer.start((_, reply) => {
      reply.head(200, head).write(eventFrames(answer));
      void reply.hungUp.then(() => hungUp.open());
    });
    const provider = bedrockAgentCoreProvider({ client: agentCoreClient(server.url), harnessArn });
    const session = await provider.open({}, { signal: noSignal() });
    await take(provider.request(session, provider.userInput('Hi'), { signal: noSignal() }), 1);
    await hungUp.opened;
  });
});

describe('a session', () => {
  const client = agentCoreClient('http://127.0.0.1:1');

  it('needs an id of 33 characters or more', async () => {
    const { open } = bedrockAgentCoreProvider({ client, harnessArn });
    const refused = { code: 'INVALID_VALUE', issues: [{ path: 'sessionId' }] };
    await expect(open({ sessionId: 'x'.repeat(32) }, { signal: noSignal() })).rejects.toMatchObject(refused);
    expect(await open({ sessionId: 'x'.repeat(33) }, { signal: noSignal() })).toMatchObject({ id: 'x'.repeat(33) });
  });

  // RMA repeated what it asked, and ran turns twice.
  it('refuses a client that repeats what it asks', async () => {
    const { open } = bedrockAgentCoreProvider({ client: agentCoreClient('http://127.0.0.1:1', 1, 3), harnessArn });
    const refused = {
      code: 'INVALID_VALUE',
      issues: [{ path: 'client', expected: expect.stringContaining('maxAttempts: 1') }],
    };
    await expect(open({}, { signal: noSignal() })).rejects.toMatchObject(refused);
  });
});

describe('a turn', () => {
  it.each([
    [[...said('a'), stopped('max_tokens')], { terminal: 'terminated', stopReason: 'max_tokens', text: 'a' }],
    [[...said('a'), stopped('stop_sequence')], { terminal: 'end_turn' }],
    [[stopped('content_filtered')], { terminal: 'terminated', stopReason: 'content_filtered', text: '' }],
    [[{ unheardOf: 1 }, {}], { terminal: 'terminated', stopReason: 'stream_ended' }],
    [
      [counted(3, 1, { cacheReadInputTokens: 4 }), counted(1, 1), stopped('end_turn')],
      { usage: { inputTokens: 8, outputTokens: 2, totalTokens: 10 } },
    ],
  ])('of %j', (events, turn) => {
    expect(normalizeHarness(events)).toMatchObject(turn);
  });

  it('tells what AWS ran itself, and does not hand it back', () => {
    const started = (toolUseId: string, type: string) => ({
      contentBlockStart: { contentBlockIndex: 0, start: { toolUse: { toolUseId, name: type, type } } },
    });
    const ran = {
      contentBlockStart: { contentBlockIndex: 0, start: { toolResult: { toolUseId: 'own', status: 'success' } } },
    };
    const turn = normalizeHarness([
      { messageStart: { role: 'assistant' } },
      started('own', 'tool_use'),
      stopped('tool_use'),
      { messageStart: { role: 'user' } },
      ran,
      stopped('tool_result'),
      { messageStart: { role: 'assistant' } },
      started('mcp', 'mcp_tool_use'),
      { messageStart: { role: 'assistant' } },
      started('mine', 'tool_use'),
      stopped('tool_use'),
    ]);
    expect(turn.toolUses.map(({ id }) => id)).toEqual(['mine']);
    expect(turn.serverToolUses.map(({ id }) => id)).toEqual(['own', 'mcp']);
  });

  it('is peeked at event by event', () => {
    const { peek } = bedrockAgentCoreProvider({ client: agentCoreClient('http://127.0.0.1:1'), harnessArn });
    expect(said('a').map(peek)).toEqual([{ text: 'a' }]);
    expect(peek(counted(1, 2))).toEqual({ usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3 } });
  });
});
