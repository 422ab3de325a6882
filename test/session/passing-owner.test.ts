import { expect, test } from 'vitest';
import { isPassingOwner, passingOwner } from '../../src/session/passing-owner.js';

test('who holds a session in passing is known by its owner, and each by its own', () => {
  expect(isPassingOwner(passingOwner('1'))).toBe(true);
  expect(passingOwner('1')).not.toBe(passingOwner('2'));
  expect(isPassingOwner('1f6d9a52-0f3c-4a4e-9d7e-000000000000')).toBe(false);
});
