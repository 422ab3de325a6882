/** A store of ours under Genkit's own agents: what Genkit expects of a session store, and what it gets beyond that. */
import type { SessionStore as GenkitSessionStore, SessionSnapshotInput } from 'genkit/beta';
import { describe, expect, test } from 'vitest';
import { toGenkitStore } from '../../src/index.js';
import { Deferred } from '../../src/internal/deferred.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { at, message, type Snapshot, save, snapshot, twoTurns } from '../support/genkit-snapshots.js';

const fresh = () => toGenkitStore(new MemorySessionStore());

describe('what Genkit expects', () => {
  test('a snapshot is found by its id as it was saved, with or without a session', async () => {
    const store = fresh();
    const alone: Snapshot = { createdAt: at, state: { custom: { n: 1 } } };
    await save(store, 'alone', alone);
    await twoTurns(store);
    expect(await store.getSnapshot({ snapshotId: 'alone' })).toEqual({ snapshotId: 'alone', ...alone });
    expect(await store.getSnapshot({ snapshotId: 'a' })).toEqual({ snapshotId: 'a', ...snapshot(1) });
    expect(await store.getSnapshot({ snapshotId: 'b' })).toEqual({
      snapshotId: 'b',
      ...snapshot(2, { parentId: 'a' }),
    });
    expect(await store.getSnapshot({ snapshotId: 'c' })).toBeUndefined();
  });

  test('a session is found by its newest snapshot, whatever its status', async () => {
    const store = fresh();
    await twoTurns(store);
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('b');
    await save(store, 'c', snapshot(3, { parentId: 'b', status: 'failed' }));
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('c');
    expect(await store.getSnapshot({ sessionId: 'other' })).toBeUndefined();
  });

  test('neither id, or both, is a mistake', async () => {
    for (const lookup of [{}, { snapshotId: 'a', sessionId: 'session' }, { snapshotId: '' }]) {
      await expect(fresh().getSnapshot(lookup)).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    }
  });

  test('values are nobody else’s: not what was given, not what was handed out', async () => {
    const store = fresh();
    const given = snapshot(1);
    await save(store, 'a', given);
    Object.assign(given.state?.custom ?? {}, { n: 99 });
    const got = await store.getSnapshot({ snapshotId: 'a' });
    Object.assign(got?.state ?? {}, { custom: { n: 98 } });
    await store.saveSnapshot('a', (current) => {
      Object.assign(current?.state ?? {}, { custom: { n: 97 } });
      return null;
    });
    expect((await store.getSnapshot({ snapshotId: 'a' }))?.state?.custom).toEqual({ n: 1 });
    expect((await store.getSnapshot({ sessionId: 'session' }))?.state?.custom).toEqual({ n: 1 });
  });

  test('a mutator sees what is there; null saves nothing, and nor does one that throws', async () => {
    const store = fresh();
    const seen: unknown[] = [];
    for (const id of ['a', 'alone']) {
      const look = (current: unknown) => {
        seen.push(current);
        return null;
      };
      expect(await store.saveSnapshot(id, look)).toBeNull();
    }
    await save(store, 'a', snapshot(1));
    await save(store, 'alone', { createdAt: at });
    for (const id of ['a', 'alone']) {
      const failing = store.saveSnapshot(id, () => {
        throw new RangeError('no');
      });
      await expect(failing).rejects.toThrow('no');
      const look = (current?: { snapshotId: string }) => {
        seen.push(current?.snapshotId);
        return null;
      };
      expect(await store.saveSnapshot(id, look)).toBeNull();
    }
    expect(seen).toEqual([undefined, undefined, 'a', 'alone']);
    expect((await store.getSnapshot({ snapshotId: 'a' }))?.state?.custom).toEqual({ n: 1 });
  });

  test('a snapshot saved without an id gets one: its own, else a new one', async () => {
    const store = fresh();
    expect(await store.saveSnapshot(undefined, () => ({ ...snapshot(1), snapshotId: 'own' }))).toBe('own');
    const made = await store.saveSnapshot(undefined, () => snapshot(2, { parentId: 'own' }) as SessionSnapshotInput);
    expect(made).toMatch(/^[0-9a-f-]{36}$/);
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe(made);
    expect(await store.saveSnapshot(undefined, () => null)).toBeNull();
  });

  test.each(['session', undefined])(
    'of many saves of one snapshot at once none is lost (session: %s)',
    async (sessionId) => {
      const store = fresh();
      const add = (current?: { state?: { custom?: unknown } }) => {
        const n = ((current?.state?.custom as { n: number } | undefined)?.n ?? 0) + 1;
        return { createdAt: at, ...(sessionId && { sessionId }), state: { custom: { n } } };
      };
      await Promise.all(Array.from({ length: 20 }, () => store.saveSnapshot('a', add)));
      expect((await store.getSnapshot({ snapshotId: 'a' }))?.state?.custom).toEqual({ n: 20 });
    },
  );

  test('a done turn does not take back an abort that came first', async () => {
    const store = fresh();
    await save(store, 'a', snapshot(1, { status: 'pending' }));
    await Promise.all([
      store.saveSnapshot('a', (current) => ({ ...current, createdAt: at, status: 'aborted' })),
      store.saveSnapshot('a', (current) => (current?.status === 'aborted' ? null : { ...snapshot(2) })),
    ]);
    expect((await store.getSnapshot({ snapshotId: 'a' }))?.status).toBe('aborted');
  });
});

