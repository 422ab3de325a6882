/** Google's two plugins, each against a local server that refuses: what they throw, told as every backend tells it. */
import '../support/quiet-genkit.js';
import { googleAI as googleGenAI } from '@genkit-ai/google-genai';
import { googleAI } from '@genkit-ai/googleai';
import { genkit } from 'genkit';
import { describe, expect, test } from 'vitest';
import { BackendError } from '../../src/backends/backend-error.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import { genkitBackend } from '../../src/genkit/genkit-backend.js';
import { refusingPort } from '../support/free-port.js';
import { GeminiError, type GeminiReply, startGeminiServer } from '../support/gemini-server.js';
import { errorOf } from '../support/waiting.js';
import { WireServer } from '../support/wire-server.js';

const plugins = { 'google-genai': googleGenAI, googleai: googleAI } as const;

const retryInfo = { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '12.25s' };
const wrongKey = { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' };
const refusal = (code: number, details: unknown[] = []) => new GeminiError(code, 'as asked', { details });

describe.each(Object.entries(plugins))('@genkit-ai/%s', (_, plugin) => {
  /** A turn of Gemini's model at this address. */
  async function turnAt(url: string) {
    const ai = genkit({ plugins: [plugin({ apiKey: 'test', baseUrl: url, apiVersion: 'v1beta' })] });
    const session = await openBackendSession(genkitBackend(ai, { model: 'googleai/gemini-2.5-flash' }));
    return errorOf(session.send('Hi'));
  }

  async function refusedWith(reply: GeminiReply): Promise<unknown> {
    await using gemini = await startGeminiServer({ reply: () => reply });
    return await turnAt(gemini.url);
  }

  test.each<[what: string, reply: GeminiError, failure: object]>([
    ['400', refusal(400), { kind: 'invalid_request', retryable: false, status: 400 }],
    ['400 for a wrong key', refusal(400, [wrongKey]), { kind: 'authentication', retryable: false, status: 400 }],
    ['401', refusal(401), { kind: 'authentication', retryable: false, status: 401 }],
    ['403', refusal(403), { kind: 'permission', retryable: false, status: 403 }],
    ['404', refusal(404), { kind: 'not_found', retryable: false, status: 404 }],
    ['429', refusal(429), { kind: 'rate_limit', retryable: true, status: 429 }],
    ['429 with a delay', refusal(429, [retryInfo]), { kind: 'rate_limit', retryable: true, retryAfterMs: 12_250 }],
    ['500', refusal(500), { kind: 'server', retryable: true, status: 500 }],
    ['503', refusal(503), { kind: 'overloaded', retryable: true, status: 503 }],
    ['504', refusal(504), { kind: 'timeout', retryable: true, status: 504 }],
  ])('%s is told by its kind', async (_, reply, failure) => {
    const error = await refusedWith(reply);
    expect(error).toBeInstanceOf(BackendError);
    expect(error).toMatchObject({
      failure: { provider: 'genkit', message: expect.stringContaining('as asked'), raw: expect.anything(), ...failure },
    });
  });

  test('an answer that safety cuts off is refused', async () => {
    const error = await refusedWith(['half of', { finishReason: 'SAFETY' }]);
    expect(error).toMatchObject({ kind: 'refused', retryable: false, response: { text: 'half of' } });
  });

  test('a prompt that is blocked is refused', async () => {
    const answer = { promptFeedback: { blockReason: 'SAFETY' }, usageMetadata: { promptTokenCount: 1 } };
    await using server = await WireServer.start((_, reply) => reply.events(`data: ${JSON.stringify(answer)}\r\n\r\n`));
    expect(await turnAt(server.url)).toMatchObject({ kind: 'refused', retryable: false });
  });

  test('a page of a proxy is told by its status', async () => {
    await using proxy = await WireServer.start((_, reply) => reply.head(502).end('<html>bad gateway</html>'));
    expect(await turnAt(proxy.url)).toMatchObject({ failure: { kind: 'server', retryable: true, status: 502 } });
  });

  test('a server that nobody reaches is worth another try', async () => {
    expect(await turnAt(`http://127.0.0.1:${refusingPort}`)).toMatchObject({ kind: 'network', retryable: true });
  });
});

describe('@genkit-ai/google-genai', () => {
  test('tells how long the header says to wait', async () => {
    const reply = new GeminiError(429, 'slow', { retryAfterSeconds: 7 });
    await using gemini = await startGeminiServer({ reply: () => reply });
    const ai = genkit({ plugins: [googleGenAI({ apiKey: 'test', baseUrl: gemini.url, apiVersion: 'v1beta' })] });
    const session = await openBackendSession(genkitBackend(ai, { model: 'googleai/gemini-2.5-flash' }));
    expect(await errorOf(session.send('Hi'))).toMatchObject({ kind: 'rate_limit', retryAfterMs: 7_000 });
  });
});
