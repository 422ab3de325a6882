/**
 * An agent need not talk: inputs, chunks, state and output are whatever its schemas say. Here a till, without a model.
 * Every type comes from the schemas; nobody writes a type argument.
 */
import assert from 'node:assert/strict';
import { genkit, z } from 'genkit';
import { type AgentTypes, defineAgent, InvalidValueError } from 'genkitx-agent';

const till = defineAgent(
  genkit({}),
  {
    name: 'till',
    inputSchema: z.discriminatedUnion('type', [
      z.object({
        type: z.literal('scan'),
        item: z.string(),
        cents: z.number().int().positive(),
        count: z.number().default(1),
      }),
      z.object({ type: z.literal('void'), item: z.string() }),
    ]),
    streamSchema: z.object({ item: z.string(), cents: z.number(), totalCents: z.number() }),
    outputSchema: z.object({ totalCents: z.number(), currency: z.enum(['EUR', 'USD']) }),
    stateSchema: z.object({ lines: z.record(z.number().nonnegative()).default({}) }).default({}),
  },
  async ({ session, responder, turns }) => {
    const total = () => Object.values(session.state.lines).reduce((sum, cents) => sum + cents, 0);
    await turns(async (input) => {
      const { item } = input;
      await session.updateState(({ lines }) => {
        if (input.type === 'void') delete lines[item];
        else lines[item] = (lines[item] ?? 0) + input.cents * input.count;
      });
      await responder.send({ item, cents: session.state.lines[item] ?? 0, totalCents: total() });
    });
    return { output: { totalCents: total(), currency: 'EUR' } };
  },
);

// What a client needs of it, without a line of the agent's code: `import type { Till } from './till.js'`.
type Till = AgentTypes<typeof till>;

function receiptLine({ item, totalCents }: Till['stream']): string {
  return `${item.padEnd(8)} ${(totalCents / 100).toFixed(2)}`;
}

// `sent` is what may be sent, `input` what the handler gets: defaults are filled in on the way.
const scans: Till['sent'][] = [
  { type: 'scan', item: 'bread', cents: 250 },
  { type: 'scan', item: 'milk', cents: 120, count: 2 },
  { type: 'void', item: 'bread' },
];

const connection = till.streamBidi({ init: { lines: { deposit: 25 } } });
for (const scan of scans) {
  connection.send(scan);
  for await (const chunk of connection.receive()) console.log(receiptLine(chunk));
}

// What does not fit is refused where it is sent, and says where, what was expected and what came. Nothing else is hurt.
assert.throws(
  () => connection.send({ type: 'scan', item: 'milk', cents: -1 }),
  (error) => {
    assert(error instanceof InvalidValueError);
    assert.equal(error.kind, 'input');
    assert.equal(error.issues[0]?.path, 'cents');
    return true;
  },
);

connection.close();
const { output, state } = await connection.output();
assert.deepEqual(output, { totalCents: 265, currency: 'EUR' });
assert.deepEqual(state, { lines: { deposit: 25, milk: 240 } });
