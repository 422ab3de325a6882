/** Two vendors on this machine: what they stream is what Anthropic's and OpenAI's APIs stream, and they remember nothing. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

type Frame = { readonly type: string } & Readonly<Record<string, unknown>>;

/** Starts the server; both SDKs are pointed at it by their base URL. */
export async function startVendors() {
  const server = createServer(async (request, response) => {
    const { messages, input } = (await bodyOf(request)) as { messages?: Said[]; input?: Said[] };
    const answer = answerTo((messages ?? input ?? []).filter(({ role }) => role === 'user').map(textOf));
    const frames = messages === undefined ? openaiFrames(answer) : anthropicFrames(answer);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const frame of frames) response.write(`event: ${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

interface Said {
  readonly role?: string;
  readonly content: readonly { readonly text?: string }[];
}

function textOf({ content }: Said): string {
  return content.map(({ text = '' }) => text).join('');
}

/** What the model says when it has been told these things, oldest first. */
function answerTo(told: readonly string[]): string {
  return told.length === 1 ? `I have heard "${told[0]}".` : `Before "${told.at(-1)}" I have heard "${told[0]}".`;
}

function anthropicFrames(text: string): Frame[] {
  const usage = { input_tokens: 12, output_tokens: 1 };
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'local', content: [], usage };
  return [
    { type: 'message_start', message },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    ...words(text).map((word) => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text: word },
    })),
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 8 } },
    { type: 'message_stop' },
  ];
}

function openaiFrames(text: string): Frame[] {
  const item = {
    type: 'message',
    id: 'msg_1',
    role: 'assistant',
    content: [{ type: 'output_text', text, annotations: [] }],
  };
  const usage = { input_tokens: 12, output_tokens: 8, total_tokens: 20 };
  const response = { id: 'resp_1', object: 'response', model: 'local', status: 'completed', output: [item], usage };
  return [
    { type: 'response.created', response: { ...response, status: 'in_progress', output: [] } },
    ...words(text).map((delta) => ({ type: 'response.output_text.delta', output_index: 0, content_index: 0, delta })),
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response },
  ];
}

function words(text: string): string[] {
  return text.match(/\S+\s*/g) ?? [];
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return JSON.parse(text);
}
