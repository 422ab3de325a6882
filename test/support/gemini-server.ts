/**
 * A local server that speaks Gemini's wire format, so that the real plugins are tested without Google:
 *
 *     const gemini = await startGeminiServer({ reply: (request) => `you said: ${request.text}` });
 *     genkit({ plugins: [googleAI({ apiKey: 'test', baseUrl: gemini.url, apiVersion: 'v1beta' })] });
 *
 * That line is the same for @genkit-ai/google-genai and the deprecated @genkit-ai/googleai. The latter heeds `baseUrl` only
 * together with `apiVersion: 'v1beta'`, and then only for the models it knows by name (gemini-2.5-flash is one); with any
 * other it goes to Google.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  answer,
  type GeminiBody,
  GeminiError,
  type GeminiPart,
  type GeminiPiece,
  isFinish,
  textOf,
  toParts,
} from './gemini-wire.js';

export { type GeminiBody, type GeminiContent, GeminiError, type GeminiPart } from './gemini-wire.js';

/** A request to the model, as it came. */
export interface GeminiRequest {
  readonly model: string;
  readonly streaming: boolean;
  readonly apiKey: string | undefined;
  readonly body: GeminiBody;
  /** The text of the newest content: what the user has just said. */
  readonly text: string;
  /** The answers to function calls in the newest content. */
  readonly functionResponses: readonly { name: string; response: unknown }[];
  /** Fires when the client hangs up before the answer is complete. */
  readonly hungUp: AbortSignal;
  /** How it ended; resolves when it has. */
  readonly outcome: Promise<'answered' | 'refused' | 'hung up' | 'dropped'>;
}

/**
 * What the model says. Text is streamed word by word; of an iterable each item is one event, sent as soon as it is there,
 * so the test sets the pace; a request that does not stream gets all of it in one answer. A thrown `GeminiError` is an HTTP error before the first event; anything
 * thrown after it cuts the connection, which is what a lost one looks like.
 */
export type GeminiReply = string | Iterable<GeminiPiece> | AsyncIterable<GeminiPiece> | GeminiError;

export interface GeminiServerOptions {
  reply(request: GeminiRequest): GeminiReply | Promise<GeminiReply>;
}

export interface GeminiServer extends AsyncDisposable {
  /** For the plugin's `baseUrl`. */
  readonly url: string;
  /** All requests to a model, oldest first. */
  readonly requests: readonly GeminiRequest[];
  /** Hangs up on everybody. */
  close(): Promise<void>;
}

