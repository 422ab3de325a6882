import { expect, test } from 'vitest';
import { Notices } from '../../src/session/notices.js';
import { Releases } from '../../src/session/releases.js';
import { TestSubscriptions } from '../support/subscriptions.js';
import { quiet } from '../support/waiting.js';

test('whoever waits for a session is known to wait until the signal fires', async () => {
  const subscriptions = new TestSubscriptions();
  const releases = new Releases(new Notices(subscriptions.subscribe));
  const waiting = new AbortController();
  const asked: (number | undefined)[] = [];
  const wait = (fence: number | undefined) =>
    releases.next('a', waiting.signal, async (since) => {
      asked.push(since);
      return fence;
    });
  expect(releases.since('a')).toBeUndefined();
  const first = wait(7);
  await quiet();
  expect(releases.since('a')).toBe(7);
  subscriptions.opened[0]?.tell('a');
  await first;
  const second = wait(9);
  await quiet();
  subscriptions.opened[0]?.tell('a');
  await second;
  await wait(undefined);
  expect(asked).toEqual([undefined, 7, 7]);
  expect(releases.since('a')).toBe(7);
  expect(releases.since('b')).toBeUndefined();
  waiting.abort();
  expect(releases.since('a')).toBeUndefined();
});
