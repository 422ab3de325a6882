import '../support/quiet-genkit.js';
import {
  type GenerateRequest,
  type GenerateResponseChunkData,
  type GenerateResponseData,
  type Genkit,
  GenkitError,
  genkit,
  ToolInterruptError,
  z,
} from 'genkit';
import { describe, expect, test } from 'vitest';
import type { BackendSessionOptions } from '../../src/backends/backend.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import { runPrompt } from '../../src/backends/run-prompt.js';
import { type GenkitBackendOptions, genkitBackend } from '../../src/genkit/genkit-backend.js';
import { testBackend } from '../../src/testing/backend-suite.js';
import { geminiModel, inProcessModel } from '../support/genkit-models.js';
import { errorOf, Gate, quiet } from '../support/waiting.js';

const because = (reason: string, ...names: string[]) => names.map((name) => ({ case: name, reason }));

const needStreaming = ['text arrives while the model is still speaking', 'a reader that leaves early ends the work'];

describe('the contract, on a model in this process', () => {
  testBackend({ test, create: inProcessModel });
});

describe('the contract, on a model that does not stream', () => {
  const skip = because('the model says nothing before it has said all', ...needStreaming);
  testBackend({ test, create: () => inProcessModel({ streams: false }), skip });
});

describe('the contract, on a model that does not heed its signal', () => {
  const skip = because(
    'nobody can stop the model; that nobody waits for it, and nothing follows it, is tested below',
    ...needStreaming,
    'a hanging model holds up its own session only',
    'a session that is terminated stops its work, and may be terminated again',
    'a turn that is cancelled ends within a second, as cancelled, and so does its work',
    'a session goes on after a turn that was cancelled',
    'a turn that is cancelled takes no other with it',
  );
  testBackend({ test, create: () => inProcessModel({ heeds: false }), skip });
});

describe('the contract, on Gemini’s plugin', () => {
  const skip = because(
    'the local server counts words itself; see below',
    'usage is what each turn used, whatever the vendor counts',
  );
  testBackend({ test, create: geminiModel, skip });
});

type Answer = Partial<GenerateResponseData> & { readonly chunks?: readonly GenerateResponseChunkData[] };
type Step = Answer | ((request: GenerateRequest, signal: AbortSignal) => Answer | Promise<Answer>);

const said = (text: string): Answer => ({ message: { role: 'model', content: [{ text }] } });
const calling = (...calls: { name: string; input?: unknown; ref?: string }[]): Answer => ({
  message: { role: 'model', content: calls.map((toolRequest) => ({ toolRequest: { input: {}, ...toolRequest } })) },
});

/** A session on a model that answers one step after another, and notes what it was asked. */
async function talk(
  steps: readonly Step[],
  options: (ai: Genkit) => Partial<GenkitBackendOptions> = () => ({}),
  sessionOptions: BackendSessionOptions = {},
) {
  const ai = genkit({});
  const requests: GenerateRequest[] = [];
  const left = [...steps];
  ai.defineModel({ name: 'm', apiVersion: 'v2' }, async (request, { sendChunk, abortSignal }) => {
    requests.push(structuredClone(request));
    const next = left.shift() ?? said('nothing more');
    const { chunks = [], ...answer } = typeof next === 'function' ? await next(request, abortSignal) : next;
    for (const chunk of chunks) sendChunk(chunk);
    return { finishReason: 'stop', ...answer } as GenerateResponseData;
  });
  const backend = genkitBackend(ai, { model: 'm', ...options(ai) });
  const session = await openBackendSession(backend, sessionOptions);
  return { ai, requests, session, backend };
}

const lookUp = (work: () => unknown) => (ai: Genkit) => ({
  tools: [ai.defineTool({ name: 'look', description: 'looks', inputSchema: z.any() }, async () => work())],
});

const chunk = (text: string, more: object = {}) => ({ content: [{ text }], ...more });

