/** Messages that are told piece by piece: the official SDK, the loop, and a local server that streams them. */
import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { runSession } from '../../../src/backends/tool-loop.js';
import { Previews } from '../../../src/providers/claude-managed-agents/previews.js';
import { claudeManagedAgentsProvider } from '../../../src/providers/claude-managed-agents.js';
import { type WireReply, WireServer } from '../../support/wire-server.js';

const piece = (event_id: string, text: string, index = 0) => ({
  type: 'event_delta',
  event_id,
  delta: { type: 'content_delta', index, content: { type: 'text', text } },
});
const message = (id: string, ...texts: string[]) => ({
  type: 'agent.message',
  id,
  content: texts.map((text) => ({ type: 'text', text })),
});

/** What is heard of events that arrive, one after another; each is looked at twice. */
function heard(...events: object[]): (string | undefined)[] {
  const previews = new Previews();
  return events.map((event) => {
    previews.note(event as never);
    previews.peek(event as never);
    return previews.peek(event as never).text;
  });
}

describe('a message', () => {
  it('is said once, whatever came of it before', () => {
    expect(heard(message('m', 'Hello'))).toEqual(['Hello']);
    expect(heard(piece('m', 'Hel'), piece('m', 'lo'), message('m', 'Hello'))).toEqual(['Hel', 'lo', undefined]);
    expect(heard(piece('m', 'Hel'), message('m', 'Hello'))).toEqual(['Hel', 'lo']);
    expect(heard(piece('m', 'a'), piece('m', 'b', 1), message('m', 'a', 'bc'))).toEqual(['a', '\nb', 'c']);
    expect(heard(piece('m', 'a'), message('other', 'b'), message('m', 'ac'))).toEqual(['a', 'b', 'c']);
    // The piece between was lost: what is left to say cannot be known.
    expect(heard(piece('m', 'a'), piece('m', 'c'), message('m', 'abc'))).toEqual(['a', 'c', undefined]);
  });

  it('that is read from the history is said once too', () => {
    const previews = new Previews();
    previews.note(piece('m', 'Hel'));
    const whole = message('m', 'Hello');
    expect([previews.peek(whole), previews.peek(whole)]).toEqual([
      { id: 'm', text: 'lo' },
      { id: 'm', text: 'lo' },
    ]);
  });

  it('that never comes is forgotten in time', () => {
    const previews = new Previews();
    for (let nth = 0; nth <= 1_000; nth++) previews.note(piece(`m${nth}`, 'a'));
    expect(previews.peek(message('m0', 'ab'))).toMatchObject({ text: 'ab' });
    expect(previews.peek(message('m1', 'ab'))).toMatchObject({ text: 'b' });
  });
});

it('pieces are asked for, heard as they come, and not said again when the stream is lost between', async () => {
  const idle = { type: 'session.status_idle', id: 'i', stop_reason: { type: 'end_turn' } };
  const preview = { type: 'event_start', event: { type: 'agent.message', id: 'm' } };
  const streams: WireReply[] = [];
  const history: object[] = [];
  await using server = await WireServer.start(({ method, url }, reply) => {
    if (url.includes('/events/stream')) {
      streams.push(reply.head(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n'));
    } else if (!url.includes('/events')) reply.json(200, { id: 'sesn_1' });
    else if (method === 'GET') reply.json(200, { data: history, next_page: null });
    else {
      reply.json(200, { data: [] });
      const [stream] = streams;
      for (const event of [preview, piece('m', 'Hel')]) stream?.write(`data: ${JSON.stringify(event)}\n\n`);
      history.push(message('m', 'Hello'), idle);
      setImmediate(() => stream?.drop());
    }
  });
  const client = new Anthropic({ apiKey: 'test', baseURL: server.url, logLevel: 'off' });
  const provider = claudeManagedAgentsProvider({ client, agent: 'a', environmentId: 'e', previews: true });
  const said: unknown[] = [];
  const { text, events } = await runSession(provider, {
    prompt: 'Hi',
    handler: { handleToolCall: () => '', handleEvent: (event) => said.push(provider.peek(event as never).text) },
  });
  expect(text).toBe('Hello');
  expect(said).toEqual([undefined, 'Hel', 'lo', undefined]);
  expect(events).toEqual([preview, piece('m', 'Hel'), message('m', 'Hello'), idle]);
  const asked = server.requests.filter(({ url }) => url.includes('/events/stream'));
  expect(decodeURIComponent(asked[0]?.url ?? '')).toMatch(/event_deltas(\[\])?=agent\.message/);
});
