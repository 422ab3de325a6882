/** What does a connection hold on to while nobody says anything? */

import { flushTracing } from 'genkit/tracing';
import { MemorySessionStore } from '../src/stores/memory.js';
import { type Chat, type ChatAgent, genkitAgent, ourAgent } from './support/chat.js';
import { heapInUse } from './support/measure.js';
import { type Answer, atMost, type Question, short, times } from './support/report.js';
import { genkitInMemory } from './support/stores.js';

const connections = 10_000;
const warmUp = 200;
const kilobyte = 1_024;

interface Idle {
  /** Bytes of heap per connection whose handler waits for its first input. */
  readonly opened: number;
  /** The same after one turn. */
  readonly afterTurn: number;
}

async function open(agent: ChatAgent, many: number): Promise<Chat[]> {
  return Promise.all(Array.from({ length: many }, () => agent.open()));
}

async function shut(chats: readonly Chat[]): Promise<void> {
  await Promise.all(chats.map((chat) => chat.close()));
}

async function settledHeap(): Promise<number> {
  await flushTracing();
  return heapInUse();
}

async function measure(agent: ChatAgent): Promise<Idle> {
  const early = await open(agent, warmUp);
  for (const chat of early) await chat.say();
  await shut(early);
  const before = await settledHeap();
  const chats = await open(agent, connections);
  const opened = ((await settledHeap()) - before) / connections;
  for (const chat of chats) await chat.say();
  const afterTurn = ((await settledHeap()) - before) / connections;
  await shut(chats);
  return { opened, afterTurn };
}

async function answer(): Promise<Answer> {
  const contestants: Record<string, ChatAgent> = {
    'ours, no store': ourAgent(undefined),
    'ours, memory store': ourAgent(new MemorySessionStore()),
    'Genkit beta, no store': genkitAgent(undefined),
    'Genkit beta, memory store': (await genkitInMemory()).agent,
  };
  const measured = new Map<string, Idle>();
  for (const [name, agent] of Object.entries(contestants)) measured.set(name, await measure(agent));
  const ours = measured.get('ours, no store')?.opened ?? Number.NaN;
  const rows = [...measured].map(([name, { opened, afterTurn }]) => [
    name,
    short(opened / kilobyte),
    short(afterTurn / kilobyte),
    times(opened / ours),
  ]);
  return {
    tables: [{ headings: ['KB of heap per connection', 'opened', 'after one turn', 'opened, against ours'], rows }],
    goals: [atMost('an idle connection holds ≤ 4 KB', 4, ours / kilobyte, ' KB')],
  };
}

export const idle: Question = { name: 'idle', title: '4. An open connection that idles', answer };
