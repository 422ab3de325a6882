import { describe, expect, it } from 'vitest';
import type { SendReceipt } from '../../schemas/index.js';
import { KnownIds } from '../../src/connection/known-ids.js';
import { Deferred } from '../../src/internal/deferred.js';
import { quiet } from '../support/waiting.js';

const pending = () => new Deferred<SendReceipt>();

describe('known ids', () => {
  it('are the newest ones, however many there were, refused ones not counted', async () => {
    const known = new KnownIds(3);
    for (let id = 0; id < 1_000; id++) {
      const receipt = pending();
      known.remember(String(id), receipt.promise);
      if (id % 7 !== 0) continue;
      receipt.reject(new TypeError('refused'));
      await quiet();
    }
    const ids = ['999', '998', '997', '996', '995', '994'];
    expect(ids.filter((id) => known.get(id) !== undefined)).toEqual(['999', '998', '997']);
  });

  it('are forgotten when the input is refused, but not when another one was sent meanwhile', async () => {
    const known = new KnownIds(3);
    const [first, second] = [pending(), pending()];
    known.remember('id', first.promise);
    known.remember('id', second.promise);
    first.reject(new TypeError('refused'));
    await quiet();
    expect(known.get('id')).toBe(second.promise);
    second.reject(new TypeError('refused'));
    await quiet();
    expect(known.get('id')).toBeUndefined();
  });
});
