import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyPatch, type PatchOperation } from '../../src/internal/patch.js';

function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null)
    for (const child of Object.values(Object.freeze(value))) deepFrozen(child);
  return value;
}

const json = (text: string): unknown => JSON.parse(text);

describe('operations', () => {
  const cases: [string, unknown, PatchOperation[], unknown][] = [
    ['a member added', { a: 1 }, [{ op: 'add', path: '/b', value: 2 }], { a: 1, b: 2 }],
    ['a member added over another', { a: 1 }, [{ op: 'add', path: '/a', value: 2 }], { a: 2 }],
    ['a member replaced', { a: 1 }, [{ op: 'replace', path: '/a', value: null }], { a: null }],
    ['a member removed', { a: 1, b: 2 }, [{ op: 'remove', path: '/a' }], { b: 2 }],
    ['an item added at the end', [1], [{ op: 'add', path: '/-', value: 2 }], [1, 2]],
    ['an item added at the end by number', [1], [{ op: 'add', path: '/1', value: 2 }], [1, 2]],
    ['an item put in', [1, 3], [{ op: 'add', path: '/1', value: 2 }], [1, 2, 3]],
    ['an item replaced', [1, 2], [{ op: 'replace', path: '/1', value: 3 }], [1, 3]],
    ['an item removed', [1, 2, 3], [{ op: 'remove', path: '/1' }], [1, 3]],
    ['the whole document replaced', { a: 1 }, [{ op: 'replace', path: '', value: [1] }], [1]],
    ['the whole document removed', { a: 1 }, [{ op: 'remove', path: '' }], undefined],
    ['a deep place', { a: [{ b: {} }] }, [{ op: 'add', path: '/a/0/b/c', value: 1 }], { a: [{ b: { c: 1 } }] }],
    [
      'a value changed that came with the patch',
      {},
      [
        { op: 'add', path: '/a', value: [] },
        { op: 'add', path: '/a/-', value: 1 },
      ],
      { a: [1] },
    ],
    [
      'items added around what takes their list away',
      { a: [1] },
      [
        { op: 'add', path: '/a/-', value: 2 },
        { op: 'add', path: '/a/-', value: 3 },
        { op: 'replace', path: '/a', value: [4] },
        { op: 'add', path: '/a/-', value: 5 },
        { op: 'remove', path: '/a/0' },
        { op: 'add', path: '/a/-', value: 6 },
      ],
      { a: [5, 6] },
    ],
    ['an empty key', { '': { '': 1 } }, [{ op: 'replace', path: '//', value: 2 }], { '': { '': 2 } }],
    [
      'escaped keys',
      { 'a/b': { '~': 1, '~1': 2 } },
      [
        { op: 'replace', path: '/a~1b/~0', value: 3 },
        { op: 'replace', path: '/a~1b/~01', value: 4 },
      ],
      { 'a/b': { '~': 3, '~1': 4 } },
    ],
    ['a member called -', { '-': 1 }, [{ op: 'replace', path: '/-', value: 2 }], { '-': 2 }],
    ['members that look like numbers', { 1: 'a', '01': 'b' }, [{ op: 'remove', path: '/01' }], { 1: 'a' }],
  ];
  test.each(cases)('%s', (_what, before, patch, after) => {
    expect(applyPatch(deepFrozen(before), deepFrozen(patch))).toStrictEqual(after);
  });

  test('a member called __proto__ is a member', () => {
    const added = applyPatch({}, [{ op: 'add', path: '/__proto__', value: { polluted: true } }]);
    expect(JSON.stringify(added)).toBe('{"__proto__":{"polluted":true}}');
    const changed = applyPatch(added, [{ op: 'add', path: '/__proto__/more', value: 1 }]);
    expect(JSON.stringify(changed)).toBe('{"__proto__":{"polluted":true,"more":1}}');
    expect(JSON.stringify(applyPatch(changed, [{ op: 'remove', path: '/__proto__' }]))).toBe('{}');
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });
});

describe('a path that leads nowhere', () => {
  const nowhere: [unknown, PatchOperation][] = [
    [{}, { op: 'remove', path: '/a' }],
    [{}, { op: 'replace', path: '/a', value: 1 }],
    [{}, { op: 'add', path: '/a/b', value: 1 }],
    [{}, { op: 'add', path: '/__proto__/polluted', value: true }],
    [{}, { op: 'add', path: '/constructor/prototype/polluted', value: true }],
    [{ a: 'text' }, { op: 'add', path: '/a/0', value: 1 }],
    [{ a: null }, { op: 'add', path: '/a/b', value: 1 }],
    [{ a: 1 }, { op: 'replace', path: 'a', value: 2 }],
    [[], { op: 'remove', path: '/0' }],
    [[1], { op: 'remove', path: '/1' }],
    [[1], { op: 'replace', path: '/1', value: 2 }],
    [[1], { op: 'add', path: '/2', value: 2 }],
    [[1], { op: 'remove', path: '/-' }],
    [[1], { op: 'replace', path: '/-', value: 2 }],
    [[[1]], { op: 'add', path: '/-/0', value: 2 }],
    ...['', '00', '01', '-0', '-1', '1e0', '0x0', ' 0', '0.0', 'length', '__proto__'].map(
      (index): [unknown, PatchOperation] => [[[1], 2], { op: 'replace', path: `/${index}`, value: 3 }],
    ),
    ...['', '00', '-1'].map((index): [unknown, PatchOperation] => [
      [[1], 2],
      { op: 'replace', path: `/${index}/0`, value: 3 },
    ]),
    ['text', { op: 'add', path: '/0', value: 1 }],
  ];
  test.each(nowhere)('%j %j', (document, operation) => {
    expect(() => applyPatch(deepFrozen(document), [operation])).toThrow(TypeError);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });
});

