/** The backend suite's model behind `genkitBackend`: a Genkit model of our own, or Gemini's plugin and a local server. */
import { googleAI } from '@genkit-ai/google-genai';
import { type GenerateRequest, type Genkit, GenkitError, genkit, z } from 'genkit';
import type { Backend } from '../../src/backends/backend.js';
import { genkitBackend } from '../../src/genkit/genkit-backend.js';
import type { AskedTurn, BackendUnderTest, ModelFailure, ModelTurn } from '../../src/testing/backend-suite.js';
import { GeminiError, type GeminiRequest, startGeminiServer } from './gemini-server.js';
import type { GeminiPiece } from './gemini-wire.js';

/** The tool the suite's model calls. */
export function defineLookUp(ai: Genkit, output: () => string) {
  return ai.defineTool(
    { name: 'look_up', description: 'looks up', inputSchema: z.object({ word: z.string() }), outputSchema: z.string() },
    async () => output(),
  );
}

const statuses = {
  rate_limit: 'RESOURCE_EXHAUSTED',
  authentication: 'UNAUTHENTICATED',
  invalid_request: 'INVALID_ARGUMENT',
  server: 'INTERNAL',
} as const;

type Message = GenerateRequest['messages'][number];

function textOf(message: Message | undefined): string {
  return (message?.content ?? []).map(({ text }) => text ?? '').join('');
}

/** How a model was asked, in the suite's terms. */
function askedOf(messages: readonly Message[]): AskedTurn {
  const system = textOf(messages.find(({ role }) => role === 'system'));
  const answered = messages.filter(({ role, content }) => role === 'model' && !content.some((p) => p.toolRequest));
  return {
    prompt: textOf(messages.filter(({ role }) => role === 'user').at(-1)),
    earlier: answered.length,
    ...(system === '' ? {} : { system }),
  };
}

/** How a model in this process behaves. */
interface ModelManners {
  /** False for one that only answers whole. */
  readonly streams?: boolean;
  /** False for one that does not heed its signal. */
  readonly heeds?: boolean;
}

/** `genkitBackend` on a model in this process. */
export function inProcessModel(manners: ModelManners = {}): BackendUnderTest {
  return modelUnderTest(manners, (ai, output) =>
    genkitBackend(ai, { model: 'suite', tools: [defineLookUp(ai, output)] }),
  );
}

/** A backend on the model `suite` in this process; the tool `look_up` is to give what `output` says. */
export function modelUnderTest(
  { streams = true, heeds = true }: ModelManners,
  backendOf: (ai: Genkit, output: () => string) => Backend,
): BackendUnderTest {
  const ai = genkit({});
  const turns: ModelTurn[] = [];
  const asked: AskedTurn[] = [];
  let working = 0;
  let output = '';
  ai.defineModel({ name: 'suite', apiVersion: 'v2' }, async (request, { sendChunk, abortSignal }) => {
    const isAnswer = request.messages.at(-1)?.role === 'tool';
    const [turn = {}] = turns;
    if (!isAnswer) asked.push(askedOf(request.messages));
    if (!isAnswer && turn.tool !== undefined) {
      output = turn.tool.output;
      const { name, input } = turn.tool;
      return {
        message: { role: 'model', content: [{ toolRequest: { name, input, ref: 'c1' } }] },
        finishReason: 'stop',
      };
    }
    turns.shift();
    working += 1;
    try {
      return await speak(turn, streams ? sendChunk : () => {}, heeds ? abortSignal : undefined);
    } finally {
      working -= 1;
    }
  });
  return {
    backend: backendOf(ai, () => output),
    play: (turn) => void turns.push(turn),
    asked: () => asked,
    working: () => working,
  };
}

async function speak(
  { text = [], usage, end = 'done' }: ModelTurn,
  sendChunk: (chunk: { content: { text: string }[] }) => void,
  signal: AbortSignal | undefined,
) {
  if (end in statuses) throw new GenkitError({ status: statuses[end as ModelFailure], message: 'as asked' });
  for (const piece of text) sendChunk({ content: [{ text: piece }] });
  if (end === 'hang')
    await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('stopped'))));
  // As plugins do: the cause is lost.
  if (end === 'drop') throw new Error('Error reading from the stream');
  return {
    message: { role: 'model' as const, content: [{ text: text.join('') }] },
    finishReason: 'stop' as const,
    ...(usage === undefined ? {} : { usage }),
  };
}

const httpCodes: Readonly<Record<ModelFailure, number>> = {
  rate_limit: 429,
  authentication: 401,
  invalid_request: 400,
  server: 500,
};

/** Gemini's own plugin, against a local server. */
export async function geminiModel(): Promise<BackendUnderTest> {
  const turns: ModelTurn[] = [];
  const asked: AskedTurn[] = [];
  let working = 0;
  let output = '';
  const server = await startGeminiServer({
    async reply(request) {
      const isAnswer = request.functionResponses.length > 0;
      const [turn = {}] = turns;
      if (!isAnswer) asked.push(askedOfGemini(request));
      if (!isAnswer && turn.tool !== undefined) {
        output = turn.tool.output;
        return [{ functionCall: { name: turn.tool.name, args: turn.tool.input } }];
      }
      turns.shift();
      if (turn.end !== undefined && turn.end in httpCodes)
        return new GeminiError(httpCodes[turn.end as ModelFailure], 'as asked');
      working += 1;
      void request.outcome.then(() => {
        working -= 1;
      });
      return pieces(turn, request);
    },
  });
  const ai = genkit({
    plugins: [googleAI({ apiKey: 'test', baseUrl: server.url, apiVersion: 'v1beta' })],
  });
  const lookUp = defineLookUp(ai, () => output);
  return {
    backend: genkitBackend(ai, { model: 'googleai/gemini-2.5-flash', tools: [lookUp] }),
    play: (turn) => void turns.push(turn),
    asked: () => asked,
    working: () => working,
    dispose: () => server.close(),
  };
}

async function* pieces({ text = [], end }: ModelTurn, { hungUp }: GeminiRequest): AsyncGenerator<GeminiPiece> {
  for (const piece of text) yield piece;
  if (end === 'hang') await new Promise((resolve) => hungUp.addEventListener('abort', resolve));
  if (end === 'drop') throw new Error('dropped');
}

function askedOfGemini({ text, body }: GeminiRequest): AskedTurn {
  const system = body.systemInstruction?.parts.map((part) => ('text' in part ? part.text : '')).join('');
  const answered = body.contents.filter(
    ({ role, parts }) => role === 'model' && !parts.some((part) => 'functionCall' in part),
  );
  return { prompt: text, earlier: answered.length, ...(system === undefined ? {} : { system }) };
}
