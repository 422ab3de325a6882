/** What does a conversation take where it is kept, against what was said in it? */
import { type ChatAgent, message } from './support/chat.js';
import { heapInUse } from './support/measure.js';
import { type Answer, atMost, count, type Question, short, times } from './support/report.js';
import {
  bytesIn,
  genkitInFiles,
  genkitInMemory,
  type MakeHome,
  oursInMemory,
  oursInSqlite,
  withHome,
} from './support/stores.js';

/** How long the conversations are, and how many of them share a store and what it takes by itself. */
const ofOurs = [
  { turns: 100, conversations: 20 },
  { turns: 800, conversations: 3 },
  { turns: 10_000, conversations: 1 },
];
/** Genkit's beta keeps every version whole, so it is asked for the short ones only. */
const ofGenkit = [
  { turns: 100, conversations: 3 },
  { turns: 800, conversations: 1 },
];
const ofGenkitInMemory = ofGenkit.slice(0, 1);

type Talks = (typeof ofOurs)[number];

/** Bytes of one conversation's messages as JSON. */
function contentOf(turns: number): number {
  const messages = Array.from({ length: turns }, () => [message('user'), message('model')]).flat();
  return JSON.stringify(messages).length;
}

/** Bytes of the files, per conversation, when all is written. */
function onDisk(make: MakeHome): (talks: Talks) => Promise<number> {
  return (talks) =>
    withHome(make, async ({ agent, folder, settle }) => {
      for (let talk = 0; talk < talks.conversations; talk++) await converse(agent, talks.turns);
      await settle();
      return (await bytesIn(folder ?? '')) / talks.conversations;
    });
}

/** Heap that goes away, per conversation, when the store forgets them. */
function inHeap(make: MakeHome): (talks: Talks) => Promise<number> {
  return (talks) =>
    withHome(make, async ({ agent, empty }) => {
      for (let talk = 0; talk < talks.conversations; talk++) await converse(agent, talks.turns);
      const kept = await heapInUse();
      await empty();
      return (kept - (await heapInUse())) / talks.conversations;
    });
}

async function converse(agent: ChatAgent, turns: number): Promise<void> {
  const chat = await agent.open();
  for (let turn = 0; turn < turns; turn++) await chat.say();
  await chat.close();
}

async function answer(): Promise<Answer> {
  const contestants = [
    { name: 'ours, SQLite', bytes: onDisk(oursInSqlite('recipe')), talks: ofOurs },
    { name: 'for ten minutes, SQLite', bytes: onDisk(oursInSqlite('recipe', false)), talks: ofOurs },
    { name: 'ours, memory (heap)', bytes: inHeap(oursInMemory('recipe')), talks: ofOurs },
    { name: 'Genkit beta, files', bytes: onDisk(genkitInFiles), talks: ofGenkit },
    { name: 'Genkit beta, memory (heap)', bytes: inHeap(genkitInMemory), talks: ofGenkitInMemory },
  ];
  const rows: string[][] = [];
  const ratios = new Map<string, number>();
  for (const { name, bytes, talks } of contestants) {
    await bytes({ turns: 20, conversations: 1 });
    for (const each of talks) {
      const content = contentOf(each.turns);
      const kept = await bytes(each);
      ratios.set(`${name}, ${each.turns}`, kept / content);
      rows.push([
        `${name}, ${count(each.turns)} turns`,
        short(content / 1_024),
        short(kept / 1_024),
        times(kept / content),
      ]);
    }
  }
  const largest = (name: string) => Math.max(...talksOf(ratios, name));
  return {
    tables: [{ headings: ['KB of one conversation', 'content', 'kept', 'kept / content'], rows }],
    goals: [
      atMost('SQLite keeps ≤ 2× the content, at every length', 2, largest('ours, SQLite')),
      atMost('memory keeps ≤ 2× the content, at every length', 2, largest('ours, memory (heap)')),
    ],
  };
}

function talksOf(ratios: ReadonlyMap<string, number>, name: string): number[] {
  return [...ratios].filter(([key]) => key.startsWith(name)).map(([, ratio]) => ratio);
}

export const bytes: Question = {
  name: 'bytes',
  title: '3. What is kept of a conversation, against its content',
  answer,
};
