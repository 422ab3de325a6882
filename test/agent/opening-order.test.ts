import { genkit, z } from 'genkit';
import { expect, test } from 'vitest';
import { defineAgent } from '../../src/index.js';
import { MemorySessionStore } from '../../src/stores/memory.js';

test('connections that are opened at once have the session in the order they were opened', async () => {
  const list = defineAgent(
    genkit({}),
    {
      name: 'list',
      inputSchema: z.number(),
      stateSchema: z.object({ seen: z.array(z.number()).default([]) }),
      store: new MemorySessionStore(),
    },
    async ({ session, turns }) => {
      await turns((input) => session.updateState(({ seen }) => ({ seen: [...seen, input] })));
      return { output: null };
    },
  );
  const order = [1, 2, 3, 4, 5, 6, 7, 8];
  // The first action of a process starts later than those behind it.
  await Promise.all(order.map((input) => list.run(input, { sessionId: 'one' })));
  expect((await list.sessions.get('one'))?.state).toEqual({ seen: order });
});
