import { googleAI as newGoogleAI } from '@genkit-ai/google-genai';
import { googleAI as oldGoogleAI } from '@genkit-ai/googleai';
import { type Genkit, genkit, z } from 'genkit';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  GeminiError,
  type GeminiReply,
  type GeminiRequest,
  type GeminiServer,
  gatedReply,
  startGeminiServer,
} from './gemini-server.js';

let server: GeminiServer | undefined;
afterEach(() => server?.close());

async function start(reply: (request: GeminiRequest) => GeminiReply): Promise<GeminiServer> {
  server = await startGeminiServer({ reply });
  return server;
}

const model = 'googleai/gemini-2.5-flash';
const plugins = { '@genkit-ai/google-genai': newGoogleAI, '@genkit-ai/googleai': oldGoogleAI };

// Both print the errors that they throw.
beforeEach(() => {
  vi.spyOn(console, 'error').mockReturnValue();
  vi.spyOn(console, 'warn').mockReturnValue();
});
afterEach(() => vi.restoreAllMocks());

function defineWeather(ai: Genkit) {
  return ai.defineTool(
    {
      name: 'weather',
      description: 'The weather.',
      inputSchema: z.object({ city: z.string() }),
      outputSchema: z.string(),
    },
    async ({ city }) => `rain in ${city}`,
  );
}

describe.each(Object.entries(plugins))('%s against the local Gemini', (_name, googleAI) => {
  const connect = ({ url: baseUrl }: GeminiServer) =>
    genkit({ plugins: [googleAI({ apiKey: 'test-key', baseUrl, apiVersion: 'v1beta' })], model });

  it('answers, with usage', async () => {
    const gemini = await start(({ text }) => `you said: ${text}`);
    const response = await connect(gemini).generate({ system: 'Be brief.', prompt: 'hello there' });
    expect(response.text).toBe('you said: hello there');
    expect(response.finishReason).toBe('stop');
    expect(response.usage).toMatchObject({ inputTokens: 4, outputTokens: 4, totalTokens: 8 });
    expect(gemini.requests).toMatchObject([
      {
        model: 'gemini-2.5-flash',
        streaming: false,
        apiKey: 'test-key',
        text: 'hello there',
        body: { systemInstruction: { parts: [{ text: 'Be brief.' }] } },
      },
    ]);
    expect(await gemini.requests[0]?.outcome).toBe('answered');
  });

  it('streams, characters of many bytes too', async () => {
    const gemini = await start(() => 'grüße aus köln 👋 €');
    const { stream, response } = connect(gemini).generateStream('hi');
    const texts: string[] = [];
    for await (const chunk of stream) texts.push(chunk.text);
    expect(texts.filter(Boolean)).toEqual(['grüße ', 'aus ', 'köln ', '👋 ', '€']);
    expect((await response).text).toBe('grüße aus köln 👋 €');
    expect((await response).finishReason).toBe('stop');
    expect(gemini.requests[0]?.streaming).toBe(true);
  });

  it('hands the history over', async () => {
    const gemini = await start(({ body }) => `${body.contents.length} contents`);
    const ai = connect(gemini);
    const first = await ai.generate('one');
    const second = await ai.generate({ messages: first.messages, prompt: 'two' });
    expect(second.text).toBe('3 contents');
    expect(gemini.requests[1]?.body.contents).toEqual([
      { role: 'user', parts: [{ text: 'one' }] },
      { role: 'model', parts: [{ text: '1 contents' }] },
      { role: 'user', parts: [{ text: 'two' }] },
    ]);
  });

  it.each([false, true])('calls a tool and hears its answer (streaming: %s)', async (streaming) => {
    const gemini = await start(({ functionResponses: [answer] }) =>
      answer
        ? `it says ${JSON.stringify(answer.response)}`
        : [{ functionCall: { name: 'weather', args: { city: 'Oslo' } } }],
    );
    const ai = connect(gemini);
    const request = { prompt: 'weather?', tools: [defineWeather(ai)] };
    const response = streaming ? await ai.generateStream(request).response : await ai.generate(request);
    expect(response.text).toContain('rain in Oslo');
    expect(gemini.requests).toHaveLength(2);
    expect(gemini.requests[0]?.body.tools).toMatchObject([{ functionDeclarations: [{ name: 'weather' }] }]);
    expect(gemini.requests[1]?.functionResponses).toMatchObject([{ name: 'weather' }]);
  });

  it.each([400, 429, 503])('is refused with %i', async (code) => {
    const gemini = await start(() => new GeminiError(code, 'not today', { retryAfterSeconds: 1 }));
    const ai = connect(gemini);
    await expect(ai.generate('hi')).rejects.toThrow('not today');
    const { stream, response } = ai.generateStream('hi');
    response.catch(() => undefined);
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toThrow('not today');
    expect(await gemini.requests[0]?.outcome).toBe('refused');
  });

  it('notices an abort in the middle of a stream', async () => {
    const reply = gatedReply(['one ', 'two ', 'never']);
    const gemini = await start(() => reply);
    const abort = new AbortController();
    const { stream, response } = connect(gemini).generateStream({ prompt: 'hi', abortSignal: abort.signal });
    response.catch(() => undefined);
    const chunks = stream[Symbol.asyncIterator]();
    reply.open();
    expect((await chunks.next()).value?.text).toBe('one ');
    reply.open();
    expect((await chunks.next()).value?.text).toBe('two ');
    abort.abort();
    await expect(chunks.next()).rejects.toThrow();
    expect(await gemini.requests[0]?.outcome).toBe('hung up');
  });

  it('loses the connection in the middle of a stream', async () => {
    const cable = gatedReply(['']);
    const gemini = await start(async function* () {
      yield 'one ';
      for await (const _ of cable) throw new Error('cable cut');
    });
    const { stream, response } = connect(gemini).generateStream('hi');
    response.catch(() => undefined);
    const chunks = stream[Symbol.asyncIterator]();
    expect((await chunks.next()).value?.text).toBe('one ');
    cable.open();
    await expect(chunks.next()).rejects.toThrow('Error reading from the stream');
    expect(await gemini.requests[0]?.outcome).toBe('dropped');
  });

  // The last line is a stream that was cut short: neither plugin calls that an error.
  it.each([
    ['MAX_TOKENS', 'length'],
    [null, 'unknown'],
  ] as const)('ends a stream with %s as "%s"', async (finishReason, expected) => {
    const gemini = await start(() => ['one ', 'two', { finishReason }]);
    expect(await connect(gemini).generateStream('hi').response).toMatchObject({
      text: 'one two',
      finishReason: expected,
    });
  });

  it('ends a stream that was blocked', async () => {
    const gemini = await start(() => ['one ', { finishReason: 'SAFETY' }]);
    const { stream, response } = connect(gemini).generateStream('hi');
    response.catch(() => undefined);
    const read = async () => {
      for await (const { text } of stream) expect(['one ', '']).toContain(text);
    };
    await expect(read()).rejects.toThrow('blocked');
    await expect(response).rejects.toThrow('blocked');
  });

  it('does not look at a signal that is aborted already, so its caller must', async () => {
    const gemini = await start(() => 'too late');
    const response = await connect(gemini).generate({ prompt: 'hi', abortSignal: AbortSignal.abort() });
    expect(response.text).toBe('too late');
  });
});
