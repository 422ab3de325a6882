import { expect, test } from 'vitest';
import { Deferred } from '../../src/internal/deferred.js';

test('its promise resolves with what it is given, a promise too', async () => {
  const deferred = new Deferred<number>();
  deferred.resolve(Promise.resolve(7));
  expect(await deferred.promise).toBe(7);
});

test('it settles once', async () => {
  const deferred = new Deferred<number>();
  deferred.resolve(1);
  deferred.resolve(2);
  deferred.reject(new TypeError('late'));
  expect(await deferred.promise).toBe(1);
});

test('its promise rejects for whoever waits', async () => {
  const deferred = new Deferred<number>();
  deferred.reject(new TypeError('no'));
  await expect(deferred.promise).rejects.toThrow('no');
});

test('a rejection nobody waits for stays silent', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  new Deferred<void>().reject(new TypeError('nobody cares'));
  // Node tells of unhandled rejections before it goes on to the next turn of the loop.
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});

test('its functions need no this', async () => {
  const { promise, resolve } = new Deferred<string>();
  resolve('done');
  expect(await promise).toBe('done');
});
