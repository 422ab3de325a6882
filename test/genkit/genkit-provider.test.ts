import '../support/quiet-genkit.js';
import { type GenerateRequest, type GenerateResponseData, GenkitError, genkit, z } from 'genkit';
import { describe, expect, test } from 'vitest';
import {
  type LoopOptions,
  MemoryToolJournal,
  providerBackend,
  runSession,
  startSession,
} from '../../src/backends/tool-loop.js';
import { type GenkitProviderOptions, genkitProvider } from '../../src/genkit/genkit-provider.js';
import { testBackend } from '../../src/testing/backend-suite.js';
import { modelUnderTest } from '../support/genkit-models.js';
import { type Call, noting } from '../support/loop.js';
import { errorOf, Gate } from '../support/waiting.js';

type Answer = Partial<GenerateResponseData> & { readonly chunks?: readonly string[] };

const said = (text: string): Answer => ({ message: { role: 'model', content: [{ text }] } });
const calling = (...calls: { name: string; input?: unknown; ref?: string }[]): Answer => ({
  message: { role: 'model', content: calls.map((toolRequest) => ({ toolRequest: { input: {}, ...toolRequest } })) },
});

/** A Genkit model that answers one thing after another, and notes what it was asked. */
function model(...answers: (Answer | ((request: GenerateRequest) => Answer | Promise<Answer>))[]) {
  const ai = genkit({});
  const requests: GenerateRequest[] = [];
  ai.defineModel({ name: 'm', apiVersion: 'v2' }, async (request, { sendChunk }) => {
    requests.push(structuredClone(request));
    const next = answers.shift() ?? said('nothing more');
    const { chunks = [], ...answer } = typeof next === 'function' ? await next(request) : next;
    for (const text of chunks) sendChunk({ content: [{ text }] });
    return { finishReason: 'stop', ...answer } as GenerateResponseData;
  });
  const provider = (options: Partial<GenkitProviderOptions> = {}) => genkitProvider(ai, { model: 'm', ...options });
  const run = (options: Partial<LoopOptions> = {}, own?: Partial<GenkitProviderOptions>) =>
    runSession(provider(own), { handler: () => 'ok', prompt: 'Hi', ...options });
  return { ai, requests, provider, run };
}

describe('the contract, behind a backend', () => {
  testBackend({
    test,
    create: () =>
      modelUnderTest({}, (ai, output) =>
        providerBackend(
          genkitProvider(ai, {
            model: 'suite',
            tools: [{ name: 'look_up', description: 'looks up', inputSchema: z.object({ word: z.string() }) }],
          }),
          { handler: () => output() },
        ),
      ),
  });
});