export async function startGeminiServer(options: GeminiServerOptions): Promise<GeminiServer> {
  const requests: GeminiRequest[] = [];
  const server = createServer((incoming, response) => {
    serve(incoming, response, requests, options).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  return { url: `http://127.0.0.1:${port}`, requests, close, [Symbol.asyncDispose]: close };
}

const route = /^\/v1(?:beta)?\/models\/([^/:]+):(generateContent|streamGenerateContent)$/;

async function serve(
  incoming: IncomingMessage,
  response: ServerResponse,
  requests: GeminiRequest[],
  options: GeminiServerOptions,
): Promise<void> {
  const url = new URL(incoming.url ?? '/', 'http://localhost');
  if (incoming.method === 'GET' && url.pathname === '/v1beta/models') return sendJson(response, 200, modelList);
  const [, model, method] = route.exec(url.pathname) ?? [];
  if (incoming.method !== 'POST' || model === undefined)
    return refuse(response, new GeminiError(404, 'no such method'));

  const hungUp = new AbortController();
  const outcome = new Promise<Awaited<GeminiRequest['outcome']>>((resolve) => {
    response.once('close', () => {
      const whole = response.writableFinished;
      if (whole) resolve(response.statusCode === 200 ? 'answered' : 'refused');
      else resolve(response.errored ? 'dropped' : 'hung up');
      if (!whole) hungUp.abort();
    });
  });
  const body = JSON.parse(await readAll(incoming)) as GeminiBody;
  const newest = body.contents.at(-1);
  const request: GeminiRequest = {
    model,
    streaming: method === 'streamGenerateContent',
    apiKey: incoming.headers['x-goog-api-key']?.toString() ?? url.searchParams.get('key') ?? undefined,
    body,
    text: textOf(newest),
    functionResponses: (newest?.parts ?? []).flatMap((p) => ('functionResponse' in p ? [p.functionResponse] : [])),
    hungUp: hungUp.signal,
    outcome,
  };
  requests.push(request);
  await respond(request, response, options);
}

async function respond(request: GeminiRequest, response: ServerResponse, options: GeminiServerOptions): Promise<void> {
  try {
    const reply = await options.reply(request);
    if (reply instanceof GeminiError) throw reply;
    const pieces = untilHungUp(inPieces(reply, request.streaming), request.hungUp);
    await (request.streaming ? sendEvents(request, response, pieces) : sendWhole(request, response, pieces));
  } catch (error) {
    if (request.hungUp.aborted) return;
    if (response.headersSent) response.destroy(error instanceof Error ? error : new Error(String(error)));
    else refuse(response, error instanceof GeminiError ? error : new GeminiError(500, String(error)));
  }
}

async function* inPieces(reply: Exclude<GeminiReply, GeminiError>, streaming: boolean): AsyncGenerator<GeminiPiece> {
  if (typeof reply === 'string') yield* streaming ? (reply.match(/\s*\S+\s*/g) ?? [reply]) : [reply];
  else yield* reply;
}

/** Stops waiting for the next piece when nobody waits for it; a reply that hangs is not waited for either. */
async function* untilHungUp<T>(pieces: AsyncGenerator<T>, hungUp: AbortSignal): AsyncGenerator<T> {
  const gone = new Promise<undefined>((resolve) => hungUp.addEventListener('abort', () => resolve(undefined)));
  while (!hungUp.aborted) {
    const step = await Promise.race([pieces.next(), gone]);
    if (step === undefined || step.done) break;
    yield step.value;
  }
  void pieces.return(undefined).catch(() => undefined);
}

/** Server-sent events with the line ends that Google sends; the one with the finish reason comes last. */
async function sendEvents(request: GeminiRequest, response: ServerResponse, pieces: AsyncIterable<GeminiPiece>) {
  let sent = '';
  const event = (parts: GeminiPart[], finishReason?: string) => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' });
    sent += textOf({ parts });
    response.write(`data: ${JSON.stringify(answer(request.body, parts, sent, finishReason))}\r\n\r\n`);
  };
  let finishReason: string | null = 'STOP';
  for await (const piece of pieces) {
    if (isFinish(piece)) finishReason = piece.finishReason;
    else event(toParts(piece));
  }
  if (request.hungUp.aborted) return;
  if (finishReason !== null) event([{ text: '' }], finishReason);
  response.end();
}

async function sendWhole(request: GeminiRequest, response: ServerResponse, pieces: AsyncIterable<GeminiPiece>) {
  const parts: GeminiPart[] = [];
  let finishReason: string | null = 'STOP';
  for await (const piece of pieces) {
    if (isFinish(piece)) finishReason = piece.finishReason;
    else parts.push(...toParts(piece));
  }
  if (request.hungUp.aborted) return;
  sendJson(response, 200, answer(request.body, parts, textOf({ parts }), finishReason ?? undefined));
}

function refuse(response: ServerResponse, error: GeminiError): void {
  if (error.retryAfterSeconds !== undefined) response.setHeader('retry-after', error.retryAfterSeconds);
  sendJson(response, error.code, error);
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8' }).end(JSON.stringify(value));
}

async function readAll(incoming: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}

/** The Dev UI lists a plugin's models, which asks the API for them. */
const modelList = {
  models: [
    {
      name: 'models/gemini-2.5-flash',
      displayName: 'Gemini 2.5 Flash',
      supportedGenerationMethods: ['generateContent', 'countTokens'],
    },
  ],
};

/** A reply whose events wait until the test lets them go, one by one. */
export interface GatedReply extends AsyncIterable<GeminiPiece> {
  /** Lets the next `count` events go; one by default. */
  open(count?: number): void;
}

export function gatedReply(pieces: readonly GeminiPiece[]): GatedReply {
  const gates = pieces.map(() => {
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    return { open, opened };
  });
  let next = 0;
  return {
    open(count = 1) {
      for (const gate of gates.slice(next, next + count)) gate.open();
      next += count;
    },
    async *[Symbol.asyncIterator]() {
      for (const [index, piece] of pieces.entries()) {
        await gates[index]?.opened;
        yield piece;
      }
    },
  };
}
