/** What does it cost to take up a long conversation again? */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSessionStore } from 'genkit/beta';
import type { SessionStore } from '../src/session/store.js';
import { MemorySessionStore } from '../src/stores/memory.js';
import { SqliteSessionStore } from '../src/stores/sqlite.js';
import { type Chat, type ChatAgent, ChatStateSchema, genkitAgent, message, ourAgent } from './support/chat.js';
import { cpuOf, medianOf } from './support/measure.js';
import { type Answer, atMost, count, type Question, short, times } from './support/report.js';

const turns = 5_000;
const rounds = 9;

/** From `streamBidi` to the handler, which has its state. */
async function resume(agent: ChatAgent, sessionId: string): Promise<number> {
  let chat: Chat | undefined;
  const cost = await cpuOf(async () => {
    chat = await agent.open(sessionId);
  });
  await chat?.close();
  return cost;
}

/** A session of 10,000 messages, and the same bytes in a plain file. */
async function prepare(
  store: SessionStore,
  file: string,
): Promise<{ agent: ChatAgent; sessionId: string; state: unknown }> {
  const agent = ourAgent(store);
  const chat = await agent.open();
  for (let turn = 0; turn < turns; turn++) await chat.say();
  await chat.close();
  const stored = await store.load(chat.sessionId);
  await writeFile(file, JSON.stringify([stored?.checkpoint, ...(stored?.patches ?? [])]));
  const messages = Array.from({ length: turns * 2 }, (_, index) => message(index % 2 === 0 ? 'user' : 'model'));
  return { agent, sessionId: chat.sessionId, state: { messages } };
}

/** Its file store keeps every version whole; one version of the full length is enough to resume from. */
async function prepareGenkit(folder: string, messages: unknown): Promise<{ agent: ChatAgent; sessionId: string }> {
  const store = new FileSessionStore(folder);
  const sessionId = 'long';
  const createdAt = new Date().toISOString();
  const state = { messages, sessionId, artifacts: [] } as never;
  await store.saveSnapshot(undefined, () => ({
    sessionId,
    createdAt,
    updatedAt: createdAt,
    state,
    status: 'completed',
  }));
  return { agent: genkitAgent(store), sessionId };
}

async function answer(): Promise<Answer> {
  const folder = await mkdtemp(join(tmpdir(), 'genkitx-agent-bench-'));
  const file = join(folder, 'same-bytes.json');
  const sqlite = new SqliteSessionStore({ path: join(folder, 'sessions.db') });
  const inMemory = await prepare(new MemorySessionStore(), file);
  const onDisk = await prepare(sqlite, file);
  const { state } = onDisk;
  const ofGenkit = await prepareGenkit(
    join(folder, 'genkit'),
    inMemory.state && (state as { messages: unknown }).messages,
  );
  const read = async () => JSON.parse(await readFile(file, 'utf8')) as unknown;
  const contestants: Record<string, () => Promise<number>> = {
    'read and parse the same bytes': () => cpuOf(read),
    'read, parse and validate with Zod': () => cpuOf(async () => [await read(), ChatStateSchema.parse(state)]),
    'ours, SQLite': () => resume(onDisk.agent, onDisk.sessionId),
    'ours, memory': () => resume(inMemory.agent, inMemory.sessionId),
    'Genkit beta, files': () => resume(ofGenkit.agent, ofGenkit.sessionId),
  };
  const micros = new Map<string, number>();
  for (const sample of Object.values(contestants)) for (let round = 0; round < 4; round++) await sample();
  for (const [name, sample] of Object.entries(contestants)) micros.set(name, await medianOf(rounds, sample));
  await sqlite.close();
  await rm(folder, { recursive: true });
  return report(micros);
}

function report(micros: ReadonlyMap<string, number>): Answer {
  const [parse = Number.NaN, validate = Number.NaN, ours = Number.NaN] = micros.values();
  const rows = [...micros].map(([name, cost]) => [
    name,
    short(cost / 1_000),
    times(cost / parse),
    times(cost / validate),
  ]);
  const headings = [`${count(turns * 2)} messages`, 'CPU ms', 'against parsing', 'against parsing and validating'];
  return {
    tables: [{ headings, rows }],
    goals: [
      atMost('resume ≤ 2× reading and parsing the same bytes, SQLite', 2, ours / parse),
      atMost('… reading, parsing and validating them', 2, ours / validate),
    ],
  };
}

export const resumes: Question = { name: 'resume', title: '5. Resuming a long session', answer };
