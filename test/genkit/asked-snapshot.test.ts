import { expect, test } from 'vitest';
import { askedSnapshot } from '../../src/genkit/asked-snapshot.js';

test('one id says what is meant, an empty one nothing, and two are refused', () => {
  expect(askedSnapshot({ snapshotId: 's', sessionId: '' })).toEqual({ snapshotId: 's' });
  expect(askedSnapshot({ sessionId: 'a' })).toEqual({ sessionId: 'a' });
  for (const [options, received] of [
    [{}, 'neither'],
    [{ snapshotId: '' }, 'neither'],
    [{ snapshotId: 's', sessionId: 'a' }, 'both'],
  ] as const) {
    expect(() => askedSnapshot(options)).toThrow(received);
  }
});
