import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diff } from '../../src/internal/diff.js';
import { applyPatch, type PatchOperation } from '../../src/internal/patch.js';
import { CheckpointPolicy, rebuildRecord } from '../../src/session/record.js';
import type { StoredSession } from '../../src/session/store.js';
import { json } from '../support/zod-inputs.js';

function stored(checkpoint: unknown, patches: readonly (readonly PatchOperation[])[] = []): StoredSession {
  const facts = { id: 's', version: 1, head: 1, createdAt: '', updatedAt: '', pending: [], size: 0 };
  return { ...facts, checkpoint, patches };
}

describe('rebuilding a record', () => {
  it('applies every change in order', () => {
    const record = rebuildRecord(
      stored({ state: { n: 1 }, artifacts: [] }, [
        [{ op: 'replace', path: '/state/n', value: 2 }],
        [{ op: 'add', path: '/state/list', value: [] }],
        [{ op: 'add', path: '/state/list/-', value: 'a' }],
      ]),
    );
    expect(record).toEqual({ state: { n: 2, list: ['a'] }, artifacts: [] });
  });

  it('gives any history of states back', () => {
    fc.assert(
      fc.property(fc.array(json, { minLength: 1, maxLength: 8 }), (states) => {
        const records = states.map((state) => ({ state: JSON.parse(JSON.stringify(state)), artifacts: [] }));
        const patches = records.slice(1).map((record, index) => diff(records[index], record));
        const text = JSON.stringify({ checkpoint: records[0], patches });
        const { checkpoint, patches: read } = JSON.parse(text);
        expect(JSON.stringify(rebuildRecord(stored(checkpoint, read)), sorted)).toBe(
          JSON.stringify(records.at(-1), sorted),
        );
      }),
    );
  });

  it.each([
    [stored(null)],
    [stored({ state: 1 })],
    [stored({ state: 1, artifacts: {} })],
    [stored('text')],
    [stored({ state: {}, artifacts: [] }, [[{ op: 'add', path: '/nowhere/deep', value: 1 }]])],
    [stored({ state: [], artifacts: [] }, [[{ op: 'replace', path: '/state/7', value: 1 }]])],
    [stored({ state: 1, artifacts: [] }, [[{ op: 'remove', path: '' }]])],
    [stored({ state: 1, artifacts: [] }, [null as never])],
  ])('refuses what does not follow with STORE_CORRUPT: %j', (broken) => {
    expect(() => rebuildRecord(broken)).toThrow(
      expect.objectContaining({ code: 'STORE_CORRUPT', status: 'DATA_LOSS' }),
    );
  });

  /** Members in the order of their names, and no prototype in the way of a key called `__proto__`. */
  function sorted(_: string, value: unknown): unknown {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [`key ${key}`, member]);
  }
});

describe('when a checkpoint is written', () => {
  /** Saves states one after another; tells how many characters were written, and the most a load would read. */
  function save(states: readonly unknown[]) {
    const policy = new CheckpointPolicy(JSON.stringify(states[0]).length);
    let written = 0;
    let load = JSON.stringify(states[0]).length;
    let mostLoaded = load;
    let checkpoints = 0;
    let before = states[0];
    for (const state of states.slice(1)) {
      const patch = diff(before, state);
      const change = policy.choose(patch, () => applyPatch(before, patch));
      const size = JSON.stringify(change.kind === 'patch' ? change.patch : change.record).length;
      if (change.kind === 'checkpoint') {
        expect(change.record).toEqual(state);
        checkpoints += 1;
        load = 0;
      }
      load += size;
      written += size;
      mostLoaded = Math.max(mostLoaded, load);
      before = state;
    }
    return { written, mostLoaded, checkpoints, finalSize: JSON.stringify(before).length };
  }

  const chat = (turns: number) =>
    Array.from({ length: turns }, (_, turn) => ({
      messages: Array.from({ length: turn }, (_, index) => ({ role: 'user', text: `message ${index}` })),
    }));

  it('writing a chat that only grows costs what it holds: linear, not quadratic', () => {
    const [small, large] = [save(chat(250)), save(chat(1_000))];
    expect(large.written / small.written).toBeLessThan(5);
    expect(large.written).toBeLessThan(large.finalSize * 4);
  });

  it('loading a value that is overwritten costs what it holds, however often that was', () => {
    const states = Array.from({ length: 3_000 }, (_, n) => ({ n, text: 'x'.repeat(2_000) }));
    const { mostLoaded, checkpoints, finalSize } = save(states);
    expect(mostLoaded).toBeLessThan(finalSize * 10);
    expect(checkpoints).toBeGreaterThan(1);
    expect(checkpoints).toBeLessThan(100);
  });
});
