/** Genkit's own HTTP client against agents of ours, over a real Express server. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expressHandler } from '@genkit-ai/express';
import express from 'express';
import { AgentError, remoteAgent } from 'genkit/beta/client';
import { afterEach, describe, expect, test } from 'vitest';
import { abortOnClose } from '../../src/index.js';
import { Deferred } from '../../src/internal/deferred.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { type ChatWork, defineTalker, echo, echoAgent, textsOf } from '../support/chat.js';

const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** Serves an agent as Genkit's documentation says, and answers a client of it. */
async function serve(agent: ReturnType<typeof echoAgent>) {
  const app = express().use(express.json());
  app.post('/chat', abortOnClose, expressHandler(agent.chatAgent));
  app.post('/chat/getSnapshot', expressHandler(agent.chatAgent.getSnapshotDataAction));
  app.post('/chat/abort', expressHandler(agent.chatAgent.abortAgentAction));
  const server = app.listen(0, '127.0.0.1');
  servers.push(server);
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  return remoteAgent<{ count: number; mood?: string }>({ url: `http://127.0.0.1:${port}/chat` });
}

/** Says that it has begun, and when it was told to stop. */
function patient() {
  const [begun, stopped] = [new Deferred<void>(), new Deferred<void>()];
  const work: ChatWork = async (input, args, turn) => {
    if (input !== 'wait') return echo(input, args, turn);
    await args.responder.send('working');
    begun.resolve();
    await new Promise<void>((resolve) => turn.signal.addEventListener('abort', () => resolve()));
    stopped.resolve();
  };
  return { work, begun: begun.promise, stopped: stopped.promise };
}

describe('with a store', () => {
  test('two turns with streaming, then on by session and by snapshot', async () => {
    const agent = await serve(echoAgent(new MemorySessionStore()));
    const chat = agent.chat();
    const pieces: string[] = [];
    const turn = chat.sendStream('one');
    for await (const chunk of turn.stream) if (chunk.text !== '') pieces.push(chunk.text);
    expect(pieces).toEqual(['you said ', 'one']);
    expect(await turn.response).toMatchObject({ text: 'you said one', finishReason: 'stop', state: { count: 1 } });
    const first = chat.snapshotId ?? '';
    expect((await chat.send('two')).text).toBe('you said two');
    expect([chat.state, textsOf(chat.messages)]).toEqual([
      { count: 2 },
      ['one', 'you said one', 'two', 'you said two'],
    ]);

    const bySession = await agent.loadChat({ sessionId: chat.sessionId ?? '' });
    expect(textsOf(bySession.messages)).toEqual(['one', 'you said one', 'two', 'you said two']);
    await bySession.send('three');
    expect((await agent.getSnapshot({ sessionId: chat.sessionId ?? '' }))?.state?.custom).toEqual({ count: 3 });

    const bySnapshot = agent.chat({ snapshotId: first });
    await bySnapshot.send('instead');
    const snapshot = await agent.getSnapshot(bySnapshot.snapshotId ?? '');
    expect(textsOf(snapshot?.state?.messages)).toEqual(['one', 'you said one', 'instead', 'you said instead']);
    expect(snapshot).toMatchObject({ sessionId: chat.sessionId, status: 'completed' });

    const byName = agent.chat({ sessionId: 'my own name' });
    expect((await byName.send('hello')).sessionId).toBe('my own name');
  });

  test('text in any script, and in pieces of any size', async () => {
    const text = 'héllo — 日本語 👩‍👩‍👧 𝒳 \u0000 \u2028 data: {"error":1}\n\n'.repeat(40);
    const agent = await serve(
      defineTalker(
        async (input, { responder }) => {
          for (const character of input) await responder.send(character);
        },
        { store: new MemorySessionStore() },
      ),
    );
    const chat = agent.chat();
    const turn = chat.sendStream(text);
    let pieces = 0;
    for await (const _ of turn.stream) pieces += 1;
    expect(pieces).toBeGreaterThanOrEqual([...text].length);
    await turn.response;
    // Read back whole: Genkit's own client decodes a stream packet by packet and spoils a character that two packets share.
    const snapshot = await agent.getSnapshot(chat.snapshotId ?? '');
    expect(textsOf(snapshot?.state?.messages)[0]).toBe(text);
  });

  test('a turn that fails is an AgentError, and the chat goes on from before it', async () => {
    const work: ChatWork = async (input, args, turn) => {
      if (input === 'fail') throw Object.assign(new TypeError('as asked'), { status: 'RESOURCE_EXHAUSTED' });
      await echo(input, args, turn);
    };
    const agent = await serve(defineTalker(work, { store: new MemorySessionStore() }));
    const chat = agent.chat();
    await chat.send('one');
    const error = await chat.send('fail').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AgentError);
    expect(error).toMatchObject({ status: 'RESOURCE_EXHAUSTED', message: 'as asked', snapshotId: chat.snapshotId });
    expect((await chat.send('two')).text).toBe('you said two');
    const snapshot = await agent.getSnapshot(chat.snapshotId ?? '');
    expect(textsOf(snapshot?.state?.messages)).toEqual(['one', 'you said one', 'two', 'you said two']);
  });

  test('a turn is aborted through its snapshot, from another client', async () => {
    const { work, begun, stopped } = patient();
    const agent = await serve(defineTalker(work, { store: new MemorySessionStore() }));
    const chat = agent.chat();
    await chat.send('one');
    const before = chat.snapshotId ?? '';
    const turn = chat.sendStream('wait');
    await begun;
    expect(await agent.abort(before)).toBe('pending');
    await stopped;
    expect((await turn.response).finishReason).toBe('aborted');
    expect((await chat.send('two')).text).toBe('you said two');
    expect(await chat.abort()).toBe('completed');
  });

  test('a client that hangs up ends its turn', async () => {
    const { work, stopped } = patient();
    const agent = await serve(defineTalker(work, { store: new MemorySessionStore() }));
    const turn = agent.chat({ sessionId: 'mine' }).sendStream('wait');
    // Genkit's client lets nobody know of an abort who does not read the stream.
    for await (const chunk of turn.stream) if (chunk.text === 'working') turn.abort();
    await stopped;
    expect((await turn.response).finishReason).toBe('aborted');
    expect((await agent.chat({ sessionId: 'mine' }).send('two')).text).toBe('you said two');
  });

  test('a turn in the background is waited for by its task', async () => {
    const agent = await serve(echoAgent(new MemorySessionStore()));
    const task = await agent.chat({ sessionId: 'mine' }).detach('this');
    const { status, state } = await task.wait({ intervalMs: 1 });
    expect([status, ...textsOf(state?.messages)]).toEqual(['completed', 'this', 'you said this']);
  });
});

test('without a store the client keeps the state, whole, from turn to turn', async () => {
  const agent = await serve(echoAgent());
  const chat = agent.chat();
  await chat.send('one');
  const response = await chat.send('two');
  expect(response.snapshotId).toBeUndefined();
  expect(response.raw.state).toMatchObject({ sessionId: chat.sessionId, custom: { count: 2 } });
  expect(textsOf(chat.messages)).toEqual(['one', 'you said one', 'two', 'you said two']);
});
