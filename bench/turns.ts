/** What does a turn cost when the conversation is long? */
import { frozenCopyAlone, spreadAlone } from './support/bare-copies.js';
import type { ChatAgent } from './support/chat.js';
import { collectGarbage, cpuMicros, exponent, median } from './support/measure.js';
import { type Answer, atMost, count, type Goal, type Question, short, times } from './support/report.js';
import {
  genkitInFiles,
  genkitInMemory,
  type Home,
  type MakeHome,
  oursInMemory,
  oursInSqlite,
  withHome,
} from './support/stores.js';

/** At which turn we look, how far around it, and how many conversations are held to that point. */
const marks = [
  { turn: 10, around: 5, conversations: 60 },
  { turn: 100, around: 10, conversations: 30 },
  { turn: 1_000, around: 100, conversations: 3 },
  { turn: 10_000, around: 500, conversations: 1 },
] as const;

/** Turns are looked at so many at a time, so that each look has its share of garbage collections. */
const batch = 200;
const warmUp = { turns: 2_000, patienceMicros: 1_000_000 };

/** CPU time used by a conversation up to the end of every turn, from its first turn on; in microseconds. */
type Conversation = readonly number[];

/** @param patienceMicros after so much CPU time the conversation is broken off */
async function converse(agent: ChatAgent, turns: number, patienceMicros: number): Promise<Conversation> {
  const chat = await agent.open();
  const start = cpuMicros();
  const used = [0];
  for (let turn = 1; turn <= turns; turn++) {
    await chat.say();
    const micros = cpuMicros() - start;
    used.push(micros);
    if (micros > patienceMicros) break;
  }
  await chat.close();
  return used;
}

/** What a contestant's conversations showed. */
interface Course {
  /** Microseconds per turn, at every mark that was reached. */
  readonly perTurn: readonly number[];
  /** Turns and CPU time of a conversation as a whole. */
  readonly wholes: ReadonlyMap<number, number>;
  /** The last turn of the longest one. */
  readonly reached: number;
}

async function follow({ agent, empty }: Home, patienceMicros: number): Promise<Course> {
  await converse(agent, warmUp.turns, warmUp.patienceMicros);
  const perTurn: number[] = [];
  const wholes = new Map<number, number>();
  let reached = 0;
  for (const { turn, around, conversations } of marks) {
    const held: Conversation[] = [];
    collectGarbage();
    for (let index = 0; index < conversations; index++) {
      const one = await converse(agent, turn + around, patienceMicros);
      await empty();
      held.push(one);
      reached = Math.max(reached, one.length - 1);
      if (one.length <= turn + around) break;
    }
    const whole = held.filter((one) => one.length > turn);
    perTurn.push(microsPerTurn(whole, turn - around, turn + around));
    if (whole.length > 0) wholes.set(turn, median(whole.map((one) => one[turn] ?? Number.NaN)));
    else wholes.set(reached, held[0]?.at(-1) ?? Number.NaN);
    if (whole.length === 0) break;
  }
  return { perTurn, wholes, reached };
}

/** The median batch of the turns between two turns of all conversations. */
function microsPerTurn(conversations: readonly Conversation[], from: number, to: number): number {
  const steps: number[] = [];
  for (const used of conversations) {
    for (let turn = from + 1; turn <= Math.min(to, used.length - 1); turn++) {
      steps.push((used[turn] ?? 0) - (used[turn - 1] ?? 0));
    }
  }
  const means: number[] = [];
  for (let start = 0; start + batch <= steps.length; start += batch) {
    means.push(steps.slice(start, start + batch).reduce((sum, step) => sum + step, 0) / batch);
  }
  return median(means);
}

const contestants = {
  // Copies of the whole list that a way to remember cannot do without.
  'the spread alone': spreadAlone,
  'a frozen copy alone': frozenCopyAlone,
  'ours, memory, recipe': oursInMemory('recipe'),
  'ours, memory, recipe, history read': oursInMemory('recipe, history read'),
  'ours, memory, spread': oursInMemory('spread'),
  'ours, memory, own list': oursInMemory('own list'),
  'ours, SQLite, recipe': oursInSqlite('recipe'),
  'ours, SQLite, spread': oursInSqlite('spread'),
  'Genkit beta, memory': genkitInMemory,
  'Genkit beta, files': genkitInFiles,
} satisfies Record<string, MakeHome>;

async function answer(): Promise<Answer> {
  const rows: string[][] = [];
  const goals: Goal[] = [];
  for (const [name, make] of Object.entries(contestants)) {
    const isGenkit = name.startsWith('Genkit');
    const course = await withHome(make, (home) => follow(home, isGenkit ? 4_000_000 : 30_000_000));
    const [, early = Number.NaN, , late = Number.NaN] = course.perTurn;
    const power = wholeExponent(course);
    const cells = marks.map((_, index) => short(course.perTurn[index] ?? Number.NaN));
    rows.push([name, ...cells, times(late / early), short(power), count(course.reached)]);
    // Handlers that copy the whole list have their turns grow with it, whatever they remember with.
    if (!name.endsWith('recipe')) continue;
    goals.push(atMost(`${name}: turn 10,000 ≤ 1.3× turn 100`, 1.3, late / early));
    goals.push(atMost(`${name}: exponent of the whole ≤ 1.1`, 1.1, power, ''));
  }
  const headings = marks.map(({ turn }) => `turn ${count(turn)}`);
  return {
    tables: [{ headings: ['µs per turn', ...headings, '10,000 / 100', 'exponent', 'turns reached'], rows }],
    goals,
  };
}

/** Between the two longest conversations. */
function wholeExponent({ wholes }: Course): number {
  const [small, large] = [...wholes].slice(-2).map(([size, cost]) => ({ size, cost }));
  return small === undefined || large === undefined ? Number.NaN : exponent(small, large);
}

export const turns: Question = { name: 'turns', title: '2. A turn, early and late in a conversation', answer };
