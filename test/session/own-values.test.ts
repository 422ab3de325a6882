import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frozenJson } from '../../src/internal/json.js';
import { ownArtifact, ownChange, snapshot } from '../../src/session/own-values.js';
import { json } from '../support/zod-inputs.js';

describe('a snapshot', () => {
  it('is what the lists and records were, to the bottom', () => {
    const value = { list: [{ a: 1 }], record: { b: { c: [2] } } };
    const taken = snapshot(value);
    value.list.push({ a: 2 });
    value.record.b.c.length = 0;
    expect(taken).toEqual({ list: [{ a: 1 }], record: { b: { c: [2] } } });
  });

  it('leaves everything else as it is, to be judged later', () => {
    const date = new Date(0);
    const own = new (class Own {})();
    const value = { date, own, map: new Map(), nothing: undefined, big: 1n, call: () => {} };
    expect(snapshot(value)).toStrictEqual(value);
    expect(snapshot(value).date).toBe(date);
    expect(snapshot(date)).toBe(date);
    for (const plain of [null, undefined, 0, '', false, Symbol.iterator]) expect(snapshot(plain)).toBe(plain);
  });

  it('keeps frozen values, hostile keys and cycles what they are', () => {
    const frozen = Object.freeze({ list: Object.freeze([1]) });
    expect(snapshot(frozen)).toEqual(frozen);
    const hostile = JSON.parse('{"__proto__":{"x":[1]},"constructor":1}');
    const taken = snapshot(hostile);
    expect(Object.keys(taken)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(taken)).toBe(Object.prototype);
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const turned = snapshot(cycle);
    expect(turned.self).toBe(turned);
    expect(turned).not.toBe(cycle);
  });

  it('has shared parts once', () => {
    const shared = [1];
    const taken = snapshot({ a: shared, b: shared });
    expect(taken.a).toBe(taken.b);
    expect(taken.a).not.toBe(shared);
  });
});

describe('a snapshot of what is partly known', () => {
  const known = frozenJson({ list: [{ a: 1 }, { a: 2 }], record: { b: { c: 1 } } }, () => {}) as {
    readonly list: readonly { readonly a: number }[];
    readonly record: { readonly b: { readonly c: number } };
  };

  it('shares what stands at the same place, and copies all else', () => {
    const fresh = { a: 3 };
    const given = { ...known, list: [...known.list, fresh] };
    const taken = snapshot(given, known);
    given.list.length = 0;
    fresh.a = 4;
    expect(taken).toEqual({ list: [{ a: 1 }, { a: 2 }, { a: 3 }], record: known.record });
    expect(taken.record).toBe(known.record);
    expect(taken.list[1]).toBe(known.list[1]);
    expect(snapshot(known, known)).toBe(known);
  });

  it('is what it would be if nothing were known', () => {
    fc.assert(
      fc.property(json, json, (value, other) => {
        const before = frozenJson(other, () => {});
        expect(isDeepStrictEqual(snapshot(value, before), snapshot(value))).toBe(true);
        const given = { before, value, list: [before, value] };
        expect(isDeepStrictEqual(snapshot(given, { before, list: [before] }), snapshot(given))).toBe(true);
      }),
    );
  });
});

describe('an artifact of one’s own', () => {
  it('is frozen, shares nothing, and has lost what no artifact has', () => {
    const given = { name: 'a', parts: [{ text: 'x', data: { deep: [1] } }], extra: true };
    const own = ownArtifact(given);
    expect(own).toEqual({ name: 'a', parts: [{ text: 'x', data: { deep: [1] } }] });
    expect(Object.isFrozen(own) && Object.isFrozen(own.parts) && Object.isFrozen(own.parts[0])).toBe(true);
    expect(own.parts[0]?.data).not.toBe(given.parts[0]?.data);
  });
});

describe('a change of one’s own', () => {
  const record = { state: { list: ['a'], 'x/y': {} }, artifacts: [] };

  it('has frozen values of its own', () => {
    const value = { deep: [1] };
    const [operation] = ownChange(record, [{ op: 'add', path: '/state/list/-', value }]);
    expect(operation).toEqual({ op: 'add', path: '/state/list/-', value: { deep: [1] } });
    expect(operation !== undefined && 'value' in operation && Object.isFrozen(operation.value)).toBe(true);
  });

  it('names every place where there is no JSON, lists by their index', () => {
    const patch = [
      { op: 'remove', path: '/state/list/0' },
      { op: 'add', path: '/state/list/-', value: 'fine' },
      { op: 'add', path: '/state/list/-', value: { at: new Date(0) } },
      { op: 'replace', path: '/state/x~1y/a~0b', value: 1n },
      { op: 'replace', path: '/state', value: () => {} },
    ] as const;
    const issues = [
      { path: 'list.2.at', received: 'an instance of Date' },
      { path: 'x/y.a~b', received: 'bigint' },
      { path: '', received: 'function' },
    ];
    expect(() => ownChange(record, patch)).toThrow(
      expect.objectContaining({
        code: 'INVALID_VALUE',
        kind: 'state',
        issues: issues.map((issue) => ({ ...issue, expected: 'a JSON value' })),
      }),
    );
  });
});
