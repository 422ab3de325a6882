/** What does a conversation take where it is kept, against what was said in it? */
import { type Chat, message } from './support/chat.js';
import { heapInUse } from './support/measure.js';
import { type Answer, atMost, count, type Question, short, times } from './support/report.js';
import {
  bytesIn,
  genkitInFiles,
  genkitInMemory,
  type Home,
  type MakeHome,
  oursInMemory,
  oursInSqlite,
  withHome,
} from './support/stores.js';

/** Conversations of these lengths; Genkit's beta keeps every version whole, so it is asked for the short ones only. */
const turnsOfOurs = [100, 800, 10_000];
const turnsOfGenkits = [100, 800];

/** Bytes of the messages of so many turns as JSON. */
function contentOf(turns: number): number {
  const turn = JSON.stringify([message('user'), message('model')]);
  return 2 + turns * (turn.length - 1) - 1;
}

async function converse({ agent }: Home, turns: number): Promise<Chat> {
  const chat = await agent.open();
  for (let turn = 0; turn < turns; turn++) await chat.say();
  return chat;
}

/** Bytes of the files when all is written and the store is closed. */
function onDisk(make: MakeHome): (turns: number) => Promise<number> {
  return (turns) =>
    withHome(make, async (home) => {
      await (await converse(home, turns)).close();
      await home.shut();
      return bytesIn(home.folder ?? '');
    });
}

/** Heap that goes away when the store forgets the conversation. */
function inHeap(make: MakeHome): (turns: number) => Promise<number> {
  return (turns) =>
    withHome(make, async (home) => {
      await (await converse(home, turns)).close();
      const kept = await heapInUse();
      await home.empty();
      return kept - (await heapInUse());
    });
}

async function answer(): Promise<Answer> {
  const contestants = [
    { name: 'ours, SQLite', bytes: onDisk(oursInSqlite('recipe')), turns: turnsOfOurs },
    { name: 'ours, memory (heap)', bytes: inHeap(oursInMemory('recipe')), turns: turnsOfOurs },
    { name: 'Genkit beta, files', bytes: onDisk(genkitInFiles), turns: turnsOfGenkits },
    { name: 'Genkit beta, memory (heap)', bytes: inHeap(genkitInMemory), turns: turnsOfGenkits },
  ];
  const rows: string[][] = [];
  const ratios = new Map<string, number>();
  for (const { name, bytes, turns } of contestants) {
    await bytes(20);
    for (const length of turns) {
      const kept = await bytes(length);
      const ratio = kept / contentOf(length);
      ratios.set(`${name} ${length}`, ratio);
      rows.push([`${name}, ${count(length)} turns`, short(contentOf(length) / 1024), short(kept / 1024), times(ratio)]);
    }
  }
  const ours = [...ratios].filter(([name]) => name.startsWith('ours')).map(([, ratio]) => ratio);
  const ofGenkit = ratios.get('Genkit beta, files 800') ?? Number.NaN;
  return {
    tables: [{ headings: ['', 'content, KB', 'kept, KB', 'kept / content'], rows }],
    goals: [
      atMost('what is kept is ≤ 2× the content, at every length', 2, Math.max(...ours)),
      atMost('… after 800 turns and more, in SQLite', 2, ratios.get('ours, SQLite 800') ?? Number.NaN),
    ].map((goal) => ({ ...goal, measured: `${goal.measured} (Genkit, 800 turns in files: ${times(ofGenkit)})` })),
  };
}

export const bytes: Question = { name: 'bytes', title: '3. What is kept of a conversation, against its content', answer };
