/**
 * An agent behind Express: `expressHandler` serves one turn per request, the session id ties the turns together, and a
 * client that hangs up aborts its run.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expressHandler } from '@genkit-ai/express';
import express, { type RequestHandler } from 'express';
import { genkit, z } from 'genkit';
import { runFlow, streamFlow } from 'genkit/beta/client';
import { type AgentOutput, type AgentTypes, defineAgent } from 'genkitx-agent';
import { MemorySessionStore } from 'genkitx-agent/stores/memory';

let hasStopped = (_reason: unknown) => {};
const stopped = new Promise<unknown>((resolve) => {
  hasStopped = resolve;
});

const counter = defineAgent(
  genkit({}),
  {
    name: 'counter',
    inputSchema: z.object({ upTo: z.number(), wait: z.boolean().default(false) }),
    streamSchema: z.number(),
    outputSchema: z.string(),
    stateSchema: z.object({ counted: z.number() }),
    initialState: { counted: 0 },
    store: new MemorySessionStore(),
  },
  async ({ session, responder, turns, signal, context }) => {
    signal.addEventListener('abort', () => hasStopped(signal.reason));
    await turns(async ({ upTo, wait }) => {
      for (let number = 1; number <= upTo; number += 1) {
        await responder.send(number);
        await session.updateState((state) => {
          state.counted += 1;
        });
      }
      // Others would wait for a model here.
      if (wait) await once(signal, 'abort');
    });
    const { user } = context as { user: string };
    return { output: `${user} has counted ${session.state.counted}` };
  },
);

/**
 * Since Node 16 a request is closed as soon as its body has been read, so `expressHandler`, which waits for that event,
 * never learns that a client has hung up. The response knows: this hands its word on.
 */
const hangUps: RequestHandler = (request, response, next) => {
  response.once('close', () => {
    if (!response.writableFinished) request.emit('close');
  });
  next();
};

const app = express();
app.use(express.json());
app.post(
  '/counter',
  hangUps,
  expressHandler(counter.flow, { contextProvider: ({ headers }) => ({ user: headers['x-user'] ?? 'nobody' }) }),
);
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');

const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/counter`;
const headers = { 'x-user': 'Ada' };
type Counter = AgentTypes<typeof counter>;
type Output = AgentOutput<Counter['state'], Counter['output']>;

// The first turn opens a session; chunks arrive as they are sent.
const first = streamFlow<Output, Counter['stream']>({ url, headers, input: { upTo: 3 } });
const chunks: number[] = [];
for await (const chunk of first.stream) chunks.push(chunk);
assert.deepEqual(chunks, [1, 2, 3]);
const { sessionId, output } = await first.output;
assert.equal(output, 'Ada has counted 3');

// The next turn names it, in `init`.
const second = await runFlow<Output>({ url, headers, input: { upTo: 2 }, init: { sessionId } });
assert.equal(second.sessionId, sessionId);
assert.equal(second.output, 'Ada has counted 5');
console.log(second.output);

// A client that hangs up ends the work it asked for. (By `fetch`: an aborted `streamFlow` ends the whole process.)
const leaving = new AbortController();
const { body } = await fetch(url, {
  method: 'POST',
  headers: { ...headers, 'content-type': 'application/json', accept: 'text/event-stream' },
  body: JSON.stringify({ data: { upTo: 1, wait: true }, init: { sessionId } }),
  signal: leaving.signal,
});
const { value } = (await body?.getReader().read()) ?? {};
assert.equal(new TextDecoder().decode(value), 'data: {"message":1}\n\n');
leaving.abort();
assert.match(String(await stopped), /aborted/);

server.close();