describe('what the model is asked', () => {
  test('the conversation, every prompt in it, an empty one too', async () => {
    const { session, requests } = await talk([said('one'), said('two')]);
    await session.send('');
    await session.send([{ text: 'look' }, { media: { url: 'data:image/png;base64,AAAA' } }]);
    expect(requests[1]?.messages).toEqual([
      { role: 'user', content: [{ text: '' }] },
      { role: 'model', content: [{ text: 'one' }] },
      { role: 'user', content: [{ text: 'look' }, { media: { url: 'data:image/png;base64,AAAA' } }] },
    ]);
  });

  test('with the session’s own instruction, the model’s configuration, and the conversation so far', async () => {
    const messages = [
      { role: 'user' as const, content: [{ text: 'I am Ada' }] },
      { role: 'model' as const, content: [{ text: 'Hello' }] },
    ];
    const own = () => ({ system: 'Be brief.', config: { temperature: 0 } });
    const { session, requests } = await talk([said('Ada')], own, { messages, system: 'Be kind.' });
    await session.send('Who am I?');
    expect(requests[0]).toMatchObject({
      config: { temperature: 0 },
      messages: [{ role: 'system', content: [{ text: 'Be kind.' }] }, ...messages, { role: 'user' }],
    });
  });

  test('what the caller does to a prompt afterwards is not seen', async () => {
    const { session, requests } = await talk([said('one'), said('two')]);
    const prompt = [{ text: 'first' }];
    await session.send(prompt);
    prompt[0] = { text: 'changed' };
    await session.send('second');
    expect(requests[1]?.messages[0]).toEqual({ role: 'user', content: [{ text: 'first' }] });
  });
});

describe('what the model says', () => {
  test.each<[string, readonly GenerateResponseChunkData[]]>([
    ['piece by piece', [chunk('Hel'), chunk('lo')]],
    ['as a growing whole', [chunk('Hel', { aggregated: true }), chunk('Hello', { aggregated: true })]],
    ['only in part', [chunk('Hel')]],
    ['not at all', []],
  ])('is told once, streamed %s', async (_, chunks) => {
    const { session } = await talk([{ ...said('Hello'), chunks }]);
    const { text, events } = await session.send('Hi');
    expect(text).toBe('Hello');
    expect(events.map((event) => (event.type === 'text' ? event.text : '')).join('')).toBe('Hello');
  });

  test('between tool calls is told where it was said', async () => {
    const { session } = await talk(
      [
        {
          message: { role: 'model', content: [{ text: 'Let me see. ' }, { toolRequest: { name: 'look', input: 1 } }] },
        },
        said('Tea.'),
      ],
      lookUp(() => 'leaves'),
    );
    const { events, text, numTurns } = await session.send('What?');
    expect([text, numTurns]).toEqual(['Let me see. Tea.', 2]);
    expect(events.map(({ type }) => type)).toEqual(['session', 'text', 'tool_use', 'tool_result', 'text', 'result']);
  });

  test('too long an answer is a failure that keeps what there was', async () => {
    const { session } = await talk([{ ...said('half of'), finishReason: 'length' }]);
    const error = await errorOf(session.send('Tell me all'));
    expect(error).toMatchObject({ kind: 'incomplete', retryable: false, response: { text: 'half of', isError: true } });
  });

  test('a refusal is a failure of its own', async () => {
    const { session } = await talk([{ ...said(''), finishReason: 'blocked', finishMessage: 'unsafe' }]);
    expect(await errorOf(session.send('x'))).toMatchObject({ kind: 'refused', retryable: false });
  });

  test('usage is summed over the model calls of a turn', async () => {
    const usage = (inputTokens: number, outputTokens: number) => ({ usage: { inputTokens, outputTokens } });
    const { session } = await talk(
      [
        { ...calling({ name: 'look' }), ...usage(5, 2) },
        { ...said('x'), ...usage(9, 4) },
      ],
      lookUp(() => 1),
    );
    expect((await session.send('x')).usage).toEqual({ inputTokens: 14, outputTokens: 6, totalTokens: 20 });
  });
});