describe('genkitProvider', () => {
  test('hands tools back, and answers the model with what they return', async () => {
    const calls: Call[] = [];
    const { run, requests } = model(
      calling({ name: 'f', input: { n: 1 }, ref: 'r1' }, { name: 'g' }, { name: 'fails' }),
      said('done'),
    );
    const tools = [
      { name: 'f', description: 'does f', inputSchema: z.object({ n: z.number() }) },
      { name: 'g', description: 'does g', inputJsonSchema: { type: 'object' } },
      { name: 'fails', description: 'fails' },
    ];
    const handler = noting(calls, ({ name }) => {
      if (name === 'fails') throw new RangeError('as asked');
      return name === 'f' ? { n: 2 } : 'text';
    });
    const { text, turns, toolUses, transcript } = await run(
      { handler },
      { tools, system: 'Be kind.', config: { temperature: 0 } },
    );
    expect([text, turns]).toEqual(['done', 2]);
    expect(calls.map(({ name, input }) => [name, input])).toEqual([
      ['f', { n: 1 }],
      ['g', {}],
      ['fails', {}],
    ]);
    expect(requests[0]).toMatchObject({
      messages: [
        { role: 'system', content: [{ text: 'Be kind.' }] },
        { role: 'user', content: [{ text: 'Hi' }] },
      ],
      config: { temperature: 0 },
      tools: [{ name: 'f', description: 'does f' }, { name: 'g' }, { name: 'fails' }],
    });
    expect(requests[1]?.messages.at(-1)).toEqual({
      role: 'tool',
      content: [
        { toolResponse: { name: 'f', ref: 'r1', output: { n: 2 } } },
        { toolResponse: { name: 'g', ref: toolUses[1]?.id, output: 'text' } },
        { toolResponse: { name: 'fails', ref: toolUses[2]?.id, output: { error: 'RangeError: as asked' } } },
      ],
    });
    expect(transcript?.map(({ role }) => role)).toEqual(['user', 'model', 'tool', 'model']);
  });

  test('takes tools of Genkit’s own for their definitions alone', async () => {
    const { ai, run, requests } = model(calling({ name: 'own' }), said('done'));
    let ran = false;
    const own = ai.defineTool({ name: 'own', description: 'Genkit’s', inputSchema: z.object({}) }, async () => {
      ran = true;
      return 'no';
    });
    const calls: Call[] = [];
    await run({ handler: noting(calls) }, { tools: [own, 'own'].slice(0, 1) });
    expect([ran, calls.length]).toEqual([false, 1]);
    expect(requests[0]?.tools).toMatchObject([{ name: 'own', description: 'Genkit’s' }]);
  });

  test('gives calls ids of their own where the model repeats itself', async () => {
    const calls: Call[] = [];
    const { run } = model(
      calling({ name: 'f', ref: '0' }),
      calling({ name: 'f', ref: '0' }),
      calling({ name: 'f' }),
      said('done'),
    );
    await run({ handler: noting(calls) });
    expect(calls).toHaveLength(3);
    expect(new Set(calls.map(({ callId }) => callId)).size).toBe(3);
  });

  test('the same call again, and nothing else, is run again and does not end the request', async () => {
    const calls: Call[] = [];
    const again = calling({ name: 'f', input: { n: 1 } }, { name: 'f', input: { n: 1 } });
    const { run, requests } = model(again, again, said('done'));
    expect(await run({ handler: noting(calls) })).toMatchObject({ terminal: 'end_turn', text: 'done', turns: 3 });
    expect(calls).toHaveLength(4);
    const answers = requests.map(({ messages }) => messages.at(-1)?.content.filter((part) => part.toolResponse).length);
    expect(answers, 'no turn without an answer to each call').toEqual([0, 2, 2]);
  });

  test('streams, and counts', async () => {
    const usage = { inputTokens: 3, outputTokens: 2, totalTokens: 5 };
    const { run } = model({ ...said('Hello'), chunks: ['Hel', 'lo'], usage });
    const result = await run();
    expect(result).toMatchObject({ text: 'Hello', usage });
    expect(result.events.map((event) => (event as { type: string }).type)).toEqual(['chunk', 'chunk', 'response']);
  });

  test.each([
    ['length', 'terminated'],
    ['other', 'end_turn'],
    ['interrupted', 'terminated'],
  ] as const)('keeps the reason for the end: %s', async (finishReason, terminal) => {
    const { run } = model({ ...said('half'), finishReason });
    expect(await run()).toMatchObject({ terminal, stopReason: finishReason, text: 'half' });
  });

  test('says that an answer was refused', async () => {
    const { run } = model({ ...said(''), finishReason: 'blocked', finishMessage: 'no' });
    expect(await errorOf(run())).toMatchObject({ kind: 'refused', retryable: false });
  });

  test('a failure is told at once, and the turn was never asked', async () => {
    const { provider, requests } = model(
      () => {
        throw new GenkitError({ status: 'RESOURCE_EXHAUSTED', message: 'slow down' });
      },
      () => {
        throw Object.assign(new TypeError('reset'), { code: 'ECONNRESET' });
      },
      said('fine'),
    );
    const session = await startSession(provider(), { handler: () => '' });
    expect(await errorOf(session.message('one'))).toMatchObject({ kind: 'rate_limit', retryable: true });
    expect(await errorOf(session.message('two'))).toMatchObject({ kind: 'network', retryable: true });
    expect(await session.message('three')).toMatchObject({ text: 'fine' });
    expect(requests.at(-1)?.messages).toEqual([{ role: 'user', content: [{ text: 'three' }] }]);
    await session.close();
  });

  test('a session is taken up with its conversation, and its waiting calls are run first', async () => {
    const first = model(calling({ name: 'f', ref: 'r1' }), said('never'));
    const { transcript, sessionId, limit } = await first.run({ maxTurns: 1 });
    expect(limit).toBe('max_turns');
    const calls: Call[] = [];
    const second = model(said('I see.'), said('Go on.'));
    const result = await second.run({ handler: noting(calls), sessionId, messages: transcript ?? [], prompt: 'And?' });
    expect(calls.map(({ callId }) => callId)).toEqual(['r1']);
    expect(result).toMatchObject({ text: 'I see.\nGo on.', sessionId });
    expect(second.requests[0]?.messages.map(({ role }) => role)).toEqual(['user', 'model', 'tool']);
  });

  test('an interrupt while tools run leaves a conversation the model accepts', async () => {
    const journal = new MemoryToolJournal();
    const { provider, requests } = model(calling({ name: 'f', ref: 'r1' }), said('I see.'), said('Go on.'));
    const working = new Gate();
    const handler = () => {
      working.open();
      return new Promise(() => {});
    };
    const session = await startSession(provider(), { handler, journal });
    const first = session.message('one');
    await working.opened;
    session.interrupt();
    expect(await first).toMatchObject({ limit: 'interrupted' });
    expect(await session.message('two')).toMatchObject({ text: 'I see.\nGo on.' });
    expect(requests.at(-1)?.messages.map(({ role }) => role)).toEqual(['user', 'model', 'tool', 'model', 'user']);
    await session.close();
  });
});
