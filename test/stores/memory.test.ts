import { expect, test } from 'vitest';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testSessionStore } from '../../src/testing/session-store-suite.js';

const keepsNothing = 'it keeps nothing beyond its own life';

testSessionStore({
  test,
  create: () => {
    const clock = new ManualClock();
    return { store: new MemorySessionStore({ clock }), advance: (ms) => clock.advance(ms) };
  },
  skip: [
    { case: 'a store opened again has every version and every input', reason: keepsNothing },
    { case: 'a lease outlives the process that took it, and so does its fence', reason: keepsNothing },
    { case: 'a store opened again lists in the same order and knows the cursors of before', reason: keepsNothing },
    { case: 'what was deleted is not there when the store is opened again', reason: keepsNothing },
    { case: 'tenants are still apart when the store is opened again', reason: keepsNothing },
  ],
});

test('two stores share nothing, and a lease of one fits no other', async () => {
  const [one, other] = [new MemorySessionStore(), new MemorySessionStore()];
  const options = { owner: 'run-1', ttlMs: 1_000 };
  const lease = await one.acquire('session', options);
  await other.acquire('session', options);
  await one.save(lease ?? expect.fail(), { expectedVersion: 0, change: { kind: 'checkpoint', record: {} } });
  expect(await other.load('session')).toBeUndefined();
  expect(await other.renew(lease ?? expect.fail(), 1_000)).toBe(false);
});

test('times are those of its clock', async () => {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const store = new MemorySessionStore({ clock });
  const lease = (await store.acquire('session', { owner: 'run-1', ttlMs: 1_000 })) ?? expect.fail();
  await store.save(lease, { expectedVersion: 0, change: { kind: 'checkpoint', record: {} } });
  clock.advance(1_500);
  await store.save(lease, { expectedVersion: 1, change: { kind: 'checkpoint', record: {} } });
  expect(await store.load('session')).toMatchObject({
    createdAt: '2026-01-01T00:00:00.000Z',
    updatedAt: '2026-01-01T00:00:01.500Z',
  });
});