describe('tools', () => {
  test('that throw answer the model, and the turn goes on', async () => {
    const { session, requests } = await talk(
      [calling({ name: 'look', ref: 'r' }), said('Never mind.')],
      lookUp(() => {
        throw new RangeError('too far');
      }),
    );
    const { text, events } = await session.send('x');
    expect(text).toBe('Never mind.');
    expect(events.find((event) => event.type === 'tool_result')).toMatchObject({ id: 'r', isError: true });
    expect(requests[1]?.messages.at(-1)?.content).toEqual([
      { toolResponse: { name: 'look', ref: 'r', output: { error: 'too far' } } },
    ]);
  });

  test('without a ref are told under ids of their own', async () => {
    const { session } = await talk(
      [calling({ name: 'look' }, { name: 'look' }), said('x')],
      lookUp(() => 1),
    );
    const { events } = await session.send('x');
    const uses = events.flatMap((event) => (event.type === 'tool_use' ? [event.id] : []));
    const results = events.flatMap((event) => (event.type === 'tool_result' ? [event.id] : []));
    expect(new Set(uses).size).toBe(2);
    expect([...results].sort()).toEqual([...uses].sort());
  });

  test('are remembered with the turn', async () => {
    const { session, requests } = await talk(
      [calling({ name: 'look', ref: 'r' }), said('x'), said('y')],
      lookUp(() => 1),
    );
    await session.send('one');
    await session.send('two');
    expect(requests[2]?.messages.map(({ role }) => role)).toEqual(['user', 'model', 'tool', 'model', 'user']);
  });

  test('that are called too often are a failure', async () => {
    const { session } = await talk([calling({ name: 'look' }), calling({ name: 'look' })], (ai) => ({
      ...lookUp(() => 1)(ai),
      maxTurns: 1,
    }));
    expect(await errorOf(session.send('x'))).toMatchObject({ kind: 'limit', retryable: false });
  });

  test('see the context of the caller, and a signal of their own', async () => {
    let seen: { context: unknown; signal: unknown } | undefined;
    const { ai, session } = await talk([calling({ name: 'who' }), said('x')], (own) => ({
      tools: [
        own.defineTool({ name: 'who', description: 'who' }, async (_, { context, abortSignal }) => {
          seen = { context: context.user, signal: abortSignal };
          return 'you';
        }),
      ],
    }));
    const outer = ai.defineFlow('outer', async () => (await session.send('x')).text);
    await outer(undefined, { context: { user: 'ada' } });
    expect(seen).toEqual({ context: 'ada', signal: expect.any(AbortSignal) });
  });

  test('that wait for somebody end the turn; the answer goes on from there', async () => {
    const { session, requests } = await talk(
      [calling({ name: 'ask', ref: 'r' }), said('Thanks.'), said('Yes?')],
      (ai) => ({
        tools: [
          ai.defineTool({ name: 'ask', description: 'asks', inputSchema: z.any() }, async () => {
            throw new ToolInterruptError();
          }),
        ],
      }),
    );
    const waiting = await session.send('Book it');
    expect(waiting).toMatchObject({ stopReason: 'tool_interrupt', isError: false });
    expect(waiting.events.map(({ type }) => type)).toEqual(['session', 'tool_use', 'result']);
    const answer = { toolResponse: { name: 'ask', ref: 'r', output: 'yes' } };
    expect(await session.send([answer])).toMatchObject({ text: 'Thanks.', stopReason: 'end_turn' });
    expect(requests[1]?.messages.at(-1)).toMatchObject({ role: 'tool', content: [answer] });
    await session.send('And?');
    expect(requests[2]?.messages.map(({ role }) => role)).toEqual(['user', 'model', 'tool', 'model', 'user']);
  });
});

describe('cancelling', () => {
  test('ends a turn whose model does not heed it: nothing more is told, and no tool is run', async () => {
    const gate = new Gate();
    let ran = false;
    const { backend } = await talk(
      [
        async () => {
          await gate.opened;
          return { ...calling({ name: 'look' }), chunks: [chunk('too late')] };
        },
      ],
      lookUp(() => {
        ran = true;
      }),
    );
    const controller = new AbortController();
    const events: string[] = [];
    const turn = runPrompt(backend, await backend.startSession(), 'x', {
      signal: controller.signal,
      onEvent: ({ type }) => void events.push(type),
    });
    await quiet();
    controller.abort('enough');
    expect((await turn).error).toMatchObject({ code: 'BACKEND_CANCELLED', cause: 'enough' });
    gate.open();
    await quiet();
    expect([events, ran]).toEqual([['session'], false]);
  });

  test('between two model calls asks no second one', async () => {
    const controller = new AbortController();
    const { backend, requests } = await talk(
      [calling({ name: 'look' }), said('never')],
      lookUp(() => controller.abort()),
    );
    const { error } = await runPrompt(backend, await backend.startSession(), 'x', { signal: controller.signal });
    expect(error).toMatchObject({ kind: 'cancelled' });
    await quiet();
    expect(requests).toHaveLength(1);
  });

  test('a turn that fails with nobody reading it becomes no unhandled rejection', async () => {
    const failing: Step = () => {
      throw new GenkitError({ status: 'INTERNAL', message: 'as asked' });
    };
    const { backend } = await talk([failing, failing]);
    const session = await backend.startSession();
    const { events } = await backend.prompt(session, 'x', { signal: new AbortController().signal });
    for await (const event of events) if (event.type === 'session') break;
    await quiet();
  });
});

describe('Gemini’s plugin', () => {
  test('usage is told as the server counts it', async () => {
    const { backend, play, dispose } = await geminiModel();
    await play({ text: ['two words '] });
    const session = await openBackendSession(backend);
    expect((await session.send('one two three')).usage).toEqual({ inputTokens: 3, outputTokens: 2, totalTokens: 5 });
    await dispose?.();
  });
});
