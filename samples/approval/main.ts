/**
 * Human approval: a tool that must not run unasked pauses the turn (a Genkit tool interrupt). The pause is part of the
 * conversation, so the answer may come an hour later, over another connection. Tool interrupts are in Genkit's beta.
 */
import assert from 'node:assert/strict';
import { genkit, MessageSchema, type ToolRequestPart, z } from 'genkit/beta';
import { defineAgent } from 'genkitx-agent';
import { MemorySessionStore } from 'genkitx-agent/stores/memory';

const ai = genkit({ model: 'scripted' });

const paid: number[] = [];

const pay = ai.defineTool(
  {
    name: 'pay',
    description: 'Pays an amount.',
    inputSchema: z.object({ amount: z.number() }),
    outputSchema: z.string(),
  },
  async ({ amount }, { interrupt, resumed }) => {
    if (amount > 100 && !resumed) interrupt({ question: `Pay ${amount}?` });
    paid.push(amount);
    return `paid ${amount}`;
  },
);

const clerk = defineAgent(
  ai,
  {
    name: 'clerk',
    inputSchema: z.discriminatedUnion('type', [
      z.object({ type: z.literal('say'), text: z.string() }),
      z.object({ type: z.literal('decide'), approved: z.boolean() }),
    ]),
    streamSchema: z.discriminatedUnion('type', [
      z.object({ type: z.literal('text'), text: z.string() }),
      z.object({ type: z.literal('approval'), question: z.string() }),
    ]),
    stateSchema: z.object({ messages: z.array(MessageSchema) }),
    initialState: { messages: [] },
    store: new MemorySessionStore(),
  },
  async ({ session, responder, turns }) => {
    await turns(async (input, { signal }) => {
      // A copy: state is frozen, and Genkit marks in the messages it is given what it resumes.
      const messages = structuredClone(session.state.messages);
      const pending = messages.at(-1)?.content.find(isPaused);
      const options = { messages, tools: [pay], abortSignal: signal };
      const response = await (input.type === 'say'
        ? ai.generate({ ...options, prompt: input.text })
        : ai.generate({ ...options, resume: decision(pending, input.approved) }));
      await session.updateState({ messages: response.messages });

      const [question] = response.interrupts.map(({ metadata }) =>
        z.object({ question: z.string() }).parse(metadata?.interrupt),
      );
      if (question === undefined) await responder.send({ type: 'text', text: response.text });
      else await responder.send({ type: 'approval', ...question });
    });
    return { output: undefined };
  },
);

/** A call of a tool that waits for a human. */
function isPaused(part: { readonly metadata?: Record<string, unknown> | undefined }): part is ToolRequestPart {
  return part.metadata?.interrupt !== undefined;
}

/** Approved, the tool runs; refused, the model is told so. */
function decision(call: ToolRequestPart | undefined, approved: boolean) {
  assert(call !== undefined, 'there is nothing to decide');
  return approved
    ? { restart: pay.restart(call, { approved }) }
    : { respond: pay.respond(call, 'refused by the user') };
}

// A model for this sample: it pays what it is told to, and reports what the tool said.
ai.defineModel({ name: 'scripted', apiVersion: 'v2', supports: { tools: true } }, async ({ messages }) => {
  const last = messages.at(-1)?.content[0];
  const content = last?.toolResponse
    ? [{ text: `The clerk says: ${last.toolResponse.output}` }]
    : [{ toolRequest: { name: 'pay', input: { amount: Number(last?.text?.match(/\d+/)?.[0]) } } }];
  return { message: { role: 'model', content }, finishReason: 'stop' };
});

// Small amounts need no approval.
const small = clerk.streamBidi();
small.send({ type: 'say', text: 'pay 20' });
for await (const chunk of small.receive()) assert.deepEqual(chunk, { type: 'text', text: 'The clerk says: paid 20' });
small.close();

// A large one stops at the tool; the turn ends with the question.
const { sessionId } = small;
const asking = clerk.streamBidi({ sessionId });
asking.send({ type: 'say', text: 'pay 5000' });
for await (const chunk of asking.receive()) assert.deepEqual(chunk, { type: 'approval', question: 'Pay 5000?' });
asking.close();
await asking.output();
assert.deepEqual(paid, [20]);

// Later, somebody decides.
const deciding = clerk.streamBidi({ sessionId });
deciding.send({ type: 'decide', approved: true });
for await (const chunk of deciding.receive()) {
  console.log(chunk);
  assert.deepEqual(chunk, { type: 'text', text: 'The clerk says: paid 5000' });
}
assert.deepEqual(paid, [20, 5000]);

// And refuses the next one.
deciding.send({ type: 'say', text: 'pay 9000' });
for await (const chunk of deciding.receive()) assert.equal(chunk.type, 'approval');
deciding.send({ type: 'decide', approved: false });
for await (const chunk of deciding.receive()) {
  console.log(chunk);
  assert.deepEqual(chunk, { type: 'text', text: 'The clerk says: refused by the user' });
}
deciding.close();
await deciding.output();
assert.deepEqual(paid, [20, 5000]);
