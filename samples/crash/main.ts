/**
 * No turn is lost when the process dies in it. An input that was sent with an id is on disk before its turn begins; the
 * next process that opens the session runs it again, as its second attempt, and nobody can run it a third time.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { genkit, z } from 'genkit';
import { defineAgent } from 'genkitx-agent';
import { SqliteSessionStore } from 'genkitx-agent/stores/sqlite';

const [, program = '', givenFolder] = process.argv;
const folder = givenFolder ?? (await mkdtemp(join(tmpdir(), 'sample-crash-')));
const store = new SqliteSessionStore({ path: join(folder, 'sessions.db') });

const clerk = defineAgent(
  genkit({}),
  {
    name: 'clerk',
    inputSchema: z.string(),
    streamSchema: z.string(),
    stateSchema: z.object({ done: z.array(z.string()) }),
    initialState: { done: [] },
    store,
    // So soon after a crash is the session free for another process.
    leaseTtlMs: 1_000,
  },
  async ({ session, responder, turns }) => {
    await turns(async (order, { attempt }) => {
      await responder.send(`${order}, attempt ${attempt}`);
      if (attempt === 1) await new Promise(() => {}); // It will not live to see the end of this.
      await session.updateState(({ done }) => void done.push(order));
    });
    return { output: undefined };
  },
);

async function acceptOrder(): Promise<void> {
  const connection = clerk.streamBidi({ sessionId: 'orders' });
  connection.send('send the letter', { id: 'order-7' });
  for await (const chunk of connection.receive()) console.log(chunk);
}

async function comeBack(): Promise<void> {
  const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), folder]);
  const [firstWords] = await once(child.stdout, 'data');
  assert.equal(String(firstWords), 'send the letter, attempt 1\n');
  child.kill('SIGKILL');
  await once(child, 'exit');

  // Nobody sends anything: the order was accepted, so it is run.
  const connection = clerk.streamBidi({ sessionId: 'orders' });
  const chunks: string[] = [];
  for await (const chunk of connection.receive()) chunks.push(chunk);
  assert.deepEqual(chunks, ['send the letter, attempt 2']);

  // The customer, who never got an answer, asks again: it is done, and not done twice.
  const receipt = await connection.send('send the letter', { id: 'order-7' });
  assert.equal(receipt.duplicate, true);
  connection.close();
  const { state } = await connection.output();
  assert.deepEqual(state.done, ['send the letter']);
  console.log(`${chunks[0]}: done once`);

  await store.close();
  await rm(folder, { recursive: true });
}

assert(program !== '');
await (givenFolder === undefined ? comeBack() : acceptOrder());
