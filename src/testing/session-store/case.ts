/** What a case of the store suite gets, and the steps that many cases share. */
import assert from 'node:assert/strict';
import type { ErrorCode } from '../../errors.js';
import { systemClock } from '../../internal/clock.js';
import { applyPatch, type PatchOperation } from '../../internal/patch.js';
import type { SessionChange, SessionLease, SessionStore, StoredSession } from '../../session/store.js';
import { betweenQuestions } from '../cases.js';

/** A fresh store, and what the suite may do to it. */
export interface StoreUnderTest {
  readonly store: SessionStore;
  /** Opens what the store has written anew, as another process would. Skip the cases that need it if nothing is kept. */
  reopen?(): Promise<SessionStore>;
  /** Opens a second store on the same database, beside the first. Left out, the store itself is used in its place. */
  another?(): Promise<SessionStore>;
  /** Moves the clock that the store's leases go by, in milliseconds. Leave it out when it is not yours to move. */
  advance?(ms: number): void | Promise<void>;
  /** Called after the case, whether it passed or not. */
  dispose?(): void | Promise<void>;
}

/** One rule of the contract. */
export interface StoreCase {
  /** The rule, as a sentence. */
  readonly name: string;
  run(given: StoreUnderTest): Promise<void>;
}

/** Longer than any case takes. */
const longLeaseMs = 60_000;
/** For leases that are to expire: short enough to wait for on a real clock. */
export const shortLeaseMs = 50;
/** Ends a wait for what never comes; what comes does so much sooner, even where the machine is busy. */
const patienceMs = 30_000;

/** Takes a lease that nobody else has. */
export async function hold(store: SessionStore, sessionId: string, owner = 'run-1'): Promise<SessionLease> {
  const lease = await store.acquire(sessionId, { owner, ttlMs: longLeaseMs });
  assert.ok(lease, `expected the lease of the session to be free for ${owner}`);
  return lease;
}

/** Takes a lease that is about to expire. */
export async function holdShortly(store: SessionStore, sessionId: string, owner = 'run-1'): Promise<SessionLease> {
  const lease = await store.acquire(sessionId, { owner, ttlMs: shortLeaseMs });
  assert.ok(lease, `expected the lease of the session to be free for ${owner}`);
  return lease;
}

/** Waits until every lease taken or renewed for {@link shortLeaseMs} so far has expired, without touching it. */
export async function letShortLeasesExpire(given: StoreUnderTest): Promise<void> {
  if (given.advance !== undefined) return given.advance(shortLeaseMs);
  const { store } = given;
  // A lease taken now expires after those taken before; that another owner gets it says it has.
  const witness = 'witness of the time that passes';
  await holdShortly(store, witness, 'first');
  const lease = await eventually(() => store.acquire(witness, { owner: 'second', ttlMs: longLeaseMs }));
  await store.release(lease);
}

/** The first answer that is not `undefined`, asked for again and again. `expected` is what to say when there is none. */
export async function eventually<T>(ask: () => Promise<T | undefined>, expected = 'expected an answer'): Promise<T> {
  const deadline = systemClock.now() + patienceMs;
  while (systemClock.now() < deadline) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await betweenQuestions();
  }
  return assert.fail(`${expected} within ${patienceMs} ms`);
}

/** A whole record as a change. */
export function whole(record: unknown): SessionChange {
  return { kind: 'checkpoint', record };
}

/** Operations as a change. */
export function patch(...operations: PatchOperation[]): SessionChange {
  return { kind: 'patch', patch: operations };
}

/** Takes a session and saves its first version; the lease stays held. */
export async function create(
  store: SessionStore,
  sessionId: string,
  record: unknown = { count: 0 },
): Promise<SessionLease> {
  const lease = await hold(store, sessionId);
  await store.save(lease, { expectedVersion: 0, change: whole(record) });
  return lease;
}

/** Loads what must be there. */
export async function mustLoad(store: SessionStore, sessionId: string, version?: number): Promise<StoredSession> {
  const stored = await store.load(sessionId, version === undefined ? {} : { version });
  assert.ok(stored, `expected ${version === undefined ? 'the session' : `version ${version}`} to be there`);
  return stored;
}

/** The record that a loaded session stands for. */
export function recordOf({ checkpoint, patches }: StoredSession): unknown {
  return patches.reduce((record: unknown, operations) => applyPatch(record, operations), checkpoint);
}

/** The newest record of a session. */
export async function newestRecord(store: SessionStore, sessionId: string): Promise<unknown> {
  return recordOf(await mustLoad(store, sessionId));
}

/** The work must fail with this code; answers the error. `what` says which work, where a case has several. */
export async function refused(work: Promise<unknown>, code: ErrorCode, what = ''): Promise<object> {
  const expected = `expected ${code}${what === '' ? '' : ` for ${what}`}`;
  const error = await work.then(
    () => assert.fail(`${expected}, but it was done`),
    (reason: unknown) => reason,
  );
  const found = error instanceof Error && 'code' in error ? error.code : 'no code';
  assert.ok(error instanceof Error && found === code, `${expected}, got ${String(found)}: ${String(error)}`);
  return error;
}

/** The work must fail because its lease is not the current one, and the error say of which session. */
export async function isLost(work: Promise<unknown>, sessionId: string): Promise<void> {
  const error: { sessionId?: unknown } = await refused(work, 'LEASE_LOST');
  assert.equal(error.sessionId, sessionId, 'expected LEASE_LOST to say which session was lost');
}

/** The second of two leases must have the higher fence. */
export function hasGrown(earlier: SessionLease, later: SessionLease): void {
  const { fence } = later;
  assert.ok(
    fence > earlier.fence,
    `expected a fence above ${earlier.fence}, the one of the lease before, got ${fence}`,
  );
}

/** Every id of a listing, page by page, from a cursor on. Fails for one that goes round in circles. */
export async function allIds(store: SessionStore, limit?: number, from?: string): Promise<string[]> {
  const ids = new Set<string>();
  const cursors = new Set<string>();
  let cursor = from;
  do {
    assert.ok(cursor === undefined || !cursors.has(cursor), 'expected a listing that ends, but a `next` came again');
    if (cursor !== undefined) cursors.add(cursor);
    const page = await store.list({
      ...(limit === undefined ? {} : { limit }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const { id } of page.sessions) {
      assert.ok(!ids.has(id), 'expected every session once in a listing, but one came twice');
      ids.add(id);
    }
    cursor = page.next;
  } while (cursor !== undefined);
  return [...ids];
}