describe('a turn that was overtaken', () => {
  /** Somebody has the first snapshot as the newest when the second is made. */
  async function overtaken(store: GenkitSessionStore, lookup: { sessionId: string } | { snapshotId: string }) {
    await save(store, 'a', snapshot(1));
    await store.getSnapshot(lookup);
    await save(store, 'b', snapshot(2, { parentId: 'a' }));
  }
  const conflict = { code: 'SESSION_CONFLICT', status: 'ABORTED', expectedVersion: 1, actualVersion: 2 };

  test.each([{ sessionId: 'session' }, { snapshotId: 'a' }])('is refused, and nothing is lost: %j', async (lookup) => {
    const store = fresh();
    await overtaken(store, lookup);
    await expect(save(store, 'c', snapshot(3, { parentId: 'a' }))).rejects.toMatchObject(conflict);
    const failed = save(store, 'd', snapshot(3, { parentId: 'a', status: 'failed' }));
    await expect(failed).rejects.toMatchObject(conflict);
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('b');
    expect(await store.getSnapshot({ snapshotId: 'c' })).toBeUndefined();
    await save(store, 'c', snapshot(3, { parentId: 'b' }));
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('c');
  });

  test('is one that began with an empty session too, or goes on from what is not there', async () => {
    const store = fresh();
    await twoTurns(store);
    for (const parentId of [undefined, 'nope']) {
      const late = save(store, 'c', snapshot(4, parentId === undefined ? {} : { parentId }));
      await expect(late).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
    }
  });

  test('is refused beside a branch from the same snapshot', async () => {
    const store = fresh();
    await overtaken(store, { sessionId: 'session' });
    await store.getSnapshot({ snapshotId: 'a' });
    await save(store, 'branch', snapshot(3, { parentId: 'a' }));
    await expect(save(store, 'late', snapshot(4, { parentId: 'a' }))).rejects.toMatchObject({
      code: 'SESSION_CONFLICT',
    });
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('branch');
  });

  test('is told apart from a branch by its tenant', async () => {
    const store = toGenkitStore(new MemorySessionStore(), { tenant: ({ uid }) => uid as string });
    const of = (uid: string) => ({ context: { uid } });
    const saveAs = (uid: string, id: string, next: Snapshot) =>
      store.saveSnapshot(id, () => next as SessionSnapshotInput, of(uid));
    for (const uid of ['alice', 'bob']) {
      await saveAs(uid, 'a', snapshot(1));
      await store.getSnapshot({ snapshotId: 'a', ...of('alice') });
      await saveAs(uid, 'b', snapshot(2, { parentId: 'a' }));
    }
    await saveAs('alice', 'c', snapshot(3, { parentId: 'a' }));
    await saveAs('bob', 'c', snapshot(3, { parentId: 'a' }));
    await expect(saveAs('alice', 'd', snapshot(3, { parentId: 'a' }))).rejects.toMatchObject({
      code: 'SESSION_CONFLICT',
    });
    await saveAs('bob', 'd', snapshot(3, { parentId: 'a' }));
  });
});

describe('a turn that goes on from an older snapshot', () => {
  test('is a branch if it asked for that one: the newest is where the session goes on, and all stay', async () => {
    const store = fresh();
    await save(store, 'a', snapshot(1));
    await store.getSnapshot({ sessionId: 'session' });
    await save(store, 'b', snapshot(2, { parentId: 'a' }));
    await store.getSnapshot({ snapshotId: 'a' });
    await save(store, 'c', snapshot(3, { parentId: 'a' }));
    await save(store, 'd', snapshot(4, { parentId: 'c' }));
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('d');
    for (const [id, n, parentId] of [
      ['b', 2, 'a'],
      ['c', 3, 'a'],
    ] as const) {
      expect(await store.getSnapshot({ snapshotId: id })).toEqual({ snapshotId: id, ...snapshot(n, { parentId }) });
    }
  });

  test('and if nobody has it as the newest', async () => {
    const store = fresh();
    await twoTurns(store);
    await save(store, 'c', snapshot(3, { parentId: 'a' }));
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('c');
  });

  test('is refused where branches are', async () => {
    const store = toGenkitStore(new MemorySessionStore(), { onBranch: 'refuse' });
    await twoTurns(store);
    for (const id of ['c', 'd']) {
      await expect(save(store, id, snapshot(3, { parentId: 'a' }))).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
      await store.getSnapshot({ snapshotId: 'a' });
    }
  });

  test('is not made by looking on', async () => {
    const clock = new ManualClock();
    const store = toGenkitStore(new MemorySessionStore(), { clock, pollMs: 100 });
    await save(store, 'a', snapshot(1));
    await store.getSnapshot({ sessionId: 'session' });
    await save(store, 'b', snapshot(2, { parentId: 'a' }));
    const told = new Deferred<void>();
    const stop = store.onSnapshotStateChange?.('a', () => told.resolve());
    await told.promise;
    stop?.();
    await expect(save(store, 'c', snapshot(3, { parentId: 'a' }))).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  });
});

