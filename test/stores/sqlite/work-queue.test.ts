import fc from 'fast-check';
import Libsql from 'libsql';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { SessionLease } from '../../../src/session/store.js';
import { type SqliteDatabase, SqliteSessionStore } from '../../../src/stores/sqlite.js';
import { create, mustLoad, patch, recordOf, refused, whole } from '../../../src/testing/session-store/case.js';
import { clients, freshPath } from '../../support/sqlite-clients.js';

/** A client that tells what transactions it has run, and fails when it is asked to. */
class WatchedClient implements SqliteDatabase {
  readonly #inner: Libsql.Database;
  /** `BEGIN IMMEDIATE`, `COMMIT`, `ROLLBACK` and so on, since the last look. */
  said: string[] = [];
  /** The next statement with this text fails. */
  failing: string | undefined;

  constructor(path: string) {
    this.#inner = new Libsql(path);
    onTestFinished(() => void this.#inner.close());
  }

  exec(sql: string): void {
    this.said.push(sql);
    if (sql === this.failing) {
      this.failing = undefined;
      throw new TypeError('the disk is gone');
    }
    this.#inner.exec(sql);
  }

  prepare(sql: string) {
    return this.#inner.prepare(sql);
  }

  /** How often the end of a transaction that wrote was asked for since the last look. */
  commits(): number {
    const commits = this.said.filter((sql) => sql === 'COMMIT').length;
    this.said = [];
    return commits;
  }
}

function watched() {
  const client = new WatchedClient(freshPath());
  return { client, store: new SqliteSessionStore({ database: client }) };
}

async function sessions(store: SqliteSessionStore, count: number): Promise<SessionLease[]> {
  return Promise.all(Array.from({ length: count }, (_, number) => create(store, `session ${number}`)));
}

/** The event loop goes round, so that nobody has written in this round yet. */
const nextRound = () => new Promise<void>((resolve) => setImmediate(resolve));
const countTo = (value: number) => patch({ op: 'replace', path: '/count', value });

describe('writes that are asked for at about the same time', () => {
  test('one session writes at once, whoever comes with it shares a transaction', async () => {
    const { client, store } = watched();
    const leases = await sessions(store, 20);
    await nextRound();
    client.commits();
    await Promise.all(leases.map((lease) => store.save(lease, { expectedVersion: 1, change: countTo(1) })));
    expect(client.commits()).toBe(2);
    for (const { sessionId } of leases) expect(recordOf(await mustLoad(store, sessionId))).toEqual({ count: 1 });
  });

  test('also when each is asked for in a callback of its own', async () => {
    const { client, store } = watched();
    const leases = await sessions(store, 10);
    await nextRound();
    client.commits();
    const inOwnCallback = (lease: SessionLease) =>
      new Promise<void>((resolve, reject) => {
        setImmediate(() => store.save(lease, { expectedVersion: 1, change: countTo(1) }).then(resolve, reject));
      });
    await Promise.all(leases.map(inOwnCallback));
    expect(client.commits()).toBe(2);
  });

  test('a session that writes again and again waits for nobody', async () => {
    const { client, store } = watched();
    const lease = await create(store, 'session');
    await nextRound();
    client.commits();
    let rounds = 0;
    const counting = setImmediate(() => {
      rounds += 1;
    });
    for (let version = 1; version <= 5; version++)
      await store.save(lease, { expectedVersion: version, change: countTo(version) });
    clearImmediate(counting);
    expect({ rounds, commits: client.commits() }).toEqual({ rounds: 0, commits: 5 });
  });

  test('what asks for a flush has one, whoever is with it', async () => {
    const { client, store } = watched();
    const leases = await sessions(store, 3);
    await nextRound();
    client.said = [];
    const [first, second, third] = leases;
    if (first === undefined || second === undefined || third === undefined) return expect.fail();
    const say = (lease: SessionLease) => store.feed.append(lease, { start: 0, entries: ['a'], keep: 9, ttlMs: 60_000 });
    await Promise.all([say(first), say(second), store.save(third, { expectedVersion: 1, change: countTo(1) })]);
    expect(client.said.filter((sql) => sql.startsWith('PRAGMA'))).toEqual([
      'PRAGMA synchronous = NORMAL',
      'PRAGMA synchronous = FULL',
    ]);
    expect(client.commits()).toBe(2);
  });

  test('so many share a transaction that others do not wait for long', async () => {
    const { client, store } = watched();
    const leases = await sessions(store, 250);
    await nextRound();
    client.commits();
    await Promise.all(leases.map((lease) => store.save(lease, { expectedVersion: 1, change: countTo(1) })));
    expect(client.commits()).toBe(1 + 3);
  });

  test('closing does what was asked for before', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    const leases = await sessions(store, 5);
    const saves = leases.map((lease) => store.save(lease, { expectedVersion: 1, change: countTo(7) }));
    await store.close();
    await Promise.all(saves);
    const again = new SqliteSessionStore({ path });
    for (const { sessionId } of leases) expect(recordOf(await mustLoad(again, sessionId))).toEqual({ count: 7 });
    await again.close();
  });
});

