import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diff } from '../../src/internal/diff.js';
import type { PatchOperation } from '../../src/internal/patch.js';
import { rebuildRecord } from '../../src/session/record.js';
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
