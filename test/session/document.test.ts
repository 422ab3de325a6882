import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diff } from '../../src/internal/diff.js';
import { frozenJson } from '../../src/internal/json.js';
import { applyPatch } from '../../src/internal/patch.js';
import { Document } from '../../src/session/document.js';
import { json } from '../support/zod-inputs.js';

interface Doc {
  readonly list: readonly { readonly n: number }[];
  readonly other: { readonly deep: { readonly x: number } };
}

const start = frozenJson({ list: [{ n: 1 }, { n: 2 }], other: { deep: { x: 1 } } }, () => {}) as Doc;

function assertFrozen(part: unknown): void {
  if (typeof part !== 'object' || part === null) return;
  expect(Object.isFrozen(part)).toBe(true);
  for (const child of Object.values(part)) assertFrozen(child);
}

/** What is equal at the same place of a record is the same object. */
function assertShared(before: unknown, after: unknown): void {
  if (isDeepStrictEqual(before, after)) expect(after).toBe(before);
  else if (isRecord(before) && isRecord(after))
    for (const key of Object.keys(before)) if (Object.hasOwn(after, key)) assertShared(before[key], after[key]);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

describe('a document', () => {
  it('is seen as it was whenever it was looked at', () => {
    const document = new Document<Doc>(start);
    const first = document.view;
    document.apply([{ op: 'add', path: '/list/-', value: Object.freeze({ n: 3 }) }]);
    const second = document.view;
    document.apply([{ op: 'remove', path: '/list/0' }]);
    document.apply([{ op: 'replace', path: '/other/deep/x', value: 5 }]);
    expect(first).toBe(start);
    expect(second.list.map(({ n }) => n)).toEqual([1, 2, 3]);
    expect(document.view).toEqual({ list: [{ n: 2 }, { n: 3 }], other: { deep: { x: 5 } } });
    expect(document.view).toBe(document.view);
    expect(document.working).toEqual(document.view);
  });

  it('is frozen to the bottom in every view, and shares what did not change', () => {
    const document = new Document<Doc>(start);
    document.apply([{ op: 'add', path: '/list/-', value: frozenJson({ n: 3, deep: [{}] }, () => {}) }]);
    const { view } = document;
    expect(view.other).toBe(start.other);
    expect(view.list[0]).toBe(start.list[0]);
    assertFrozen(view);
  });

  it('shows a change in the middle of a long list, and shares all around it', () => {
    const list = Array.from({ length: 20_000 }, (_, n) => ({ n }));
    const document = new Document<Doc>(frozenJson({ ...start, list }, () => {}) as Doc);
    document.apply([{ op: 'add', path: '/list/-', value: Object.freeze({ n: -1 }) }]);
    const before = document.view;
    document.apply([{ op: 'replace', path: '/list/500/n', value: -2 }]);
    document.apply([{ op: 'add', path: '/list/0', value: Object.freeze({ n: -3 }) }]);
    const { view } = document;
    expect([view.list.length, view.list[0], view.list[501], view.list.at(-1)]).toEqual([
      20_002,
      { n: -3 },
      { n: -2 },
      { n: -1 },
    ]);
    expect(Object.isFrozen(view.list) && Object.isFrozen(view.list[501])).toBe(true);
    expect(view.list.filter((item, index) => item !== before.list[index - 1])).toEqual([{ n: -3 }, { n: -2 }]);
    expect(before.list.some(({ n }) => n < -1)).toBe(false);
    document.apply([{ op: 'replace', path: '/list/501/n', value: -4 }]);
    expect([view.list[501], document.view.list[501]]).toEqual([{ n: -2 }, { n: -4 }]);
  });

  it('has a view that is what every patch makes of the one before, frozen, and shares what is as it was', () => {
    const round = fc.tuple(
      fc.array(json, { maxLength: 3 }),
      fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), json),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(round, fc.boolean()), { maxLength: 12 }), (steps) => {
        const document = new Document<unknown>(frozenJson({ list: [], byKey: {} }, () => {}));
        let slow: unknown = document.view;
        let last: unknown = slow;
        for (const [[list, byKey], isLookedAt] of steps) {
          const patch = diff(
            slow,
            frozenJson({ list, byKey, more: { list } }, () => {}),
          );
          document.apply(patch);
          slow = applyPatch(slow, patch);
          const before = last;
          last = undefined;
          if (!isLookedAt) continue;
          const { view } = document;
          expect(isDeepStrictEqual(view, slow)).toBe(true);
          assertFrozen(view);
          // Between two looks that skip a step something may have changed and come back.
          if (before !== undefined) assertShared(before, view);
          last = view;
        }
      }),
    );
  });

  it('comes through any chain of changes, looked at or not', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(json, fc.boolean()), { maxLength: 12 }), (steps) => {
        const document = new Document<unknown>(frozenJson({ state: null }, () => {}));
        const views: [unknown, string][] = [];
        for (const [value, isLookedAt] of steps) {
          const next = frozenJson({ state: value }, () => {});
          document.apply(diff(document.working, next));
          if (isLookedAt) views.push([document.view, JSON.stringify(document.view)]);
          expect(diff(document.working, next)).toEqual([]);
        }
        expect(diff(document.view, document.working)).toEqual([]);
        for (const [view, text] of views) expect(JSON.stringify(view)).toBe(text);
      }),
    );
  });
});
