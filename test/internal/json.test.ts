import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { frozenJson, type NotJson } from '../../src/internal/json.js';

function copyOf(value: unknown, keep?: (part: object) => boolean): { copy: unknown; problems: NotJson[] } {
  const problems: NotJson[] = [];
  return { copy: frozenJson(value, (problem) => problems.push(problem), keep), problems };
}

/** Every object in a value. */
function objectsIn(value: unknown): object[] {
  return typeof value === 'object' && value !== null ? [value, ...Object.values(value).flatMap(objectsIn)] : [];
}

function nested(levels: number): unknown {
  let value: unknown = [];
  for (let level = 1; level < levels; level++) value = [value];
  return value;
}

describe('the copy', () => {
  test('is what JSON would give back, frozen throughout, and shares nothing', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const { copy, problems } = copyOf(value);
        expect(problems).toEqual([]);
        expect(copy).toStrictEqual(JSON.parse(JSON.stringify(value)));
        const mine = new Set(objectsIn(value));
        for (const part of objectsIn(copy)) {
          expect(Object.isFrozen(part)).toBe(true);
          expect(mine.has(part)).toBe(false);
        }
      }),
    );
  });

  test('leaves out members that are undefined, as JSON does', () => {
    expect(copyOf({ a: undefined, b: 1 })).toEqual({ copy: { b: 1 }, problems: [] });
    expect(Object.keys(copyOf({ a: undefined }).copy as object)).toEqual([]);
  });

  test('has __proto__ as a member', () => {
    const hostile: unknown = JSON.parse('{"__proto__":{"polluted":true},"a":{"__proto__":1}}');
    const { copy } = copyOf(hostile);
    expect(JSON.stringify(copy)).toBe(JSON.stringify(hostile));
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });

  test('is made of plain objects of any realm, and of those without a prototype', () => {
    const { copy, problems } = copyOf([runInNewContext('({ a: [1] })'), Object.assign(Object.create(null), { b: 1 })]);
    expect(problems).toEqual([]);
    expect(copy).toStrictEqual([{ a: [1] }, { b: 1 }]);
  });

  test('has a part twice that was there twice', () => {
    const part = { x: 1 };
    expect(copyOf({ a: part, b: [part] })).toEqual({ copy: { a: { x: 1 }, b: [{ x: 1 }] }, problems: [] });
  });

  test('shares the parts it is told to keep', () => {
    const part = Object.freeze({ x: 1 });
    const { copy } = copyOf({ a: part, b: { x: 1 } }, (one) => one === part);
    expect((copy as { a: object }).a).toBe(part);
  });

  test('has no sign where JSON has none', () => {
    expect(Object.is(copyOf({ zero: -0 }).copy, null)).toBe(false);
    expect(copyOf({ zero: -0 }).copy).toStrictEqual({ zero: 0 });
  });
});

describe('what JSON cannot carry', () => {
  class Own {
    x = 1;
  }
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  test.each<[unknown, string, string]>([
    [undefined, '', 'undefined'],
    [{ a: [1, Number.NaN] }, 'a.1', 'NaN'],
    [{ a: Number.POSITIVE_INFINITY }, 'a', 'Infinity'],
    [[undefined], '0', 'undefined'],
    [{ a: 1n }, 'a', 'bigint'],
    [{ a: () => 1 }, 'a', 'function'],
    [{ a: Symbol('x') }, 'a', 'symbol'],
    [{ a: new Date(0) }, 'a', 'an instance of Date'],
    [{ a: new Map() }, 'a', 'an instance of Map'],
    [{ a: new Uint8Array(1) }, 'a', 'an instance of Uint8Array'],
    [{ a: new Own() }, 'a', 'an instance of Own'],
    [{ a: new (class {})() }, 'a', 'an instance of an unnamed class'],
    [cycle, 'self', 'a cycle'],
  ])('%o', (value, path, received) => {
    expect(copyOf(value).problems).toEqual([{ path, received }]);
  });

  test('is left out', () => {
    const { copy, problems } = copyOf({ a: new Date(0), b: { c: Number.NaN, d: 1 } });
    expect(problems.map(({ path }) => path)).toEqual(['a', 'b.c']);
    expect(Object.keys(copy as object)).toEqual(['b']);
    expect(copy).toStrictEqual({ b: { d: 1 } });
  });

  test('is also what is nested too deeply for the stack', () => {
    expect(copyOf(nested(1_000)).problems).toEqual([]);
    expect(copyOf(nested(1_001)).problems).toMatchObject([{ received: 'more than 1000 levels' }]);
    expect(copyOf(nested(200_000)).problems).toHaveLength(1);
  });

  test('holes of an array are told', () => {
    expect(copyOf(new Array(2)).problems).toHaveLength(2);
  });
});
