/**
 * An agent for Genkit's own chat client: `remoteAgent` talks to it over HTTP as it talks to any agent of Genkit's, tokens as
 * they come. It is the same agent and the same session; another caller may be in this process.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expressHandler } from '@genkit-ai/express';
import express from 'express';
import { genkit } from 'genkit';
import { remoteAgent } from 'genkit/beta/client';
import { SqliteSessionStore } from 'genkitx-agent/stores/sqlite';
import { defineChat } from '../chat/agent.js';
import { defineDemoModel } from '../chat/demo-model.js';

const ai = genkit({ model: 'demo/offline' });
defineDemoModel(ai);
const store = new SqliteSessionStore({ path: ':memory:' });

// The agent of the terminal chat. `chatAgent` is its chat face; it needs inputs and chunks that are text, or Genkit's own.
const agent = defineChat(ai, store);
const { chatAgent } = agent;

const app = express();
app.use(express.json());
app.post('/chat', expressHandler(chatAgent));
app.post('/chat/getSnapshot', expressHandler(chatAgent.getSnapshotDataAction));
app.post('/chat/abort', expressHandler(chatAgent.abortAgentAction));
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');

const remote = remoteAgent({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/chat` });
const chat = remote.chat();

// A turn over HTTP.
const turn = chat.sendStream('my name is Ada');
const tokens: string[] = [];
for await (const { text } of turn.stream) if (text) tokens.push(text);
const { text: answer } = await turn.response;
assert.equal(tokens.join(''), answer);
assert(tokens.length > 3);

// The next one from here, on the same session.
const { sessionId } = chat;
assert(sessionId !== undefined);
const local = agent.streamBidi({ sessionId });
local.send('my cat is Tom');
for await (const token of local.receive()) assert.equal(typeof token, 'string');
local.close();
await local.output();

// And somewhere else, a client that knows no more than the session's id.
const other = await remote.loadChat({ sessionId });
assert.equal(other.messages.length, 4);
const { text } = await other.send('what did I say first?');
console.log(text);
assert.match(text, /my name is Ada/);
assert.match((await other.send('what is my cat?')).text, /Your cat is Tom/);

server.close();
await store.close();
