import { beforeEach, describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { AgentFlowError, type LeaseLostError } from '../../src/errors.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { openTestSession } from '../support/sessions.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { errorOf } from '../support/waiting.js';

const Counter = z.object({ n: z.number(), log: z.array(z.number()).default([]) });
type Counter = z.infer<typeof Counter>;

let store: MemorySessionStore;

beforeEach(() => {
  store = new MemorySessionStore();
});

/** A session that has counted to `n`, one version a step; version 1 is n = 0. */
async function counted(n: number, sessionId = 's'): Promise<void> {
  const { session } = await openTestSession<Counter>({ schema: Counter, init: { n: 0 }, store, sessionId });
  for (let step = 1; step <= n; step++) {
    await session.updateState((draft) => {
      draft.n = step;
      draft.log.push(step);
    });
  }
  await session.release();
}

const reopen = (options: object = {}) =>
  openTestSession<Counter>({ schema: Counter, store, sessionId: 's', ...options });

describe('opening', () => {
  it('creates the session at version 1, at once', async () => {
    const { session, pending } = await reopen({ init: { n: 5 } });
    expect([session.id, session.version, session.parent, pending]).toEqual(['s', 1, undefined, []]);
    expect(await store.load('s')).toMatchObject({
      version: 1,
      checkpoint: { state: { n: 5, log: [] }, artifacts: [] },
    });
  });

  it('loads a known one at its newest version', async () => {
    await counted(10);
    const { session } = await reopen({ init: { n: 99 } });
    expect(session.version).toBe(11);
    expect(session.state).toEqual({ n: 10, log: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] });
    expect(Object.isFrozen(session.state.log)).toBe(true);
  });

  it('creates nothing when init is refused, and lets go of the id', async () => {
    expect(await errorOf(reopen({ init: { n: 'x' } }))).toMatchObject({ code: 'INVALID_VALUE' });
    expect((await store.list()).sessions).toEqual([]);
    expect((await reopen({ init: { n: 1 }, policy: 'reject' })).session.version).toBe(1);
  });

  it('tells about inputs an earlier run took, oldest first', async () => {
    const { session } = await reopen({ init: { n: 0 } });
    for (const id of ['b', 'a', 'c']) {
      await session.accept({ id, run: 'r', turn: 1, attempt: 1, done: id === 'a', input: { text: id } });
    }
    await session.release();
    expect((await reopen()).pending).toMatchObject([
      { id: 'b', done: false, input: { text: 'b' } },
      { id: 'c', done: false },
    ]);
  });

  it('lets go of the session when loading fails, and says why even if letting go fails too', async () => {
    const unsteady = new UnsteadyStore(store);
    const failure = new AgentFlowError('STORE_FAILED', 'cannot read');
    unsteady.before = (call) => {
      if (call === 'load') throw failure;
      if (call === 'release') throw new AgentFlowError('STORE_FAILED', 'cannot let go');
    };
    expect(await errorOf(reopen({ store: unsteady }))).toBe(failure);
    unsteady.before = () => {};
    expect((await reopen({ store: unsteady, init: { n: 1 }, policy: 'takeover' })).session.state.n).toBe(1);
  });
});