describe('sharing', () => {
  test('what is not on a changed path is the same object', () => {
    const before = json('{"a":{"x":[1]},"b":{"c":[{"d":1},{"e":2}]}}') as { a: object; b: { c: object[] } };
    const after = applyPatch(before, [{ op: 'add', path: '/b/c/0/d', value: 5 }]) as typeof before;
    expect(after.a).toBe(before.a);
    expect(after.b.c[1]).toBe(before.b.c[1]);
    expect(after.b).not.toBe(before.b);
    expect(before.b.c[0]).toEqual({ d: 1 });
  });

  test('each container is copied once, however many operations go through it', () => {
    const made: object[] = [];
    const own = new Set<object>();
    const spy = { has: (one: object) => own.has(one), add: (one: object) => made.push(one) && own.add(one) };
    const patch = Array.from({ length: 50 }, (_, value): PatchOperation => ({ op: 'add', path: '/list/-', value }));
    applyPatch({ list: [] }, patch, spy);
    expect(made).toHaveLength(2);
  });

  test('containers of one’s own are written in place', () => {
    const own = new Set<object>();
    const first = applyPatch({ list: [] }, [{ op: 'add', path: '/list/-', value: 1 }], own);
    const second = applyPatch(first, [{ op: 'add', path: '/list/-', value: 2 }], own);
    expect(second).toBe(first);
    const all = { list: [1] };
    expect(applyPatch(all, [{ op: 'add', path: '/list/-', value: 2 }], 'all')).toBe(all);
    expect(all.list).toEqual([1, 2]);
  });

  test('many items that are taken off a list move the rest of it once', () => {
    let moves = 0;
    const list = new Proxy(
      Array.from({ length: 1_000 }, (_, n) => n),
      { set: (items, key, value) => Reflect.set(items, key, value) && ++moves > 0 },
    );
    const patch = Array.from({ length: 500 }, (): PatchOperation => ({ op: 'remove', path: '/list/10' }));
    expect(applyPatch({ list }, patch, 'all')).toEqual({ list: [...list.slice(0, 10), ...list.slice(10)] });
    expect([list.length, list[9], list[10]]).toEqual([500, 9, 510]);
    expect(moves).toBeLessThan(1_000);
    expect(() => applyPatch({ list: [1, 2, 3] }, [...patch, ...patch])).toThrow(TypeError);
    expect(() => applyPatch({ a: 1 }, Array(2).fill({ op: 'remove', path: '/a' }))).toThrow(TypeError);
  });

  test('a value of the patch is not written to by a later operation', () => {
    const value = deepFrozen({ list: [1] });
    const patch: PatchOperation[] = [
      { op: 'add', path: '/a', value },
      { op: 'add', path: '/b', value },
      { op: 'add', path: '/a/list/-', value: 2 },
    ];
    expect(applyPatch({}, patch)).toEqual({ a: { list: [1, 2] }, b: { list: [1] } });
  });

  test('one by one, together and in place come to the same', () => {
    const operation = fc.oneof(
      fc.record({
        op: fc.constant('add' as const),
        path: fc.constantFrom('/a', '/b', '/a/-', '/a/0', '/b/x', '/b/__proto__'),
        value: fc.oneof(
          fc.integer(),
          fc.integer().map(() => []),
          fc.integer().map(() => ({})),
        ),
      }),
      fc.record({ op: fc.constant('remove' as const), path: fc.constantFrom('/a/0', '/a/1', '/b/x', '/a') }),
    );
    const outcome = (work: () => unknown): unknown => {
      try {
        return work();
      } catch (error) {
        return error instanceof TypeError ? 'refused' : error;
      }
    };
    fc.assert(
      fc.property(fc.array(operation), (patch) => {
        const document = deepFrozen(json('{"a":[0],"b":{}}'));
        const together = outcome(() => applyPatch(document, patch));
        expect(outcome(() => patch.reduce((state, one) => applyPatch(state, [one]), document))).toEqual(together);
        expect(outcome(() => applyPatch(structuredClone(document), structuredClone(patch), 'all'))).toEqual(together);
        expect(document).toEqual({ a: [0], b: {} });
      }),
    );
  });
});
