import { describe, expect, test } from 'vitest';
import { Notices } from '../../src/session/notices.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { TestSubscriptions } from '../support/subscriptions.js';
import { errorOf, quiet, stateOf } from '../support/waiting.js';

const never = new AbortController().signal;
const held = async () => true;

describe('waits to be told', () => {
  test('many share one connection, which is closed when the last is over', async () => {
    const subscriptions = new TestSubscriptions();
    const clock = new ManualClock();
    const notices = new Notices(subscriptions.subscribe, clock);
    const [a, alsoA, b] = [
      notices.next('a', never, held),
      notices.next('a', never, held),
      notices.next('b', never, held),
    ];
    await quiet();
    expect(subscriptions.opened).toHaveLength(1);
    subscriptions.opened[0]?.tell('unknown');
    subscriptions.opened[0]?.tell('a');
    await Promise.all([a, alsoA]);
    expect(await stateOf(b)).toBe('pending');
    expect(subscriptions.opened[0]?.isStopped).toBe(false);
    subscriptions.opened[0]?.tell('b');
    await b;
    clock.advance(400);
    const soon = notices.next('a', never, held);
    clock.advance(400);
    subscriptions.opened[0]?.tell('a');
    await soon;
    expect(subscriptions.opened).toHaveLength(1);
    expect(subscriptions.opened[0]?.isStopped).toBe(false);
    clock.advance(500);
    await quiet();
    expect(subscriptions.opened[0]?.isStopped).toBe(true);
    const later = notices.next('a', never, held);
    await quiet();
    expect(subscriptions.opened).toHaveLength(2);
    subscriptions.opened[1]?.tell('a');
    await later;
  });

  test('a session that is free is told at once, and only once somebody listens', async () => {
    const subscriptions = new TestSubscriptions();
    await new Notices(subscriptions.subscribe).next('a', never, async () => {
      expect(subscriptions.opened).toHaveLength(1);
      return false;
    });
  });

  test('a release while the session is looked at is not missed', async () => {
    const subscriptions = new TestSubscriptions();
    await new Notices(subscriptions.subscribe).next('a', never, async () => {
      subscriptions.opened[0]?.tell('a');
      return true;
    });
  });

  test('a connection that breaks wakes everybody, and the next wait opens another', async () => {
    const subscriptions = new TestSubscriptions();
    const notices = new Notices(subscriptions.subscribe);
    const waits = [notices.next('a', never, held), notices.next('b', never, held)];
    await quiet();
    subscriptions.opened[0]?.breakDown();
    await Promise.all(waits);
    const next = notices.next('a', never, held);
    await quiet();
    subscriptions.opened[1]?.tell('a');
    await next;
  });

  test('a signal ends the wait, before it began, while the connection opens and after', async () => {
    const subscriptions = new TestSubscriptions();
    const clock = new ManualClock();
    const notices = new Notices(subscriptions.subscribe, clock);
    const reason = new Error('enough');
    expect(await errorOf(notices.next('a', AbortSignal.abort(reason), held))).toBe(reason);
    for (const isOpen of [false, true]) {
      const controller = new AbortController();
      const wait = errorOf(notices.next('a', controller.signal, held));
      if (isOpen) await quiet();
      controller.abort(reason);
      expect(await wait).toBe(reason);
    }
    clock.advance(500);
    await quiet();
    expect(subscriptions.opened.every(({ isStopped }) => isStopped)).toBe(true);
  });

  test('what fails is told, and tried again by the next wait', async () => {
    const subscriptions = new TestSubscriptions();
    const notices = new Notices(subscriptions.subscribe);
    subscriptions.failure = new Error('nobody listens');
    expect(await errorOf(notices.next('a', never, held))).toBe(subscriptions.failure);
    subscriptions.failure = undefined;
    const broken = new Error('cannot be asked');
    expect(await errorOf(notices.next('a', never, () => Promise.reject(broken)))).toBe(broken);
    await notices.next('a', never, async () => false);
  });
});
