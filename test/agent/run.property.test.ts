/** Many callers, any order of sends, reads, breaks, watchers, store answers, closing and aborting. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { type Move, moves, play, type Story } from '../support/random-run.js';

const order = fc.array(fc.nat(1_000), { minLength: 20, maxLength: 60, size: 'max' });
const runs = { numRuns: Number(process.env.RUNS ?? 80) };

/** Holds for every story, however it ended. */
function expectNothingLostOrTwice({ sends, ran, steered, said, read, watched, pending }: Story): void {
  expect(pending, 'no promise is left pending').toBe(0);
  const times = (list: readonly string[], label: string) => list.filter((one) => one === label).length;
  for (const { task, receipt, error } of sends) {
    expect([receipt, error], 'every send has its answer').not.toEqual([undefined, undefined]);
    const isItsOwn = receipt !== undefined && !receipt.duplicate;
    if (isItsOwn) expect(times(ran, task.label) + times(steered, task.label), `${task.label} once`).toBe(1);
    else expect(times(ran, task.label) + times(steered, task.label), `${task.label} never`).toBe(0);
    if (isItsOwn) expect(times(steered, task.label), `${task.label} steered`).toBe(receipt.steered ? 1 : 0);
  }
  const ids = new Set(sends.flatMap(({ id }) => (id === undefined ? [] : [id])));
  for (const id of ids) {
    const ofId = sends.filter((sent) => sent.id === id && sent.receipt !== undefined);
    expect(ofId.filter(({ receipt }) => !receipt?.duplicate).length, `${id} once`).toBe(ofId.length > 0 ? 1 : 0);
    expect(new Set(ofId.map(({ receipt }) => receipt?.turn)).size, `${id} has one turn`).toBe(ofId.length > 0 ? 1 : 0);
  }
  const chunks = read.flat();
  expect(new Set(chunks).size, 'no chunk twice').toBe(chunks.length);
  for (const one of read) expect(one).toEqual([...one].sort((a, b) => a - b));
  for (const events of watched) {
    const seen = events.flatMap((event) => (event.type === 'chunk' ? [event.chunk] : []));
    expect(seen, 'watchers see everything in order').toEqual(said.slice(0, seen.length));
  }
}

describe('a run', () => {
  it.each([
    ['without a store', () => undefined],
    ['with a store', () => new MemorySessionStore()],
  ])('%s loses nothing and does nothing twice, and the state is what was saved', async (_, newStore) => {
    const property = async (all: Move[], which: number[]) => {
      const { story, end, sessions } = await play(all, which, newStore());
      expectNothingLostOrTwice(story);
      for (const { error } of story.sends) {
        if (error !== undefined) expect(error).toMatchObject({ code: 'TURN_BUSY' });
      }
      for (const events of story.watched) {
        expect(events.filter(({ type }) => type === 'chunk')).toHaveLength(story.said.length);
        expect(events.filter(({ type }) => type === 'turnEnd')).toHaveLength(story.ran.length);
      }
      const failing = story.sends.find(({ task }) => task.fails && story.ran.includes(task.label));
      expect(end.finishReason === 'stop' || failing !== undefined).toBe(true);
      const stored = newStore() === undefined ? undefined : await sessions.get('s');
      if (stored !== undefined)
        expect(story.ran.filter((label) => stored.state.done.includes(label))).toEqual(stored.state.done);
    };
    await fc.assert(fc.asyncProperty(moves(false), order, property), runs);
  });

  it.each([
    ['without a store', () => undefined],
    ['with a store', () => new MemorySessionStore()],
  ])('%s that is closed or aborted at any moment leaves nobody waiting', async (_, newStore) => {
    const property = async (all: Move[], which: number[]) => {
      const { story, end } = await play(all, which, newStore());
      expect(story.pending).toBe(0);
      expect(['stop', 'failed', 'aborted']).toContain(end.finishReason);
      const labels = story.ran.concat(story.steered);
      expect(new Set(labels).size, 'nothing twice').toBe(labels.length);
      for (const { task, error } of story.sends) if (error !== undefined) expect(labels).not.toContain(task.label);
    };
    await fc.assert(fc.asyncProperty(moves(true), order, property), runs);
  });
});
