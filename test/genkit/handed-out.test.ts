import { expect, test } from 'vitest';
import { HandedOutSnapshots } from '../../src/genkit/to-genkit-store/handed-out.js';

const one = () => new HandedOutSnapshots().of('tenant');

test('what was never seen is gone on from on purpose', () => {
  expect(one().isMeant('a', ['b'])).toBe(true);
});

test('whoever has it as the newest does not mean to; each that asked for it later does, once', () => {
  const handedOut = one();
  handedOut.give('a', true);
  expect(handedOut.isMeant('a', ['b'])).toBe(false);
  handedOut.give('a', false);
  handedOut.give('a', false);
  for (const branch of ['c', 'd']) {
    expect(handedOut.isMeant('a', ['b'])).toBe(true);
    handedOut.goOn(branch, 'a');
  }
  expect(handedOut.isMeant('a', ['b'])).toBe(false);
});

test('whoever made it has it as the newest, as far as others have gone on elsewhere', () => {
  const handedOut = one();
  handedOut.goOn('a', undefined);
  handedOut.goOn('b', 'a');
  expect(handedOut.isMeant('a', ['b'])).toBe(true);
  expect(handedOut.isMeant('a', ['theirs', 'b'])).toBe(false);
});

test('tenants have their own', () => {
  const all = new HandedOutSnapshots();
  all.of('alice').give('a', true);
  expect([all.of('alice').isMeant('a', []), all.of('bob').isMeant('a', [])]).toEqual([false, true]);
  expect(all.of('alice').isMeant('a', [])).toBe(false);
});

test('what was handed out long ago is forgotten', () => {
  const handedOut = one();
  handedOut.give('a', true);
  for (let later = 0; later < 49_999; later++) handedOut.give(`later ${later}`, true);
  expect(handedOut.isMeant('a', ['b'])).toBe(false);
  for (let later = 0; later < 50_000; later++) handedOut.give(`much later ${later}`, true);
  expect(handedOut.isMeant('a', ['b'])).toBe(true);
});
