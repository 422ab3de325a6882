import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diff } from '../../src/internal/diff.js';
import { frozenJson } from '../../src/internal/json.js';
import { Document } from '../../src/session/document.js';
import { json } from '../support/zod-inputs.js';

interface Doc {
  readonly list: readonly { readonly n: number }[];
  readonly other: { readonly deep: { readonly x: number } };
}

const start = frozenJson({ list: [{ n: 1 }, { n: 2 }], other: { deep: { x: 1 } } }, () => {}) as Doc;

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
    const frozen = (part: unknown): boolean =>
      typeof part !== 'object' || part === null || (Object.isFrozen(part) && Object.values(part).every(frozen));
    expect(frozen(view)).toBe(true);
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
