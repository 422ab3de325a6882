import fc from 'fast-check';
import { expect, test } from 'vitest';
import { contentName, isContentName } from '../../src/providers/content-name.js';

test('the same description has the same name, whatever the order of its members', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (content) => {
      const reversed = Object.fromEntries(Object.entries(content).reverse());
      expect(contentName('clerk', { nested: [reversed] })).toBe(contentName('clerk', { nested: [content] }));
    }),
  );
});

test('another description has another one', () => {
  const names = [{}, { a: 1 }, { a: '1' }, { a: [1, 2] }, { a: [2, 1] }, { a: { b: 1 } }].map((content) =>
    contentName('clerk', content),
  );
  expect(new Set(names).size).toBe(names.length);
});

test('a name is told from one that only begins like it', () => {
  expect(contentName('clerk', {})).toMatch(/^clerk_[0-9a-f]{8}$/);
  expect(isContentName(contentName('clerk', {}), 'clerk')).toBe(true);
  for (const other of ['clerk', 'clerk_', 'clerk_12345678x', 'clerks_12345678', contentName('clerk_two', {})])
    expect(isContentName(other, 'clerk')).toBe(false);
});
