import { Deferred } from '../internal/deferred.js';

/** Tools that run at once, everywhere in this package. */
const maxAtOnce = 8;

/**
 * Starts the work in order, a bounded number at once, and answers a promise for each item. One that rejects is no end: the
 * work itself has to see that nobody waits for it any more.
 */
export function inOrder<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result>[] {
  const waiting = items.map((item) => ({ item, result: new Deferred<Result>() }));
  const queue = waiting.values();
  const worker = async () => {
    for (const { item, result } of queue) await work(item).then(result.resolve, result.reject);
  };
  for (let count = 0; count < Math.min(maxAtOnce, items.length); count++) void worker();
  return waiting.map(({ result }) => result.promise);
}
