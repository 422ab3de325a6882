/** Steps that the cases of a run's feed share. */
import assert from 'node:assert/strict';
import type { FeedPage, RunFeed, SessionLease, SessionStore } from '../../session/store.js';
import { whole } from './case.js';

/** The session that most cases are about. */
export const feedSession = 'session';

const manyEntries = 10_000;
const longTtlMs = 60_000;

/** The feed of a store that is said to keep one. */
export function feedOf(store: SessionStore): RunFeed {
  assert.ok(store.feed, 'expected the store to keep feeds');
  return store.feed;
}

/** Takes a session for a run, from whoever has it, and sees to it that it has a version. */
export async function runOf(store: SessionStore, owner = 'run-1', sessionId = feedSession): Promise<SessionLease> {
  const lease = await store.acquire(sessionId, { owner, ttlMs: longTtlMs, takeover: true });
  assert.ok(lease, 'expected the takeover to get the lease');
  const isNew = (await store.load(sessionId)) === undefined;
  if (isNew) await store.save(lease, { expectedVersion: 0, change: whole({ count: 0 }) });
  return lease;
}

/** Appends entries that are kept for long. */
export async function say(
  store: SessionStore,
  lease: SessionLease,
  start: number,
  ...entries: unknown[]
): Promise<void> {
  await feedOf(store).append(lease, { start, entries, keep: manyEntries, ttlMs: longTtlMs });
}

/** All that is kept of a run, or of the session's own choice of a run. */
export async function heard(store: SessionStore, run?: string, sessionId = feedSession): Promise<FeedPage | undefined> {
  return feedOf(store).read(sessionId, { from: 0, limit: manyEntries, ...(run === undefined ? {} : { run }) });
}

/** The same, where something must be kept. */
export async function mustHear(store: SessionStore, run?: string, sessionId = feedSession): Promise<FeedPage> {
  const page = await heard(store, run, sessionId);
  assert.ok(page, `expected something to be kept of ${run ?? 'a run'}`);
  return page;
}
