/** Genkit's stores under agents of ours. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  FileSessionStore,
  type SessionStore as GenkitSessionStore,
  genkit,
  InMemorySessionStore,
  z,
} from 'genkit/beta';
import { describe, expect, onTestFinished, test } from 'vitest';
import { defineAgent, fromGenkitStore } from '../../src/index.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testSessionStore } from '../../src/testing/session-store-suite.js';

const inMemory = 'leases, and the count of fences, are in the memory of one process';

function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'from-genkit-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

describe('the suite, over InMemorySessionStore', () => {
  testSessionStore({
    test,
    create() {
      const clock = new ManualClock();
      const genkitStore = new InMemorySessionStore();
      const open = () => fromGenkitStore(genkitStore, { clock });
      return { store: open(), advance: (ms) => clock.advance(ms), reopen: async () => open() };
    },
  });
});

describe('the suite, over FileSessionStore', () => {
  testSessionStore({
    test,
    create() {
      const clock = new ManualClock();
      const { folder, remove: dispose } = temporaryFolder();
      const open = () => fromGenkitStore(new FileSessionStore(folder), { clock });
      return { store: open(), advance: (ms) => clock.advance(ms), reopen: async () => open(), dispose };
    },
    skip: [
      { case: 'a lease outlives the process that took it, and so does its fence', reason: inMemory },
      { case: 'what was deleted is not there when the store is opened again', reason: inMemory },
    ],
  });
});

describe('what a Genkit store cannot do', () => {
  const save = { expectedVersion: 0, change: { kind: 'checkpoint', record: { secret: 'xyzzy' } } } as const;

  test('is written down where code can read it', () => {
    expect(fromGenkitStore(new InMemorySessionStore()).limits).toEqual({
      writers: 'one process',
      leases: 'until the process ends',
      deletion: 'emptied, not removed',
      durability: 'that of the Genkit store',
    });
  });

  test('a lease ends with its process: the next one finds the session free, and the old lease lost', async () => {
    const { folder, remove } = temporaryFolder();
    onTestFinished(remove);
    const before = fromGenkitStore(new FileSessionStore(folder));
    const lease = (await before.acquire('mine', { owner: 'one', ttlMs: 60_000 })) ?? expect.fail();
    await before.save(lease, save);
    const after = fromGenkitStore(new FileSessionStore(folder));
    expect(await after.acquire('mine', { owner: 'two', ttlMs: 60_000 })).toMatchObject({ owner: 'two' });
    await expect(after.save(lease, { ...save, expectedVersion: 1 })).rejects.toMatchObject({ code: 'LEASE_LOST' });
  });

  test('what was deleted is gone and stays gone, though empty files are left that name nobody', async () => {
    const { folder, remove } = temporaryFolder();
    onTestFinished(remove);
    const store = fromGenkitStore(new FileSessionStore(folder));
    const lease = (await store.acquire('mine', { owner: 'one', ttlMs: 60_000 })) ?? expect.fail();
    await store.save(lease, save);
    await store.accept(lease, { id: 'input', run: 'r', turn: 1, attempt: 1, done: false, input: 'xyzzy' });
    const texts = () =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => entry.name + readFileSync(join(entry.parentPath, entry.name), 'utf8'));
    expect(texts().join()).toMatch(/mine.*xyzzy|xyzzy.*mine/s);
    await store.delete('mine');
    expect(await fromGenkitStore(new FileSessionStore(folder)).load('mine')).toBeUndefined();
    expect(texts().length).toBeGreaterThan(0);
    expect(texts().join()).not.toMatch(/mine|xyzzy|input/);
  });

  test('what goes wrong in it is STORE_FAILED, with its error as the cause', async () => {
    const cause = new RangeError('disk full');
    const broken: GenkitSessionStore = {
      getSnapshot: async () => undefined,
      saveSnapshot: () => Promise.reject(cause),
    };
    const store = fromGenkitStore(broken);
    const lease = (await store.acquire('mine', { owner: 'one', ttlMs: 1_000 })) ?? expect.fail();
    await expect(store.save(lease, save)).rejects.toMatchObject({ code: 'STORE_FAILED', cause });
  });

  test('a store of ours is refused', () => {
    const ours = new MemorySessionStore() as never;
    expect(() => fromGenkitStore(ours)).toThrow(/"store" expected one of Genkit's session stores/);
  });
});

test('a store that takes no snapshot without a session, as Firestore’s does, is given one for all of a session', async () => {
  const inside = new InMemorySessionStore();
  const named = new Set<string | undefined>();
  const strict: GenkitSessionStore = {
    getSnapshot: (options) => inside.getSnapshot(options),
    saveSnapshot: (id, mutator) =>
      inside.saveSnapshot(id, (current) => {
        const next = mutator(current);
        if (!next?.sessionId) throw new Error("requires 'sessionId' to be set on the snapshot");
        named.add(next.sessionId);
        return next;
      }),
  };
  const store = fromGenkitStore(strict);
  const lease = (await store.acquire('mine', { owner: 'one', ttlMs: 60_000 })) ?? expect.fail();
  await store.save(lease, { expectedVersion: 0, change: { kind: 'checkpoint', record: { n: 1 } } });
  await store.save(lease, { expectedVersion: 1, change: { kind: 'checkpoint', record: { n: 2 } }, keepVersions: 1 });
  expect(await store.load('mine')).toMatchObject({ head: 2, checkpoint: { n: 2 } });
  // One stands for the session, the other for the order of all.
  expect(named.size).toBe(2);
  expect(await store.delete('mine')).toBe(true);
});

test('two over one Genkit store hold each other’s leases', async () => {
  const genkitStore = new InMemorySessionStore();
  const [one, two] = [fromGenkitStore(genkitStore), fromGenkitStore(genkitStore)];
  await one.acquire('mine', { owner: 'one', ttlMs: 60_000 });
  expect(await two.acquire('mine', { owner: 'two', ttlMs: 60_000 })).toBeUndefined();
});

test('an agent of ours remembers in Genkit’s file store, over a restart', async () => {
  const { folder, remove } = temporaryFolder();
  onTestFinished(remove);
  const counter = () => {
    const store = fromGenkitStore(new FileSessionStore(folder));
    const stateSchema = z.object({ heard: z.array(z.string()).default([]) });
    const config = { name: 'counter', inputSchema: z.string(), outputSchema: z.number(), stateSchema, store };
    return defineAgent(genkit({}), config, async ({ turns, session }) => {
      await turns((input) =>
        session.updateState((draft) => {
          draft.heard.push(input);
        }),
      );
      return { output: session.state.heard.length };
    });
  };
  expect((await counter().run(['a', 'b'], { sessionId: 'mine' })).output).toBe(2);
  const agent = counter();
  expect((await agent.run('c', { sessionId: 'mine' })).output).toBe(3);
  expect((await agent.sessions.get('mine', { version: 2 }))?.state).toEqual({ heard: ['a'] });
  expect((await agent.sessions.list()).sessions.map(({ id }) => id)).toEqual(['mine']);
});
