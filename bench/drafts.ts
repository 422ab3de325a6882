/**
 * Immer or Mutative? `updateState` hands a recipe a draft of the session's working copy, which is not frozen because it
 * is changed in place, and needs the operations that lead to the recipe's result.
 */
import { enablePatches, Immer } from 'immer';
import { create } from 'mutative';
import { diff } from '../src/internal/diff.js';
import { changesBy } from '../src/session/draft.js';
import { message } from './support/chat.js';
import { collectGarbage, cpuMicros, median } from './support/measure.js';
import { type Answer, count, type Question, short } from './support/report.js';

interface State {
  messages: ReturnType<typeof message>[];
  turns: number;
}

type Recipe = (state: State) => State | void;

/** Answers the operations that the recipe makes. */
type Contestant = (before: State, recipe: Recipe) => readonly unknown[];

const sizes = [200, 2_000, 20_000];
const rounds = 5;
const sampleMicros = 25_000;

enablePatches();
const immer = new Immer({ autoFreeze: false });

const contestants: Readonly<Record<string, Contestant>> = {
  'Mutative, then diff': (before, recipe) => diff(before, create(before, recipe)),
  "Mutative's patches": (before, recipe) => create(before, recipe, { enablePatches: true })[1],
  'Immer, then diff': (before, recipe) => diff(before, immer.produce(before, recipe)),
  "Immer's patches": (before, recipe) => immer.produceWithPatches(before, recipe)[1],
  'a draft that notes': (before, recipe) => changesBy(before, (draft) => recipe(draft as State), undefined, ''),
};

const recipes: Readonly<Record<string, Recipe>> = {
  'append two': (state) => {
    state.messages.push(message('user'), message('model'));
    state.turns += 1;
  },
  'change one in the middle': ({ messages }) => {
    const one = messages[messages.length >> 1];
    if (one !== undefined) one.metadata = { seen: true };
  },
  'drop the oldest two': ({ messages }) => void messages.splice(0, 2),
  'spread and add': (state) => ({ ...state, messages: [...state.messages, message('user')] }),
  'look at all': ({ messages }) => void messages.filter(({ role }) => role === 'tool'),
};

/** Microseconds per update. */
function sample(contestant: Contestant, recipe: Recipe, before: State): number {
  const start = cpuMicros();
  let updates = 0;
  while (cpuMicros() - start < sampleMicros) {
    contestant(before, recipe);
    updates += 1;
  }
  return (cpuMicros() - start) / updates;
}

async function answer(): Promise<Answer> {
  const rows: string[][] = [];
  for (const [work, recipe] of Object.entries(recipes)) {
    for (const size of sizes) {
      const messages = Array.from({ length: size }, (_, index) => message(index % 2 === 0 ? 'user' : 'model'));
      const before = { messages, turns: size / 2 };
      const cells = Object.values(contestants).map((contestant) => {
        sample(contestant, recipe, before);
        collectGarbage();
        return short(median(Array.from({ length: rounds }, () => sample(contestant, recipe, before))));
      });
      rows.push([`${work}, of ${count(size)}`, ...cells]);
    }
  }
  return { tables: [{ headings: ['µs per update', ...Object.keys(contestants)], rows }], goals: [] };
}

export const drafts: Question = { name: 'drafts', title: '6. Immer, Mutative, or a draft that notes', answer };
