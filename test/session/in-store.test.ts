import { describe, expect, it } from 'vitest';
import { LeaseLostError } from '../../src/errors.js';
import { inStore } from '../../src/session/in-store.js';
import { errorOf } from '../support/waiting.js';

describe('what is asked of a store', () => {
  it('is answered, or rejects with an error of ours as it was thrown', async () => {
    expect(await inStore(async () => 5)).toBe(5);
    const lost = new LeaseLostError('s');
    expect(await errorOf(inStore(() => Promise.reject(lost)))).toBe(lost);
  });

  it.each([
    ['an error', new TypeError('no route'), 'The session store failed: no route'],
    ['text', 'no route', 'The session store failed'],
  ])('rejects with STORE_FAILED where it throws %s of its own, at once or later', async (_, cause, message) => {
    const failed = { code: 'STORE_FAILED', status: 'UNAVAILABLE', cause, message };
    const atOnce = (): never => {
      throw cause;
    };
    expect(await errorOf(inStore(atOnce))).toMatchObject(failed);
    expect(await errorOf(inStore(() => Promise.reject(cause)))).toMatchObject(failed);
  });
});
