/** What Genkit's `expressHandler` tells of an agent that fails. */
import '../support/quiet-genkit.js';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expressHandler } from '@genkit-ai/express';
import express from 'express';
import { GenkitError, genkit, UserFacingError, z } from 'genkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AgentFlowError } from '../../src/errors.js';
import { defineAgent } from '../../src/genkit/define-agent.js';
import { MemorySessionStore } from '../../src/stores/memory.js';

const failures: Record<string, () => unknown> = {
  plain: () => new TypeError('a secret'),
  'plain, with a status': () => Object.assign(new TypeError('a secret'), { status: 'RESOURCE_EXHAUSTED' }),
  null: () => null,
  unreadable: () => new Proxy(new Error('a secret'), { getPrototypeOf: () => expect.fail('was looked at') }),
  'for the user': () => new UserFacingError('PERMISSION_DENIED', 'not yours', { owner: 'Ada' }),
  'of Genkit': () => new GenkitError({ status: 'NOT_FOUND', message: 'no such model' }),
  ours: () => new AgentFlowError('STORE_FAILED', 'the store is away', { cause: failures['of Genkit']?.() }),
};

const app = express().use(express.json());
let url = '';
let close = () => {};

beforeAll(async () => {
  const config = {
    name: 'failing',
    inputSchema: z.string(),
    streamSchema: z.string(),
    store: new MemorySessionStore(),
  };
  const agent = defineAgent(genkit({}), config, async ({ turns }) => {
    await turns((input) => {
      throw failures[input]?.();
    });
    return { output: null };
  });
  app.post('/flow', expressHandler(agent.flow));
  app.post('/chat', expressHandler(agent.chatAgent));
  app.post('/chat/getSnapshot', expressHandler(agent.chatAgent.getSnapshotDataAction));
  app.post('/chat/abort', expressHandler(agent.chatAgent.abortAgentAction));
  const server = app.listen(0);
  close = () => void server.close();
  await once(server, 'listening');
  url = `http://localhost:${(server.address() as AddressInfo).port}`;
});

afterAll(() => close());

function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  const json = { 'content-type': 'application/json', ...headers };
  return fetch(url + path, { method: 'POST', headers: json, body: JSON.stringify(body) });
}

async function answer(path: string, body: object): Promise<[number, unknown]> {
  const response = await post(path, body);
  return [response.status, await response.json()];
}

const withheld = { status: 'INTERNAL', message: 'Internal Error' };

test.each<[string, unknown, number, object]>([
  ['an input that does not fit', 7, 400, { status: 'INVALID_ARGUMENT', details: { code: 'INVALID_VALUE' } }],
  ['an error of ours', 'ours', 503, { message: 'the store is away', details: { code: 'STORE_FAILED' } }],
  ['one that is for the user', 'for the user', 403, { message: 'not yours', details: { owner: 'Ada' } }],
  ['one of Genkit’s', 'of Genkit', 404, { status: 'NOT_FOUND', message: 'no such model' }],
])('%s is told with its status, its message and its details', async (_, data, status, told) => {
  expect(await answer('/flow', { data })).toMatchObject([status, told]);
});

test('of an input it is told where it does not fit, and what was expected there', async () => {
  const [, told] = await answer('/flow', { data: 7 });
  const issues = [{ path: '', expected: 'string', received: 'number' }];
  const details = { code: 'INVALID_VALUE', details: { kind: 'input', issues } };
  expect(told).toEqual({ status: 'INVALID_ARGUMENT', message: 'Invalid input: expected string, got number', details });
});

test.each(['plain', 'plain, with a status', 'null', 'unreadable'])(
  'what a handler throws is nobody’s business: %s',
  async (data) => {
    expect(await answer('/flow', { data })).toEqual([500, withheld]);
  },
);

test('a stream ends with the same', async () => {
  const stream = { accept: 'text/event-stream' };
  const [refused, failed] = await Promise.all([
    post('/flow', { data: 7 }, stream).then((response) => response.text()),
    post('/flow', { data: 'plain' }, stream).then((response) => response.text()),
  ]);
  expect(JSON.parse(refused.slice('error: '.length)).error).toMatchObject({ status: 'INVALID_ARGUMENT' });
  expect(JSON.parse(failed.slice('error: '.length)).error).toEqual(withheld);
});

test.each<[string, string, object, number]>([
  ['a chat with an init for another kind of agent', '/chat', { data: {}, init: { state: {} } }, 400],
  ['a chat with an input that is none', '/chat', { data: { message: 'hello' } }, 400],
  ['a snapshot that is not there', '/chat/getSnapshot', { data: { snapshotId: 'none' } }, 404],
  ['a look at no snapshot', '/chat/getSnapshot', { data: {} }, 400],
])('%s has its status', async (_, path, body, status) => {
  expect((await answer(path, body))[0]).toBe(status);
});
