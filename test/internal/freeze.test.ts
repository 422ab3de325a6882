import { expect, test } from 'vitest';
import { deepFreeze } from '../../src/internal/freeze.js';

test('all of a JSON value is frozen, in place', () => {
  const value = { list: [{ deep: { deeper: [1] } }, null, 'text'], nothing: null };
  expect(deepFreeze(value)).toBe(value);
  const [first] = value.list as [{ deep: { deeper: number[] } }];
  const parts = [value, value.list, first, first.deep, first.deep.deeper];
  expect(parts.map((part) => Object.isFrozen(part))).toEqual(parts.map(() => true));
});

test('what is no object is left as it is', () => {
  expect([deepFreeze(1), deepFreeze('a'), deepFreeze(null), deepFreeze(undefined)]).toEqual([1, 'a', null, undefined]);
});
