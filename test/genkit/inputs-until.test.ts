import { describe, expect, test } from 'vitest';
import { inputsUntil } from '../../src/genkit/inputs-until.js';
import { Deferred } from '../../src/internal/deferred.js';
import { stillHeld } from '../support/garbage.js';

const never = new Promise<never>(() => {});

function source(next: () => Promise<IteratorResult<number>>, close?: () => Promise<IteratorResult<number>>) {
  return { [Symbol.asyncIterator]: () => ({ next, ...(close && { return: close }) }) };
}

async function collect(inputs: AsyncIterable<number>): Promise<number[]> {
  const all: number[] = [];
  for await (const input of inputs) all.push(input);
  return all;
}

describe('the inputs of a run', () => {
  test('are all that the source brings', async () => {
    async function* numbers() {
      yield* [1, 0, 2];
    }
    expect(await collect(inputsUntil(never, numbers()))).toEqual([1, 0, 2]);
  });

  test('end with the run, and nobody waits for the source to close', async () => {
    const ended = new Deferred<void>();
    let closed = 0;
    const hanging = source(
      () => never,
      () => {
        closed += 1;
        return never;
      },
    );
    const all = collect(inputsUntil(ended.promise, hanging));
    ended.resolve();
    expect(await all).toEqual([]);
    expect(closed).toBe(1);
  });

  test.each([
    ['rejects', () => Promise.reject(new Error('closing'))],
    [
      'throws',
      () => {
        throw new Error('closing');
      },
    ],
    ['is not there', undefined],
  ])('are left in peace where closing the source %s', async (_, close) => {
    const endless = source(async () => ({ value: 1, done: false }), close);
    for await (const input of inputsUntil(never, endless)) {
      expect(input).toBe(1);
      break;
    }
  });

  test('fail with what the source throws, also where it cannot be read at all', async () => {
    const failing = source(() => Promise.reject(new Error('reading')));
    await expect(collect(inputsUntil(never, failing))).rejects.toThrow('reading');
    const unreadable = {
      [Symbol.asyncIterator](): AsyncIterator<number> {
        throw new Error('no iterator');
      },
    };
    await expect(collect(inputsUntil(never, unreadable))).rejects.toThrow('no iterator');
  });

  test('are not kept while the run goes on', async () => {
    const refs: WeakRef<object>[] = [];
    async function* objects() {
      for (let count = 0; count < 10; count++) {
        const input = { count };
        refs.push(new WeakRef(input));
        yield input;
      }
    }
    const inputs = inputsUntil(never, objects());
    const read = async () => void (await inputs.next());
    for (let count = 0; count < 10; count++) await read();
    // The newest may still stand where it was handed over.
    expect(await stillHeld(refs.slice(0, -1))).toBe(0);
    await inputs.return();
  });
});