describe('going back', () => {
  it('continues from an old version as a new head; nothing between is lost', async () => {
    await counted(10);
    const { session } = await reopen({ version: 4 });
    expect(session.state).toEqual({ n: 3, log: [1, 2, 3] });
    await session.updateState((draft) => {
      draft.n = 100;
    });
    expect(session.version).toBe(12);
    await session.updateState((draft) => {
      draft.log.push(100);
    });
    await session.release();
    expect((await reopen()).session.state).toEqual({ n: 100, log: [1, 2, 3, 100] });
    const versions = await Promise.all([11, 12, 13].map((version) => store.load('s', { version })));
    expect(versions.map((version) => version?.version)).toEqual([11, 12, 13]);
  });

  it('to the newest version is like opening it', async () => {
    await counted(3);
    const { session } = await reopen({ version: 4 });
    await session.updateState({ n: 5, log: [] });
    await session.release();
    expect((await reopen()).session.version).toBe(5);
  });

  it('is refused for a version there is not, a session there is not, and without a store', async () => {
    await counted(2);
    expect(await errorOf(reopen({ version: 4 }))).toMatchObject({
      code: 'VERSION_NOT_FOUND',
      status: 'NOT_FOUND',
      details: { version: 4 },
    });
    expect(await errorOf(reopen({ sessionId: 'none', version: 1, init: { n: 1 } }))).toMatchObject({
      code: 'SESSION_NOT_FOUND',
    });
    expect(await errorOf(reopen({ store: undefined, version: 1, init: { n: 1 } }))).toMatchObject({ code: 'NO_STORE' });
    expect((await store.list()).sessions.map(({ id }) => id)).toEqual(['s']);
  });
});

describe('retention', () => {
  it('drops old versions and never breaks a resume', async () => {
    const { session } = await reopen({ init: { n: 0 }, keepVersions: 3 });
    for (let step = 1; step <= 3_000; step++) {
      await session.updateState((draft) => {
        draft.n = step;
      });
      if (step % 500 !== 0) continue;
      const rebuilt = await openTestSession<Counter>({ schema: Counter, store: copyOf(await store.load('s')) });
      expect(rebuilt.session.state.n).toBe(step);
      for (const version of [step + 1, step, step - 1]) expect(await store.load('s', { version })).toBeDefined();
    }
    expect(await store.load('s', { version: 1 })).toBeUndefined();
    await session.release();
    expect(await errorOf(reopen({ version: 1 }))).toMatchObject({ code: 'VERSION_NOT_FOUND' });
    expect((await reopen({ version: 2_999 })).session.state.n).toBe(2_998);
  });

  it('keeps everything by default', async () => {
    await counted(500);
    expect((await reopen({ version: 1 })).session.state.n).toBe(0);
  });

  function copyOf(stored: unknown): UnsteadyStore {
    const copy = new UnsteadyStore(new MemorySessionStore());
    copy.load = async () => structuredClone(stored) as never;
    return copy;
  }
});

describe('the lease of an open session', () => {
  it('is told to be lost by the first refused write, once, and nothing was written', async () => {
    const clock = new ManualClock();
    const losses: LeaseLostError[] = [];
    const { session } = await reopen({ init: { n: 0 }, clock, onLost: (error: LeaseLostError) => losses.push(error) });
    await store.acquire('s', { owner: 'thief', ttlMs: 60_000, takeover: true });
    const lost = { code: 'LEASE_LOST', sessionId: 's' };
    expect(await errorOf(session.updateState({ n: 1, log: [] }))).toMatchObject(lost);
    expect(await errorOf(session.accept({ id: 'i', run: 'r', turn: 1, attempt: 1, done: false }))).toMatchObject(lost);
    expect(losses).toHaveLength(1);
    expect(session.state.n).toBe(0);
    expect((await store.load('s'))?.version).toBe(1);
    await session.release();
  });

  it('does not help a stale writer: SESSION_CONFLICT, and nothing is written', async () => {
    await counted(1);
    const { session } = await reopen();
    const lease = await store.acquire('s', { owner: 'other', ttlMs: 60_000, takeover: true });
    if (lease === undefined) throw new Error('no lease');
    const change = { kind: 'checkpoint', record: { state: { n: 7, log: [] }, artifacts: [] } } as const;
    await store.save(lease, { expectedVersion: 2, change });
    expect(await errorOf(store.save(lease, { expectedVersion: 2, change }))).toMatchObject({
      code: 'SESSION_CONFLICT',
      status: 'ABORTED',
      expectedVersion: 2,
      actualVersion: 3,
    });
    expect(await errorOf(session.updateState({ n: 9, log: [] }))).toMatchObject({ code: 'LEASE_LOST' });
    await store.release(lease);
    expect((await reopen({ policy: 'takeover' })).session.state.n).toBe(7);
  });
});
