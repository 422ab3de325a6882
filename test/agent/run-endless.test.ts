import { genkit, z } from 'genkit';
import { expect, test } from 'vitest';
import { defineAgent } from '../../src/index.js';
import { testAgent } from '../support/agents.js';

test('a handler and a reader that only wait for each other do not shut out the rest of the program', async () => {
  const endless = defineAgent(
    genkit({}),
    { name: 'endless', streamSchema: z.number() },
    async ({ turns, responder }) => {
      await turns(async () => {
        for (let count = 0; ; count++) await responder.send(count);
      });
      return { output: null };
    },
  );
  const connection = endless.streamBidi();
  connection.send('go');
  let read = 0;
  const abortOnceRead = () => void (read > 0 ? connection.abort('enough') : setImmediate(abortOnceRead));
  setImmediate(abortOnceRead);
  const reading = (async () => {
    for await (const chunk of connection.receive()) read = chunk;
  })();
  await expect(reading).rejects.toMatchObject({ code: 'RUN_ABORTED' });
});

test('nor do an agent and a caller that sends it one input after the other', async () => {
  const enough = 50_000;
  const agent = testAgent({ inputSchema: z.number() }, async ({ turns }) => {
    await turns((count) => (count < enough ? void connection.send(count + 1) : connection.close()));
    return { output: null };
  });
  const connection = agent.open();
  void connection.send(0);
  setImmediate(() => connection.abort('enough'));
  expect(await connection.done).toMatchObject({ finishReason: 'aborted' });
});