describe('one of several that fails', () => {
  test('a conflict and a lease that was lost are told to their callers, and harm nobody', async () => {
    const { client, store } = watched();
    const leases = await sessions(store, 6);
    await nextRound();
    client.commits();
    const answers = await Promise.allSettled(
      leases.map((lease, number) => {
        const held = number === 2 ? { ...lease, fence: lease.fence + 1 } : lease;
        return store.save(held, { expectedVersion: number === 4 ? 9 : 1, change: countTo(number) });
      }),
    );
    expect(answers.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(answers[2]).toMatchObject({ reason: { code: 'LEASE_LOST' } });
    expect(answers[4]).toMatchObject({ reason: { code: 'SESSION_CONFLICT' } });
    // Nothing had to be undone: they had written nothing.
    expect(client.said).not.toContain('ROLLBACK');
    expect(client.commits()).toBe(2);
  });

  test.each(Object.entries(clients))(
    '%s: an error in the middle of one is undone, and the others are written',
    async (_name, Client) => {
      if (Client === undefined) return;
      const database = new Client(freshPath());
      onTestFinished(() => database.close());
      const store = new SqliteSessionStore({ database });
      const leases = await sessions(store, 6);
      await nextRound();
      database.exec(
        `CREATE TEMP TRIGGER full BEFORE INSERT ON versions WHEN new.data LIKE '%broken%'
       BEGIN SELECT raise(ABORT, 'disk full'); END`,
      );
      const answers = await Promise.allSettled(
        leases.map((lease, number) =>
          store.save(lease, { expectedVersion: 1, change: whole({ state: number === 3 ? 'broken' : number }) }),
        ),
      );
      for (const [number, answer] of answers.entries()) {
        if (number === 3) expect(answer).toMatchObject({ reason: { code: 'STORE_FAILED' } });
        else expect(answer.status).toBe('fulfilled');
        const { head } = await mustLoad(store, `session ${number}`);
        expect(head).toBe(number === 3 ? 1 : 2);
      }
    },
  );

  test.each(['BEGIN IMMEDIATE', 'COMMIT'])(
    'a %s that fails is told to all, and nothing of theirs is there',
    async (failing) => {
      const { client, store } = watched();
      const leases = await sessions(store, 5);
      await nextRound();
      const [alone = expect.fail(), ...together] = leases;
      const first = store.save(alone, { expectedVersion: 1, change: countTo(1) });
      const rest = together.map((lease) =>
        refused(store.save(lease, { expectedVersion: 1, change: countTo(1) }), 'STORE_FAILED'),
      );
      await first;
      client.failing = failing;
      for (const error of await Promise.all(rest)) expect(error).toMatchObject({ cause: expect.any(TypeError) });
      for (const { sessionId } of together) expect((await mustLoad(store, sessionId)).head).toBe(1);
      await Promise.all(together.map((lease) => store.save(lease, { expectedVersion: 1, change: countTo(2) })));
    },
  );
});

describe('order', () => {
  test('a read sees every write that was asked for before it', async () => {
    const { store } = watched();
    const [first = expect.fail(), second = expect.fail()] = await sessions(store, 2);
    await nextRound();
    const saves = [first, second].map((lease) => store.save(lease, { expectedVersion: 1, change: countTo(5) }));
    // Not waited for: the second is still to be written.
    expect((await mustLoad(store, 'session 1')).head).toBe(2);
    await Promise.all(saves);
  });

  test('whatever is asked for is done in that order, and answered when it is there', async () => {
    const step = fc.record({
      session: fc.integer({ min: 0, max: 2 }),
      kind: fc.constantFrom('save', 'save', 'load', 'conflict', 'say'),
      pause: fc.boolean(),
    });
    const { store } = watched();
    let run = 0;
    const property = fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const name = `run ${++run}`;
      const leases = await Promise.all([0, 1, 2].map((number) => create(store, `${name} ${number}`)));
      const asked = [1, 1, 1];
      const told = [1, 1, 1];
      const answers: Promise<void>[] = [];
      for (const { session, kind, pause } of steps) {
        const lease = leases[session] ?? expect.fail();
        const head = asked[session] ?? expect.fail();
        if (kind === 'save') {
          asked[session] = head + 1;
          const saved = store.save(lease, { expectedVersion: head, change: countTo(head) });
          answers.push(
            saved.then(() => {
              expect(told[session]).toBe(head);
              told[session] = head + 1;
            }),
          );
        } else if (kind === 'conflict') {
          const save = store.save(lease, { expectedVersion: head + 5, change: countTo(head) });
          answers.push(
            refused(save, 'SESSION_CONFLICT').then((error) => expect(error).toMatchObject({ actualVersion: head })),
          );
        } else if (kind === 'say') {
          answers.push(store.feed.append(lease, { start: head, entries: [head], keep: 9, ttlMs: 60_000 }));
        } else {
          answers.push(
            mustLoad(store, lease.sessionId).then((found) => expect(found.head).toBeGreaterThanOrEqual(head)),
          );
        }
        if (pause) await nextRound();
      }
      await Promise.all(answers);
      expect(told).toEqual(asked);
      for (const [session, lease] of leases.entries())
        expect((await mustLoad(store, lease.sessionId)).head).toBe(asked[session]);
    });
    await fc.assert(property, { numRuns: 40 });
  });
});
