/** Many writers that all want one session, and whether every turn of theirs is there in the end. */
import { isAgentFlowError } from '../../src/errors.js';
import { systemClock } from '../../src/internal/clock.js';
import { type BusySessionPolicy, holdSession } from '../../src/session/lease.js';
import type { SessionLease, SessionStore } from '../../src/session/store.js';

/** How a storm went. */
export interface StormResult {
  readonly micros: number;
  /** How often a turn had to be begun again, because somebody had taken the session away. */
  readonly begunAgain: number;
  /** How many turns are there; `NaN` when one is there twice. */
  readonly accounted: number;
}

/** Every writer has a store of its own, so that they know of each other only through the database. */
export async function storm(open: () => SessionStore, writers: number, turns: number): Promise<StormResult> {
  let begunAgain = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const store = open();
      for (let turn = 0; turn < turns; turn++)
        begunAgain += await haveTurn(store, `writer ${writer}, turn ${turn}`, turn);
    }),
  );
  const micros = (performance.now() - start) * 1_000;
  const stored = await open().load('storm');
  const saved = [stored?.checkpoint, ...(stored?.patches ?? [])].map((one) => JSON.stringify(one));
  return { micros, begunAgain, accounted: new Set(saved).size === saved.length ? saved.length : Number.NaN };
}

/** Every fourth turn takes the session from whoever has it; whoever lost it waits for it. Answers how often it was lost. */
async function haveTurn(store: SessionStore, value: string, turn: number): Promise<number> {
  for (let lost = 0; ; lost++) {
    try {
      await hadOnce(store, value, turn % 4 === 0 && lost === 0 ? 'takeover' : 'queue', lost);
      return lost;
    } catch (error) {
      if (!isAgentFlowError(error) || error.code === 'STORE_FAILED') throw error;
    }
  }
}

async function hadOnce(store: SessionStore, value: string, policy: BusySessionPolicy, attempt: number): Promise<void> {
  const hold = await holdSession(store, 'storm', {
    policy,
    owner: `${value}, attempt ${attempt}`,
    clock: systemClock,
    ttlMs: 60_000,
    signal: new AbortController().signal,
    onLost: () => {},
  });
  try {
    await add(store, hold.lease, value);
  } finally {
    await hold.release();
  }
}

async function add(store: SessionStore, lease: SessionLease, value: string): Promise<void> {
  const expectedVersion = (await store.load('storm'))?.head ?? 0;
  const change =
    expectedVersion === 0
      ? { kind: 'checkpoint' as const, record: [value] }
      : { kind: 'patch' as const, patch: [{ op: 'add' as const, path: '/-', value }] };
  await store.save(lease, { expectedVersion, change });
}
