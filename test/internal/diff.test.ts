import fc from 'fast-check';
import { create } from 'mutative';
import { describe, expect, test } from 'vitest';
import { type ChangeGuard, diff } from '../../src/internal/diff.js';
import { applyPatch } from '../../src/internal/patch.js';

/** Any JSON, with the keys that break naive code. */
const key = fc.oneof(
  fc.constantFrom('__proto__', '', '~', '/', '~1', '~0', '-', '0', 'constructor', 'a'),
  fc.string({ maxLength: 3 }),
);
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(fc.constant(null), fc.boolean(), fc.integer(), fc.string({ maxLength: 3 })),
    fc.array(tie('json'), { maxLength: 5 }),
    fc.array(fc.tuple(key, tie('json')), { maxLength: 5 }).map(record),
  ),
}));

function record(entries: [string, unknown][]): unknown {
  const members = entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  return JSON.parse(`{${members.join(',')}}`);
}

function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null)
    for (const child of Object.values(Object.freeze(value))) deepFrozen(child);
  return value;
}

/** The text of a value, its members in one order. */
function text(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? { entries: Object.entries(part).sort(([one], [other]) => (one < other ? -1 : 1)) }
      : part,
  );
}

describe('what it finds', () => {
  test('numbers that are equal to some and not to others are no change', () => {
    expect(diff([Number.NaN, 0, 1], [Number.NaN, -0, 1, 2])).toEqual([{ op: 'add', path: '/-', value: 2 }]);
    expect(diff([0, 0], [-0, 0, 1])).toEqual([{ op: 'add', path: '/-', value: 1 }]);
  });

  test('the patch leads from the one to the other, through JSON, and touches neither', () => {
    fc.assert(
      fc.property(json, json, (before, after) => {
        const patch = diff(deepFrozen(before), deepFrozen(after));
        const stored = JSON.parse(JSON.stringify(patch));
        expect(text(applyPatch(before, stored))).toBe(text(after));
      }),
      { numRuns: 1_000 },
    );
  });

  test('equal values give nothing, the same object or not', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(diff(value, value)).toEqual([]);
        expect(diff(value, JSON.parse(JSON.stringify(value)))).toEqual([]);
      }),
    );
  });

  test('a list that is cut, slid, added to or put into leads to the same list', () => {
    const item = fc.oneof(
      fc.integer({ min: 0, max: 3 }),
      fc.constantFrom(...Array.from({ length: 4 }, (_, id) => deepFrozen({ id }))),
    );
    fc.assert(
      fc.property(
        fc.array(item),
        fc.nat(6),
        fc.nat(6),
        fc.array(item, { maxLength: 4 }),
        (before, at, count, added) => {
          const after = [...before.slice(0, at), ...before.slice(at + count), ...added];
          expect(applyPatch(before, diff(before, after))).toEqual(after);
          expect(applyPatch(after, diff(after, before))).toEqual(before);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test('a member that is undefined is absent', () => {
    expect(diff({ a: 1, b: 2 }, { a: undefined, b: 2 })).toEqual([{ op: 'remove', path: '/a' }]);
    expect(diff({ a: 1 }, { a: 1, b: undefined })).toEqual([]);
    expect(diff({ a: undefined }, { a: 1 })).toEqual([{ op: 'add', path: '/a', value: 1 }]);
  });

  test.each([new Date(0), new Map([['a', 1]]), new (class Own {})(), /x/])(
    'what is no plain object is not taken for one: %s',
    (value) => {
      for (const before of [{}, { a: 1 }])
        expect(diff({ x: before }, { x: value })).toEqual([{ op: 'replace', path: '/x', value }]);
    },
  );
});

describe('what it costs', () => {
  const messages = deepFrozen(Array.from({ length: 1_000 }, (_, id) => ({ id, text: 'text' })));
  const before = deepFrozen({ messages, other: { deep: [1, 2, 3] } });

  test('what is shared is not looked into', () => {
    const untouchable = new Proxy(
      {},
      { ownKeys: () => expect.fail('was looked into'), get: () => expect.fail('was looked into') },
    );
    expect(diff({ a: untouchable, b: 1 }, { a: untouchable, b: 2 })).toHaveLength(1);
  });

  test('nor, in a list of which one is another, what both have', () => {
    const touched = () => expect.fail('was looked into');
    const untouchable = () => new Proxy({}, { ownKeys: touched, get: touched, getPrototypeOf: touched });
    const [first, ...rest] = Array.from({ length: 10 }, untouchable);
    expect(diff([{ id: 1 }, ...rest], [{ id: 2 }, ...rest])).toHaveLength(1);
    expect(diff([first, { id: 1 }, ...rest], [first, { id: 2 }, ...rest])).toHaveLength(1);
    expect(diff([first, ...rest, { id: 1 }], [first, ...rest, { id: 2 }])).toHaveLength(1);
    expect(diff([first, ...rest], rest)).toEqual([{ op: 'remove', path: '/0' }]);
    expect(diff(rest, [first, ...rest])).toHaveLength(1);
  });

  test.each<[string, (draft: { id: number; text: string }[]) => void, number]>([
    ['adds at the end', (list) => list.push({ id: -1, text: 'new' }), 1],
    ['changes one', (list) => Object.assign(list[500] ?? {}, { text: 'new' }), 1],
    ['removes the first', (list) => list.shift(), 1],
    ['removes from the middle', (list) => list.splice(400, 2), 2],
    ['removes the last', (list) => list.pop(), 1],
    ['slides', (list) => list.push({ id: -1, text: 'new' }) && list.shift(), 2],
    ['slides by two', (list) => list.push({ id: -1, text: 'a' }, { id: -2, text: 'b' }) && list.splice(0, 2), 4],
    ['puts in front', (list) => list.unshift({ id: -1, text: 'new' }), 1],
    ['puts into the middle', (list) => list.splice(500, 0, { id: -1, text: 'new' }), 1],
    ['empties', (list) => list.splice(3), 997],
  ])('a list of a thousand that %s', (_what, change, operations) => {
    const after = create(before, (draft) => {
      change(draft.messages);
    });
    const patch = diff(before, after);
    expect(patch).toHaveLength(operations);
    expect(applyPatch(before, patch)).toEqual(after);
    // No more for a list of somebody's own, which shares nothing with ours.
    expect(diff(before, JSON.parse(JSON.stringify(after)))).toEqual(patch);
  });
});

describe('a guard', () => {
  /** Notes what it is asked, and turns texts to upper case. */
  function noting(asked: [string, unknown][]): ChangeGuard {
    const leaf: ChangeGuard = {
      accept(value, path) {
        asked.push([path, value]);
        return typeof value === 'string' ? value.toUpperCase() : value;
      },
    };
    const each = (guard: ChangeGuard): ChangeGuard => ({
      ...leaf,
      children: { of: (name) => (name === 'refused' ? 'refused' : guard) },
    });
    return each(each(leaf));
  }

  test('is asked about what changed and nothing else, and what it answers is what counts', () => {
    const asked: [string, unknown][] = [];
    const before = { list: ['A', 'B', 'C'], map: { x: 'X', y: 'Y' } };
    const after = { list: ['A', 'b', 'C', 'd'], map: { x: 'X', y: 'new' } };
    const patch = diff(before, after, noting(asked));
    expect(asked).toEqual([
      ['/list/1', 'b'],
      ['/list/3', 'd'],
      ['/map/y', 'new'],
    ]);
    expect(applyPatch(before, patch)).toEqual({ list: ['A', 'B', 'C', 'D'], map: { x: 'X', y: 'NEW' } });
    expect(patch).toHaveLength(2);
  });

  test('is asked about every item that is new, wherever a list got it, and not about one that moved', () => {
    const asked: [string, unknown][] = [];
    diff({ list: ['A', 'B'] }, { list: ['B', 'c'] }, noting(asked));
    diff({ list: ['A', 'B'] }, { list: ['n', 'A', 'B'] }, noting(asked));
    expect(asked).toEqual([
      ['/list/1', 'c'],
      ['/list/0', 'n'],
    ]);
  });

  test('is not asked about what is equal, the same object or not', () => {
    const asked: [string, unknown][] = [];
    const list = (text: string) => [{ id: 1 }, { id: 2, text }, [{ id: 3 }]];
    const undefinedIsAbsent = [{ id: 1, none: undefined }, { id: 2, text: 'a' }, [{ id: 3 }]];
    expect(diff({ list: list('a') }, { list: list('a') }, noting(asked))).toEqual([]);
    expect(diff({ list: list('a') }, { list: undefinedIsAbsent }, noting(asked))).toEqual([]);
    expect(asked).toEqual([]);
    diff({ list: list('a') }, { list: list('b') }, noting(asked));
    expect(asked).toEqual([['/list/1', { id: 2, text: 'b' }]]);
  });

  test('refuses a new member in silence', () => {
    expect(diff({}, { refused: 1, other: 2 }, noting([]))).toEqual([{ op: 'add', path: '/other', value: 2 }]);
  });

  test('may keep a member that was removed', () => {
    const guard: ChangeGuard = {
      accept: (value) => value,
      children: { of: () => ({ accept: (value) => value ?? 'default' }) },
    };
    expect(diff({ a: 1 }, {}, guard)).toEqual([{ op: 'replace', path: '/a', value: 'default' }]);
    expect(diff({ a: 'default' }, {}, guard)).toEqual([]);
  });

  test('is told the length of a list that changed', () => {
    const lengths: [number, string][] = [];
    const guard: ChangeGuard = {
      accept: (value) => value,
      children: { of: () => undefined, checkLength: (length, path) => lengths.push([length, path]) },
    };
    diff([1, 2], [1], guard, '/state');
    expect(lengths).toEqual([[1, '/state']]);
  });

  test('paths begin where they are told to', () => {
    expect(diff({ a: 1 }, { a: 2 }, undefined, '/state')).toEqual([{ op: 'replace', path: '/state/a', value: 2 }]);
  });
});
