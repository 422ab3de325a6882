import { expect, test } from 'vitest';
import { KeyedMutex } from '../../src/internal/keyed-mutex.js';

const never = new AbortController().signal;

test('a free key is entered at once, and keys are apart', async () => {
  const mutex = new KeyedMutex<string>();
  await mutex.enter('a', 'one', never);
  await mutex.enter('__proto__', 'two', never);
  expect([mutex.holder('a'), mutex.holder('__proto__'), mutex.holder('b')]).toEqual(['one', 'two', undefined]);
});

test('those who wait are let in one by one, in the order they came', async () => {
  const mutex = new KeyedMutex<string>();
  await mutex.enter('a', 'one', never);
  const order: string[] = [];
  const wait = async (name: string) => {
    await mutex.enter('a', name, never);
    expect(mutex.holder('a')).toBe(name);
    order.push(name);
    mutex.leave('a', name);
  };
  const waits = ['two', 'three', 'four'].map(wait);
  expect(order).toEqual([]);
  mutex.leave('a', 'one');
  await Promise.all(waits);
  expect(order).toEqual(['two', 'three', 'four']);
  expect(mutex.holder('a')).toBeUndefined();
});

test('who gives up is passed over', async () => {
  const mutex = new KeyedMutex<string>();
  await mutex.enter('a', 'one', never);
  const impatient = new AbortController();
  const gaveUp = mutex.enter('a', 'two', impatient.signal);
  const waiting = mutex.enter('a', 'three', never);
  impatient.abort('enough');
  await expect(gaveUp).rejects.toBe('enough');
  mutex.leave('a', 'one');
  await waiting;
  expect(mutex.holder('a')).toBe('three');
});

test('who has given up before does not wait at all', async () => {
  const mutex = new KeyedMutex<string>();
  await expect(mutex.enter('a', 'one', AbortSignal.abort('enough'))).rejects.toBe('enough');
  await mutex.enter('a', 'two', never);
  await expect(mutex.enter('a', 'three', AbortSignal.abort('enough'))).rejects.toBe('enough');
  expect(mutex.holder('a')).toBe('two');
});

test('giving up after being let in changes nothing', async () => {
  const mutex = new KeyedMutex<string>();
  await mutex.enter('a', 'one', never);
  const late = new AbortController();
  const entered = mutex.enter('a', 'two', late.signal);
  mutex.leave('a', 'one');
  late.abort('enough');
  await entered;
  expect(mutex.holder('a')).toBe('two');
});

test('a takeover goes ahead of those who wait, and the one it was taken from can no longer leave', async () => {
  const mutex = new KeyedMutex<string>();
  await mutex.enter('a', 'one', never);
  const waiting = mutex.enter('a', 'three', never);
  expect(mutex.takeOver('a', 'two')).toBe('one');
  mutex.leave('a', 'one');
  expect(mutex.holder('a')).toBe('two');
  mutex.leave('a', 'two');
  await waiting;
  expect(mutex.holder('a')).toBe('three');
  expect(mutex.takeOver('b', 'one')).toBeUndefined();
});
