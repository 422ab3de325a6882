/** A conversation that OpenAI keeps: each turn goes on from the response before, in another process too. */
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import type { Backend, Message } from '../../src/backends/backend.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import { type OpenAIBackendOptions, type OpenAIHistory, openaiBackend } from '../../src/backends/openai.js';
import { type ResponseItem, responseStream } from '../support/openai-wire.js';
import { collect, errorOf } from '../support/waiting.js';
import { type WireReply, WireServer } from '../support/wire-server.js';

type Options = Partial<OpenAIBackendOptions>;
type Answer = readonly ResponseItem[] | ((reply: WireReply) => unknown);

/** A server whose responses are `resp_1`, `resp_2` and so on, and a backend whose history it keeps. */
async function serving(...answers: Answer[]) {
  const server = await WireServer.start((_, reply) => {
    const answer = answers[server.requests.length - 1] ?? [{ text: 'nothing more' }];
    if (typeof answer === 'function') return answer(reply);
    return reply.events(responseStream(answer, { id: `resp_${server.requests.length}` }));
  });
  const client = new OpenAI({ apiKey: 'k', baseURL: server.url, logLevel: 'off' });
  const backend = (options: Options = {}) =>
    openaiBackend({ client, model: 'm', history: 'server', ...options }) as Backend;
  const asked = () =>
    server.requests.map(({ body }) => {
      const { previous_response_id: previous, input } = body as { previous_response_id?: string; input: unknown[] };
      return { previous, input };
    });
  return { server, backend, asked, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const said = (text: string) => ({ type: 'message', role: 'user', content: [{ type: 'input_text', text }] });
const messages: readonly Message[] = [
  { role: 'user', content: [{ text: 'I am Ada' }] },
  { role: 'model', content: [{ text: 'Hello' }] },
];
const told = [
  said('I am Ada'),
  { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Hello' }] },
];
const lost = (status: number, error: object) => (reply: WireReply) =>
  reply.json(status, { error: { message: "Previous response with id 'resp_9' not found.", ...error } });
const lostAsItIs = lost(400, { code: 'previous_response_not_found', param: 'previous_response_id' });

describe('a turn', () => {
  it('goes on from the response before, and tells only what is new', async () => {
    await using openai = await serving([{ text: 'one' }], [{ text: 'two' }]);
    const session = await openBackendSession(openai.backend(), { system: 'Be brief.' });
    await session.send('first');
    await session.send('second');
    expect(openai.asked()).toEqual([
      { previous: undefined, input: [said('first')] },
      { previous: 'resp_1', input: [said('second')] },
    ]);
    // OpenAI carries over what was said, but not what is told before everything else.
    for (const { body } of openai.server.requests) {
      expect(body).toMatchObject({ store: true, instructions: 'Be brief.' });
      expect(body).not.toHaveProperty('include');
    }
  });

  it('answers its tool calls from the response that made them', async () => {
    const call = { id: 'c1', name: 'look', input: {} };
    await using openai = await serving([call], [{ text: 'done' }], [{ text: 'more' }]);
    const tools = [{ name: 'look', inputSchema: { type: 'object' }, run: () => 'seen' }];
    const session = await openBackendSession(openai.backend({ tools }));
    expect(await session.send('first')).toMatchObject({ text: 'done', sessionId: 'resp_2' });
    await session.send('second');
    expect(openai.asked()).toEqual([
      { previous: undefined, input: [said('first')] },
      { previous: 'resp_1', input: [{ type: 'function_call_output', call_id: 'c1', output: 'seen' }] },
      { previous: 'resp_2', input: [said('second')] },
    ]);
  });

  it('that failed in the middle of its calls is gone on from the one before', async () => {
    const call = { id: 'c1', name: 'look', input: {} };
    const refuse = (reply: WireReply) => reply.json(500, { error: { message: 'boom' } });
    await using openai = await serving([{ text: 'one' }], [call], refuse, [{ text: 'three' }]);
    const tools = [{ name: 'look', inputSchema: { type: 'object' }, run: () => 'seen' }];
    const session = await openBackendSession(openai.backend({ tools }));
    await session.send('first');
    expect(await errorOf(session.send('second'))).toMatchObject({ kind: 'server' });
    await session.send('third');
    expect(openai.asked().at(-1)).toEqual({ previous: 'resp_1', input: [said('third')] });
  });

  it('tells the id of its response, which is the one to resume by, and none before', async () => {
    await using openai = await serving([{ text: 'one' }], [{ text: 'two' }]);
    const session = await openBackendSession(openai.backend());
    const ids = async (prompt: string) => {
      const { events } = await session.send(prompt);
      return events.flatMap((event) => ('sessionId' in event ? [`${event.type} ${event.sessionId}`] : []));
    };
    expect(await ids('first')).toEqual(['session resp_1', 'result resp_1']);
    expect(await ids('second')).toEqual(['session resp_1', 'session resp_2', 'result resp_2']);
    expect(session.sessionId).toBe('resp_2');
  });

  it('begins with the messages of a new session, told once', async () => {
    await using openai = await serving([{ text: 'one' }], [{ text: 'two' }]);
    const session = await openBackendSession(openai.backend(), { messages });
    await session.send('first');
    await session.send('second');
    expect(openai.asked()).toEqual([
      { previous: undefined, input: [...told, said('first')] },
      { previous: 'resp_1', input: [said('second')] },
    ]);
  });

  it('is no answer where the response has no id to go on from', async () => {
    await using openai = await serving((reply) => reply.events(responseStream([{ text: 'one' }], { id: '' })));
    const session = await openBackendSession(openai.backend());
    expect(await errorOf(session.send('first'))).toMatchObject({ kind: 'protocol' });
  });
});

describe('a session that is taken up', () => {
  it('needs its id alone', async () => {
    await using openai = await serving([{ text: 'Ada' }], [{ text: 'Still Ada' }]);
    const session = await openBackendSession(openai.backend(), { resume: 'resp_9' });
    await session.send('Who am I?');
    await session.send('And now?');
    expect(openai.asked()).toEqual([
      { previous: 'resp_9', input: [said('Who am I?')] },
      { previous: 'resp_1', input: [said('And now?')] },
    ]);
  });

  it.each([
    ['as OpenAI says it', lostAsItIs, 400],
    ['by the parameter alone', lost(404, { code: null, param: 'previous_response_id' }), 404],
  ])('and is lost at OpenAI fails with a kind of its own: %s', async (_, answer, status) => {
    await using openai = await serving(answer);
    const session = await openBackendSession(openai.backend(), { resume: 'resp_9' });
    expect(await errorOf(session.send('Who am I?'))).toMatchObject({
      code: 'BACKEND_FAILED',
      failure: { kind: 'not_found', retryable: false, status, message: expect.stringContaining('resp_9') },
    });
    expect(openai.server.requests).toHaveLength(1);
  });

  it('and is lost at OpenAI is told anew where its messages are given', async () => {
    await using openai = await serving(lostAsItIs, [{ text: 'Ada' }], lostAsItIs);
    const session = await openBackendSession(openai.backend(), { resume: 'resp_9', messages });
    expect(await session.send('Who am I?')).toMatchObject({ text: 'Ada', sessionId: 'resp_2' });
    // From here on this side does not know the conversation any more.
    expect(await errorOf(session.send('And now?'))).toMatchObject({ kind: 'not_found' });
    expect(openai.asked()).toEqual([
      { previous: 'resp_9', input: [said('Who am I?')] },
      { previous: undefined, input: [...told, said('Who am I?')] },
      { previous: 'resp_2', input: [said('And now?')] },
    ]);
  });

  it('is not told anew for any other failure', async () => {
    await using openai = await serving((reply) => reply.json(404, { error: { message: 'no such model', code: 'x' } }));
    const session = await openBackendSession(openai.backend(), { resume: 'resp_9', messages });
    expect(await errorOf(session.send('Who am I?'))).toMatchObject({ kind: 'not_found' });
    expect(openai.server.requests).toHaveLength(1);
  });
});

describe('a turn that another process has left', () => {
  const question = { role: 'user' as const, content: [{ text: 'Look' }] };
  const toolRequest = { name: 'look', ref: 'c1', input: {} };
  const left: readonly Message[] = [...messages, question, { role: 'model', content: [{ toolRequest }] }];
  const call = { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' };
  const output = { type: 'function_call_output', call_id: 'c1', output: 'seen' };

  it.each([
    ['', [], [{ previous: 'resp_9', input: [said('Look'), call, output] }]],
    [
      ', told anew where OpenAI has lost what was before',
      [lostAsItIs],
      [expect.anything(), { previous: undefined, input: [...told, said('Look'), call, output] }],
    ],
  ])('is gone on with from its calls%s', async (_, before, asked) => {
    await using openai = await serving(...before, [{ text: 'I see' }]);
    const backend = openai.backend();
    const session = await backend.resumeSession?.('resp_9', { messages: left });
    const answered = [{ id: 'c1', name: 'look', input: {}, output: 'seen', isError: false }];
    const turn = await backend.resumeTurn?.(session, answered, { signal: new AbortController().signal });
    if (turn === undefined) throw new Error('expected a backend that goes on with a turn');
    expect((await collect(turn.events)).at(-1)).toMatchObject({ type: 'result' });
    expect(openai.asked()).toEqual(asked);
  });

  it('is left behind where something else is asked', async () => {
    await using openai = await serving([{ text: 'Hello' }]);
    const session = await openBackendSession(openai.backend(), { resume: 'resp_9', messages: left });
    await session.send('Hi');
    expect(openai.asked()).toEqual([{ previous: 'resp_9', input: [said('Hi')] }]);
  });
});

describe('the option', () => {
  it.each<[options: Options, path: string]>([
    [{ history: 'elsewhere' as OpenAIHistory }, 'history'],
    [{ request: { store: false } }, 'request.store'],
  ])('is checked: %o', async (options, path) => {
    await using openai = await serving();
    const refused = expect.objectContaining({ code: 'INVALID_VALUE', issues: [expect.objectContaining({ path })] });
    expect(() => openai.backend(options)).toThrow(refused);
  });
});