describe('one line of history', () => {
  test.each(['failed', 'aborted'] as const)('turns that have %s can be passed by', async (status) => {
    const store = fresh();
    await twoTurns(store);
    await save(store, 'c', snapshot(3, { parentId: 'b', status }));
    await save(store, 'd', snapshot(4, { parentId: 'c', status }));
    for (const snapshotId of ['d', 'c', 'b']) await store.getSnapshot({ snapshotId });
    await save(store, 'e', snapshot(5, { parentId: 'b' }));
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('e');
    await expect(save(store, 'f', snapshot(6, { parentId: 'b' }))).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  });

  test('failed turns make way for what they went on from, and for nothing else', async () => {
    const store = toGenkitStore(new MemorySessionStore(), { onBranch: 'refuse' });
    await save(store, 'a', snapshot(1, { status: 'failed' }));
    await save(store, 'b', snapshot(2, { status: 'failed' }));
    await expect(save(store, 'c', snapshot(3, { parentId: 'a' }))).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
    await save(store, 'c', snapshot(3));
  });

  test('a session whose first turn failed begins anew', async () => {
    const store = fresh();
    await save(store, 'a', snapshot(1, { status: 'failed' }));
    await save(store, 'b', snapshot(2));
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('b');
  });

  test('a turn in the background keeps its place for as long as it shows signs of life', async () => {
    const clock = new ManualClock(Date.parse(at));
    const store = toGenkitStore(new MemorySessionStore(), { clock });
    await save(store, 'root', snapshot(0));
    await save(store, 'a', snapshot(1, { parentId: 'root' }));
    await save(store, 'b', snapshot(2, { parentId: 'a', status: 'pending', heartbeatAt: at }));
    const next = () => save(store, 'c', snapshot(3, { parentId: 'a' }));
    clock.advance(60_000);
    for (const snapshotId of ['root', 'a']) await store.getSnapshot({ snapshotId });
    await expect(next()).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
    const branch = save(store, 'branch', snapshot(3, { parentId: 'root' }));
    await expect(branch).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
    clock.advance(1);
    await next();
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('c');
  });

  test('one that was sent off while the turn before was being saved has seen that turn, if it holds its conversation', async () => {
    const turn = (texts: string[], rest: Partial<Snapshot>) =>
      snapshot(1, { state: { messages: texts.map(message) }, ...rest });
    const store = fresh();
    await save(store, 'a', turn(['one'], {}));
    await store.getSnapshot({ sessionId: 'session' });
    await save(store, 'b', turn(['one', 'two'], { status: 'pending' }));
    expect((await store.getSnapshot({ snapshotId: 'b' }))?.parentId).toBe('a');
    await save(store, 'b', turn(['one', 'two'], { parentId: 'b' }));
    expect(await store.getSnapshot({ snapshotId: 'b' })).toMatchObject({ parentId: 'a', status: 'completed' });
    await expect(save(store, 'c', turn(['one', 'else'], { parentId: 'a', status: 'pending' }))).rejects.toMatchObject({
      code: 'SESSION_CONFLICT',
    });
  });

  test('an older snapshot may get another status, but no other state', async () => {
    const store = fresh();
    await twoTurns(store);
    await store.saveSnapshot('a', (current) => ({ ...snapshot(1), ...current, status: 'aborted' }));
    expect(await store.getSnapshot({ snapshotId: 'a' })).toEqual({
      snapshotId: 'a',
      ...snapshot(1, { status: 'aborted' }),
    });
    await expect(save(store, 'a', snapshot(9))).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
    await save(store, 'b', snapshot(22, { parentId: 'a' }));
    expect((await store.getSnapshot({ snapshotId: 'b' }))?.state?.custom).toEqual({ n: 22 });
    expect((await store.getSnapshot({ snapshotId: 'a' }))?.state?.custom).toEqual({ n: 1 });
  });
});
