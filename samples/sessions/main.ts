/**
 * A chat agent with session persistence: talk, leave, come back under the session id and go on.
 *
 * The sessions are in a file, so the second half may as well run in another process, next week.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { genkit, MessageSchema, z } from 'genkit';
import { defineAgent } from 'genkitx-agent';
import { SqliteSessionStore } from 'genkitx-agent/stores/sqlite';

const folder = await mkdtemp(join(tmpdir(), 'sample-sessions-'));
const store = new SqliteSessionStore({ path: join(folder, 'sessions.db') });

const ai = genkit({ model: 'scripted' });

const chat = defineAgent(
  ai,
  {
    name: 'chat',
    inputSchema: z.string(),
    streamSchema: z.string(),
    outputSchema: z.string(),
    stateSchema: z.object({ messages: z.array(MessageSchema) }),
    initialState: { messages: [] },
    store,
  },
  async ({ session, inputStream, responder }) => {
    for await (const input of inputStream) {
      await session.updateState(({ messages }) => void messages.push({ role: 'user', content: [{ text: input }] }));
      const { text } = await ai.generate({
        messages: session.state.messages,
        onChunk: (chunk) => void responder.send(chunk.text),
      });
      await session.updateState(({ messages }) => void messages.push({ role: 'model', content: [{ text }] }));
      await responder.endTurn();
    }
    return { output: 'conversation ended' };
  },
);

// A model for this sample: it tells what it finds in the conversation it is handed.
ai.defineModel({ name: 'scripted', apiVersion: 'v2' }, async ({ messages }, { sendChunk }) => {
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => content[0]?.text);
  const words = [`That was message ${said.length}. `, `The first was: ${said[0]}`];
  for (const text of words) sendChunk({ content: [{ text }] });
  return { message: { role: 'model', content: [{ text: words.join('') }] }, finishReason: 'stop' };
});

const connection = chat.streamBidi();

connection.send('Tell me about Go.');
for await (const chunk of connection.receive()) process.stdout.write(chunk);
process.stdout.write('\n');

connection.send('What are channels used for?');
for await (const chunk of connection.receive()) process.stdout.write(chunk);
process.stdout.write('\n');

connection.close();
const { sessionId, output, state } = await connection.output();
assert.equal(output, 'conversation ended');
assert.equal(state.messages.length, 4);

// Later: the id is all that is needed.
const later = chat.streamBidi({ sessionId });
later.send('Continue our discussion.');
const chunks: string[] = [];
for await (const chunk of later.receive()) chunks.push(chunk);
assert.deepEqual(chunks, ['That was message 3. ', 'The first was: Tell me about Go.']);

later.close();
assert.equal((await later.output()).state.messages.length, 6);

await store.close();
await rm(folder, { recursive: true });
