import { expect, test } from 'vitest';
import { EventQueue } from '../../src/genkit/event-queue.js';

test('everything that was pushed comes in order, whenever the reader looks, then the error', async () => {
  const queue = new EventQueue<number | undefined>();
  const asked = queue.next();
  for (const event of [0, undefined, 2]) queue.push(event);
  expect(await asked).toEqual({ value: 0, done: false });
  queue.push(3);
  queue.end({ error: new Error('the end') });
  queue.push(4);
  const seen: unknown[] = [];
  const reading = (async () => {
    for await (const event of queue) seen.push(event);
  })();
  await expect(reading).rejects.toThrow('the end');
  expect(seen).toEqual([undefined, 2, 3]);
});

test('a reader that waits is told of the end; only the first one counts', async () => {
  const queue = new EventQueue<number>();
  const asked = queue.next();
  queue.end();
  queue.end({ error: new Error('too late') });
  expect(await asked).toEqual({ value: undefined, done: true });
  expect(await queue.next()).toEqual({ value: undefined, done: true });
});
