/** What Genkit's `expressHandler` tells of an agent that fails, and what a route of one's own can. */
import '../support/quiet-genkit.js';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expressHandler } from '@genkit-ai/express';
import express from 'express';
import { genkit, z } from 'genkit';
import { expect, onTestFinished, test } from 'vitest';
import { isAgentFlowError } from '../../src/errors.js';
import { defineAgent } from '../../src/genkit/define-agent.js';

/** An agent that throws what it is told, behind both kinds of route. */
async function served() {
  const config = { name: 'failing', inputSchema: z.string() };
  const agent = defineAgent(genkit({}), config, async ({ turns }) => {
    await turns((input) => {
      throw new TypeError(input);
    });
    return { output: null };
  });
  const app = express().use(express.json());
  app.post('/handler', expressHandler(agent.flow));
  app.post('/route', async ({ body }, response) => {
    const error: unknown = await agent.run(body.data).catch((thrown) => thrown);
    if (isAgentFlowError(error)) response.status(error.status === 'INVALID_ARGUMENT' ? 400 : 500).json(error.toJSON());
  });
  const server = app.listen(0);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return async (path: string, data: unknown) => {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ data });
    const response = await fetch(`http://localhost:${port}${path}`, { method: 'POST', headers, body });
    const told = (await response.json()) as Record<string, unknown>;
    return { status: response.status, told };
  };
}

test('the handler of Genkit says nothing of it, whatever it was', async () => {
  const say = await served();
  for (const data of ['a secret', 7]) {
    expect(await say('/handler', data)).toEqual({
      status: 500,
      told: { status: 'INTERNAL', message: 'Internal Error' },
    });
  }
});

test('a route of one’s own tells status, code, message and details, and no stack', async () => {
  const say = await served();
  const wrong = await say('/route', 7);
  expect(wrong).toMatchObject({ status: 400, told: { status: 'INVALID_ARGUMENT', code: 'INVALID_VALUE' } });
  expect(wrong.told.details).toMatchObject({ kind: 'input', issues: [{ expected: 'string', received: 'number' }] });
  const failed = await say('/route', 'broken');
  expect(failed).toEqual({ status: 500, told: { status: 'INTERNAL', code: 'HANDLER_FAILED', message: 'broken' } });
});
