import { genkit, z } from 'genkit';
import { expect, test } from 'vitest';
import { defineAgent } from '../../src/index.js';

const ai = genkit({});

test('run() answers every input whatever the policy, or fails', async () => {
  const counts = defineAgent(
    ai,
    { name: 'counts', inputSchema: z.number(), maxQueuedInputs: 3, sendPolicy: 'reject' },
    async ({ turns }) => {
      let count = 0;
      await turns(async () => {
        count += 1;
      });
      return { output: count };
    },
  );
  expect((await counts.run([1, 2, 3])).output).toBe(3);
  await expect(counts.run([1, 2, 3, 4, 5])).rejects.toMatchObject({ code: 'INPUT_QUEUE_FULL' });
});

test('an agent that leaves early has its result', async () => {
  const first = defineAgent(ai, { name: 'first', inputSchema: z.number() }, async ({ inputStream }) => {
    for await (const input of inputStream) return { output: input };
    return { output: null };
  });
  expect((await first.run([1, 2, 3])).output).toBe(1);
});

test('a caller that cannot be told of chunks any more ends the run', async () => {
  const talks = defineAgent(ai, { name: 'talks' }, async ({ turns, responder }) => {
    await turns(async () => {
      for (let count = 0; count < 5_000; count++) await responder.send(count);
    });
    return { output: null };
  });
  const never: AsyncIterable<unknown> = {
    [Symbol.asyncIterator]() {
      const inputs = ['go'];
      const next = () =>
        inputs.length > 0 ? Promise.resolve({ value: inputs.pop(), done: false }) : new Promise<never>(() => {});
      return { next };
    },
  };
  const onChunk = () => {
    throw new Error('hung up');
  };
  await expect(talks.flow.run(undefined, { inputStream: never, onChunk } as object)).rejects.toThrow('hung up');
});
