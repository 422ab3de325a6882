import { genkit, z } from 'genkit';
import { expect, expectTypeOf, test } from 'vitest';
import type { WatchEvent } from '../../src/connection/connection.js';
import { defineAgent } from '../../src/genkit/define-agent.js';
import { machines } from '../support/talkers.js';

test('an agent of Genkit attaches to the run of another process, with the types of its chunks', async () => {
  const open = machines();
  const [here, there] = [open(), open()].map((store) =>
    defineAgent(
      genkit({}),
      { name: 'chat', inputSchema: z.string(), streamSchema: z.object({ text: z.string() }), store },
      async ({ turns, responder }) => {
        await turns((input) => responder.send({ text: `${input}!` }));
        return { output: null };
      },
    ),
  );
  const connection = here?.streamBidi({ sessionId: 'session' });
  await connection?.send('hello');
  const texts: string[] = [];
  for await (const event of there?.attach('session') ?? []) {
    expectTypeOf(event).toEqualTypeOf<WatchEvent<{ text: string }>>();
    if (event.type === 'turnEnd') break;
    texts.push(event.chunk.text);
  }
  expect(texts).toEqual(['hello!']);
  expect(await there?.attach('session').abort('enough')).toMatchObject({ finishReason: 'aborted' });
  expect(await connection?.done).toMatchObject({ error: { code: 'RUN_ABORTED', cause: 'enough' } });
});
