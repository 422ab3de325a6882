/**
 * Speaking while the agent answers. An input waits in line by default; with the policy `steer` it is handed to the turn
 * that is running, with `interrupt` it cuts that turn short and runs next, with `reject` it is refused.
 */
import assert from 'node:assert/strict';
import { genkit, z } from 'genkit';
import { defineAgent } from 'genkitx-agent';

const ai = genkit({ model: 'scripted' });

const planner = defineAgent(
  ai,
  {
    name: 'planner',
    inputSchema: z.string(),
    streamSchema: z.string(),
    stateSchema: z.object({ plans: z.array(z.object({ days: z.array(z.string()), interrupted: z.boolean() })) }),
    initialState: { plans: [] },
    // The planner is at most one day ahead of whoever reads.
    maxBufferedChunks: 1,
  },
  async ({ session, responder, turns }) => {
    const remember = (days: readonly string[], interrupted: boolean) =>
      session.updateState(({ plans }) => void plans.push({ days: [...days], interrupted }));

    await turns(
      async (wish, turn) => {
        let latestWish = wish;
        turn.onSteer((changed) => {
          latestWish = changed;
        });
        const days: string[] = [];
        while (days.length < 5) {
          const prompt = `day ${days.length + 1}: ${latestWish}`;
          // With the turn's signal, an interrupt ends the call to the model too.
          const { text } = await ai.generate({ prompt, abortSignal: turn.signal });
          days.push(text);
          await responder.send(text);
        }
        await remember(days, false);
      },
      { onInterrupt: ({ chunks }) => remember(chunks, true) },
    );
    return { output: undefined };
  },
);

ai.defineModel({ name: 'scripted', apiVersion: 'v2' }, async ({ messages }) => {
  const [part] = messages.at(-1)?.content ?? [];
  return { message: { role: 'model', content: [{ text: `Plan for ${part?.text}` }] }, finishReason: 'stop' };
});

const connection = planner.streamBidi();

// Steer: the first days are about museums, the last ones about beaches, in one and the same turn.
connection.send('museums');
const steered: string[] = [];
for await (const day of connection.receive()) {
  steered.push(day);
  if (steered.length > 1) continue;
  const receipt = await connection.send('beaches', { policy: 'steer' });
  assert.equal(receipt.steered, true);
}
console.log(steered.join('\n'));
assert.equal(steered.length, 5);
assert.equal(steered[0], 'Plan for day 1: museums');
assert.equal(steered[4], 'Plan for day 5: beaches');

// Interrupt: the reader's loop ends early, and the next one is about the new wish.
connection.send('mountains');
for await (const day of connection.receive()) {
  console.log(day);
  connection.send('lakes', { policy: 'interrupt' });
  break;
}
// What was on its way when the turn was cut short still arrives.
for await (const day of connection.receive()) assert.match(day, /mountains/);
const afterwards: string[] = [];
for await (const day of connection.receive()) afterwards.push(day);
assert.equal(afterwards.length, 5);
assert.equal(afterwards[0], 'Plan for day 1: lakes');

// Reject: for callers that would rather try again later.
connection.send('forests');
for await (const _ of connection.receive()) {
  await assert.rejects(connection.send('deserts', { policy: 'reject' }), { code: 'TURN_BUSY' });
  break;
}

connection.close();
const { state } = await connection.output();
assert.deepEqual(
  state.plans.map(({ interrupted }) => interrupted),
  [false, true, false, false],
);
