/** Saves that share a statement: what one of them meets is nothing to the others. */
import { PGlite } from '@electric-sql/pglite';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { SessionLease, SessionStore } from '../../../src/session/store.js';
import { statementsFor } from '../../../src/stores/postgres/statements.js';
import { PostgresSessionStore, type PostgresSessionStoreOptions } from '../../../src/stores/postgres.js';
import { create, mustLoad, patch, recordOf, refused, whole } from '../../../src/testing/session-store/case.js';
import { CountingClient } from '../../support/counting-client.js';
import { PostgresServer } from '../../support/postgres-server.js';
import { stateOf } from '../../support/waiting.js';

/** So many go alone before the others gather. */
const few = 4;

let server: PostgresServer;
let pool: pg.Pool;
let tables = 0;

beforeAll(async () => {
  server = await PostgresServer.start('fsync=off');
  pool = new pg.Pool({ ...server.connection, max: 20 });
  pool.on('error', () => {});
}, 60_000);

afterAll(async () => {
  await pool.end();
  await server.stop();
});

/** A store with tables of its own. */
async function freshStore(options: PostgresSessionStoreOptions = { pool }) {
  const tablePrefix = `case_${++tables}_`;
  const store = new PostgresSessionStore({ ...options, tablePrefix });
  await store.migrate();
  return { store, p: tablePrefix };
}

const countTo = (value: unknown) => patch({ op: 'replace', path: '/count', value });

/** A session and the version it is at. */
interface Talk {
  readonly store: SessionStore;
  readonly lease: SessionLease;
  head: number;
}

async function begin(store: SessionStore, count: number, name = 'session'): Promise<Talk[]> {
  const leases = await Promise.all(Array.from({ length: count }, (_, index) => create(store, `${name} ${index}`)));
  return leases.map((lease) => ({ store, lease, head: 1 }));
}

async function save(talk: Talk, value: unknown = talk.head): Promise<void> {
  await talk.store.save(talk.lease, { expectedVersion: talk.head, change: countTo(value) });
  talk.head += 1;
}

async function saveAll(talks: readonly Talk[]): Promise<void> {
  await Promise.all(talks.map((talk) => save(talk)));
}

/** `written`, or the code of the error. */
async function outcomeOf(saving: Promise<void>): Promise<string> {
  return saving.then(
    () => 'written',
    ({ code }) => code,
  );
}

/** Every session stands where its last save has brought it. */
async function checkAll(talks: readonly Talk[]): Promise<void> {
  for (const { store, lease, head } of talks) {
    const stored = await mustLoad(store, lease.sessionId);
    expect(stored.head).toBe(head);
    expect(recordOf(stored)).toEqual({ count: head - 1 });
  }
}

/** How many statements the work takes. */
async function countOf(work: () => Promise<unknown>, client: pg.Pool | pg.Client = pool): Promise<number> {
  const asked = vi.spyOn(client, 'query');
  onTestFinished(() => asked.mockRestore());
  await work();
  return asked.mock.calls.length;
}

/** A connection of one's own, for what stands in the way. */
async function blocker(): Promise<pg.Client> {
  const client = new pg.Client(server.connection);
  client.on('error', () => {});
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

/** Statements that wait for a lock. */
async function blocked(count: number): Promise<number[]> {
  const sql = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%moved%'";
  for (;;) {
    const { rows } = await pool.query<{ pid: number }>(sql);
    if (rows.length === count) return rows.map(({ pid }) => pid);
  }
}

/** Runs this whenever a version is written whose JSON has the word in it. */
async function whenWritten(p: string, word: string, plpgsql: string): Promise<void> {
  await pool.query(`CREATE FUNCTION ${p}${word}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN ${plpgsql}; RETURN NEW; END $$`);
  await pool.query(`CREATE TRIGGER ${word} BEFORE INSERT ON ${p}versions FOR EACH ROW
    WHEN (NEW.data LIKE '%${word}%') EXECUTE FUNCTION ${p}${word}()`);
}

describe('saves of many sessions at once', () => {
  test('take far fewer statements than there are saves, and each is there', async () => {
    const { store } = await freshStore();
    // The same ids again, for a tenant.
    const talks = [...(await begin(store, 15)), ...(await begin(store.forTenant('acme'), 15))];
    expect(await countOf(() => saveAll(talks))).toBe(few + 1);
    await checkAll(talks);
    await saveAll(talks);
    await checkAll(talks);
  });

  test('a whole record among them is one', async () => {
    const { store } = await freshStore();
    const talks = await begin(store, few + 3);
    const [last] = talks.slice(-1);
    await saveAll(talks);
    await Promise.all([
      saveAll(talks.slice(0, -1)),
      last?.store.save(last.lease, { expectedVersion: 2, change: whole({ count: 'anew' }) }),
    ]);
    expect(await mustLoad(store, last?.lease.sessionId ?? '')).toMatchObject({
      checkpoint: { count: 'anew' },
      patches: [],
    });
    await checkAll(talks.slice(0, -1));
  });

  test('a single save is one statement, and so are the few that come first', async () => {
    const { store } = await freshStore();
    const talks = await begin(store, few);
    expect(await countOf(() => saveAll(talks))).toBe(few);
    expect(await countOf(() => saveAll(talks.slice(0, 1)))).toBe(few + 1);
  });

  test('a client with one connection sends one alone, and then all others', async () => {
    const client = new CountingClient(pool);
    const { store } = await freshStore({ client });
    const talks = await begin(store, 20);
    expect(await client.countOf(() => saveAll(talks))).toBe(2);
    await checkAll(talks);
  });

  test('so does a pool with one connection', async () => {
    const one = new pg.Pool({ ...server.connection, max: 1 });
    onTestFinished(() => one.end());
    const { store } = await freshStore({ pool: one });
    const talks = await begin(store, 20);
    expect(await countOf(() => saveAll(talks), one)).toBe(2);
    await checkAll(talks);
  });

  test('a pool that does not say how many connections it has gets them all the same', async () => {
    for (const max of [0, Number.NaN, undefined]) {
      const unknown = { query: pool.query.bind(pool), connect: pool.connect.bind(pool), options: { max } };
      const { store } = await freshStore({ pool: unknown as never });
      const talks = await begin(store, 20);
      await saveAll(talks);
      await checkAll(talks);
    }
  });

  test('so does PGlite', async () => {
    const inner = await PGlite.create();
    onTestFinished(() => inner.close());
    const client = new CountingClient(inner);
    const { store } = await freshStore({ client });
    const talks = await begin(store, 20);
    expect(await client.countOf(() => saveAll(talks))).toBe(2);
    await checkAll(talks);
  }, 120_000);

  test('with nothing prepared, and behind a pooler that has lost what was', async () => {
    for (const prepare of [false, true]) {
      const client = await blocker();
      const { store } = await freshStore({ client, prepare });
      const talks = await begin(store, 20);
      for (let round = 0; round < 3; round++) {
        await client.query('DEALLOCATE ALL');
        await saveAll(talks);
        await checkAll(talks);
      }
    }
  });

  test('are prepared no more once something has mixed them up', async () => {
    const client = await blocker();
    const { store, p } = await freshStore({ client });
    const talks = await begin(store, 20);
    await client.query(`PREPARE "${statementsFor(p).saveTogether.name}" AS SELECT 1`);
    await saveAll(talks);
    expect(await countOf(() => saveAll(talks), client)).toBe(2);
    await checkAll(talks);
  });

  test('are planned once, however few there are', async () => {
    const client = await blocker();
    const { store, p } = await freshStore({ client });
    const talks = await begin(store, 2);
    for (let round = 1; round <= 30; round++) await saveAll(talks);
    const { rows } = await client.query<{ custom: number; generic: number }>(
      'SELECT custom_plans::integer AS custom, generic_plans::integer AS generic FROM pg_prepared_statements WHERE name = $1',
      [statementsFor(p).saveTogether.name],
    );
    // The first five times Postgres always tries what planning brings.
    expect(rows[0]?.custom).toBe(5);
    expect(rows[0]?.generic).toBeGreaterThan(20);
  });
});

describe('one of them does not hurt the others', () => {
  test('when it comes second, or its lease is lost', async () => {
    const { store } = await freshStore();
    const talks = await begin(store, 12);
    const [late, lost, deleted] = talks.slice(-3) as [Talk, Talk, Talk];
    await save({ ...late });
    await store.acquire(lost.lease.sessionId, { owner: 'run-2', ttlMs: 60_000, takeover: true });
    await store.delete(deleted.lease.sessionId);
    const others = talks.slice(0, -3);
    const saving = saveAll(others);
    const refusals = [save(late), save(lost), save(deleted)] as const;
    for (const refusal of refusals) refusal.catch(() => {});
    await saving;
    expect(await refused(refusals[0], 'SESSION_CONFLICT')).toMatchObject({ actualVersion: 2 });
    await refused(refusals[1], 'LEASE_LOST');
    await refused(refusals[2], 'LEASE_LOST');
    await checkAll(others);
    expect((await mustLoad(store, lost.lease.sessionId)).head).toBe(1);
  });

  test('nor themselves: where none is to be written none is', async () => {
    const { store } = await freshStore();
    const talks = await begin(store, few + 3);
    const [alone, late] = [talks.slice(0, few), talks.slice(few)];
    await saveAll(late.map((talk) => ({ ...talk })));
    for (const count of [1, 2, 3]) {
      const saving = saveAll(alone);
      await Promise.all(late.slice(0, count).map((talk) => refused(save(talk, 'late'), 'SESSION_CONFLICT')));
      await saving;
    }
    await checkAll([...alone, ...late.map((talk) => ({ ...talk, head: 2 }))]);
  });

  test('when its row is locked: it waits by itself, and is written', async () => {
    const { store, p } = await freshStore();
    const talks = await begin(store, 12);
    const client = await blocker();
    // One of those that go alone, and one of those that go together.
    const locked = [talks[0], talks.at(-1)] as [Talk, Talk];
    const others = talks.slice(1, -1);
    const ids = locked.map(({ lease }) => lease.sessionId);
    await client.query('BEGIN');
    await client.query(`SELECT FROM ${p}sessions WHERE id = ANY($1) FOR UPDATE`, [ids]);
    const waiting = saveAll([locked[0]]);
    const saving = saveAll(others);
    const waitingToo = saveAll([locked[1]]);
    await saving;
    for (let round = 0; round < 5; round++) await saveAll(others);
    await blocked(2);
    expect(await stateOf(waiting)).toBe('pending');
    expect(await stateOf(waitingToo)).toBe('pending');
    await client.query('COMMIT');
    await Promise.all([waiting, waitingToo]);
    await checkAll(talks);
  });

  test('when many rows are locked, more than go alone at first', async () => {
    const { store, p } = await freshStore();
    const talks = await begin(store, 12);
    const client = await blocker();
    const locked = talks.slice(0, few + 2);
    const ids = locked.map(({ lease }) => lease.sessionId);
    await client.query('BEGIN');
    await client.query(`SELECT FROM ${p}sessions WHERE id = ANY($1) FOR UPDATE`, [ids]);
    const waiting = saveAll(locked);
    await saveAll(talks.slice(few + 2));
    await saveAll(talks.slice(few + 2));
    await blocked(locked.length);
    await client.query('COMMIT');
    await waiting;
    await checkAll(talks);
  });

  test('when it is refused by a rule of the database', async () => {
    const { store, p } = await freshStore();
    await whenWritten(p, 'poison', "RAISE 'not here' USING ERRCODE = 'check_violation'");
    const talks = await begin(store, 12);
    const last = talks.at(-1) as Talk;
    const saving = saveAll(talks.slice(0, -1));
    const refusal = refused(save(last, 'poison'), 'STORE_FAILED');
    await saving;
    expect(await refusal).toMatchObject({ message: expect.stringContaining('not here') });
    await checkAll(talks);
  });

  test('when its lease is forged', async () => {
    const { store } = await freshStore();
    const talks = await begin(store, 12);
    for (const fence of ['1\n2', '', ',', 1.5, Number.NaN, -1, 2 ** 60]) {
      const [first] = talks as [Talk];
      const forged = { ...first, lease: { ...first.lease, fence: fence as number } };
      const saving = saveAll(talks.slice(1, 9));
      const refusal = outcomeOf(save(forged));
      const savingToo = saveAll(talks.slice(9));
      expect(await refusal).toBe('LEASE_LOST');
      await Promise.all([saving, savingToo]);
    }
    await checkAll(talks);
  });

  test('nor does it help them', async () => {
    const { store } = await freshStore();
    const talks = await begin(store, few + 2);
    const [forger, lost] = talks.slice(-2) as [Talk, Talk];
    const { sessionId, owner } = lost.lease;
    const current = await store.acquire(sessionId, { owner, ttlMs: 60_000 });
    const fence = `${forger.lease.fence}\n${current?.fence}` as never;
    const saving = saveAll(talks.slice(0, few));
    const forging = refused(save({ ...forger, lease: { ...forger.lease, fence } }), 'LEASE_LOST');
    await refused(save(lost), 'LEASE_LOST');
    await Promise.all([saving, forging]);
    await checkAll(talks);
  });
});

describe('a statement that fails', () => {
  test('because it collided: each of its saves is written by itself, once', async () => {
    const { store, p } = await freshStore();
    await pool.query(`CREATE SEQUENCE ${p}times`);
    const once = `IF nextval('${p}times') = 1 THEN RAISE 'too close' USING ERRCODE = '40001'; END IF`;
    await whenWritten(p, 'collide', once);
    const talks = await begin(store, 12);
    const [first, last] = [talks.slice(0, -1), talks.at(-1) as Talk];
    // Four alone, eight in one that fails, and those eight again.
    expect(await countOf(() => Promise.all([saveAll(first), save(last, 'collide')]))).toBe(few + 1 + 8);
    await checkAll(first);
    const stored = await mustLoad(store, last.lease.sessionId);
    expect([stored.head, recordOf(stored)]).toEqual([2, { count: 'collide' }]);
  });

  test('because its connection died: nobody knows whether they were written, and the next ones are', async () => {
    const { store, p } = await freshStore();
    await whenWritten(p, 'slow', 'PERFORM pg_advisory_xact_lock_shared(7)');
    const talks = await begin(store, 12);
    const client = await blocker();
    await client.query('SELECT pg_advisory_lock(7)');
    const [alone, together] = [talks.slice(0, few), talks.slice(few)];
    const saving = saveAll(alone);
    const failing = Promise.all(together.map((talk) => refused(save(talk, 'slow'), 'STORE_FAILED')));
    await saving;
    const [pid] = await blocked(1);
    await client.query('SELECT pg_terminate_backend($1)', [pid]);
    for (const error of await failing) expect(error).toMatchObject({ cause: expect.any(Error) });
    await client.query('SELECT pg_advisory_unlock(7)');
    await saveAll(talks);
    await checkAll(talks);
  });

  test('and may have been written: nobody is told that it was not', async () => {
    const { store, p } = await freshStore();
    const unsure = "RAISE 'who knows' USING ERRCODE = 'statement_completion_unknown'";
    await whenWritten(p, 'unsure', unsure);
    const talks = await begin(store, few + 3);
    const [alone, together] = [talks.slice(0, few), talks.slice(few)];
    const failing = () => Promise.all(together.map((talk) => refused(save(talk, 'unsure'), 'STORE_FAILED')));
    expect(await countOf(() => Promise.all([saveAll(alone), failing()]))).toBe(few + 1);
  });

  test('where transactions are serializable, none is lost', async () => {
    const strict = new pg.Pool({
      ...server.connection,
      max: 20,
      options: '-c default_transaction_isolation=serializable',
    });
    onTestFinished(() => strict.end());
    const { store } = await freshStore({ pool: strict });
    const talks = await begin(store, 30);
    for (let round = 0; round < 10; round++) await saveAll(talks);
    await checkAll(talks);
  });
});

describe('of two processes that save the same sessions at once', () => {
  test('one wins each version, whatever the order in which they come, and none waits for ever', async () => {
    const { store, p } = await freshStore();
    const another = new pg.Pool({ ...server.connection, max: 5 });
    onTestFinished(() => another.end());
    const rival = new PostgresSessionStore({ pool: another, tablePrefix: p });
    const talks = await begin(store, 40);
    for (let head = 1; head <= 15; head++) {
      const here = talks.map((talk) => outcomeOf(save({ ...talk }, head)));
      const there = [...talks].reverse().map((talk) => outcomeOf(save({ ...talk, store: rival }, head)));
      const [mine, theirs] = await Promise.all([Promise.all(here), Promise.all(there)]);
      for (const [index, outcome] of mine.entries())
        expect([outcome, theirs.at(-1 - index)].sort()).toEqual(['SESSION_CONFLICT', 'written']);
      for (const talk of talks) talk.head += 1;
    }
    await checkAll(talks);
  });
});

describe('what arrives', () => {
  const hostile = [
    ...['"', "'", '\\', '\\\\"', '\n', '\r\n', '\t', '\\n', '\u0000', '\u001f', '\u2028', '\ud800', 'é', '𝔘', ''],
    ...['NULL', '{}', '{"a","b"}', ',', '$1', '%s', "E'\\n'", '--', '\u007f', '\ufeff', ' ', '"\\u0000"'],
  ];

  test('is every text as it was given, as an owner, an id, a tenant and a value', async () => {
    const { store } = await freshStore();
    const random = fc.sample(fc.string({ unit: 'binary', maxLength: 50 }), 30);
    const texts = [...hostile, ...random, ...hostile.map((text) => text.repeat(7))];
    const talks = await Promise.all(
      texts.map(async (text, index) => {
        const within = store.forTenant(text);
        const lease = await within.acquire(`${index}${text}`, { owner: text, ttlMs: 60_000 });
        await within.save(lease as SessionLease, { expectedVersion: 0, change: whole({ count: 0 }) });
        return { store: within, lease: lease as SessionLease, head: 1 };
      }),
    );
    const values = texts.map((text, index) => ({ [text]: [text, index] }));
    const asked = await countOf(() => Promise.all(talks.map((talk, index) => save(talk, values[index]))));
    expect(asked).toBe(few + Math.ceil((texts.length - few) / 64));
    for (const [index, { store: within, lease }] of talks.entries())
      expect(recordOf(await mustLoad(within, lease.sessionId))).toEqual({ count: values[index] });
  });

  test('is what is large as well, beside what is small', async () => {
    const { store } = await freshStore();
    const talks = await begin(store, 40);
    const sizes = [1, 30_000, 32_768, 40_000, 130_000, 5_000_000];
    const valueAt = (index: number) => `${index}: ${'é"\\'.repeat((sizes[index % sizes.length] ?? 0) / 3)}`;
    await Promise.all(talks.map((talk, index) => save(talk, valueAt(index))));
    for (const [index, { lease }] of talks.entries())
      expect(recordOf(await mustLoad(store, lease.sessionId))).toEqual({ count: valueAt(index) });
  });

  test('are the saves of one session in the order they were made, whatever others do', async () => {
    const { store } = await freshStore();
    const [first, ...others] = await begin(store, 12);
    const { lease } = first as Talk;
    const saving = Array.from({ length: 30 }, (_, index) => {
      const kept = index % 5 === 4 ? { keepVersions: 50 } : {};
      const next = store.save(lease, { expectedVersion: index + 1, change: countTo(index + 1), ...kept });
      return Promise.all([next, index < 12 ? saveAll(others.slice(index, index + 1)) : undefined]);
    });
    await Promise.all(saving);
    expect(await newestCount(store, lease)).toBe(30);
    await checkAll(others);
  });

  test('is each save once, while runs speak and leases change hands', async () => {
    const { store, p } = await freshStore();
    const another = new PostgresSessionStore({ pool, tablePrefix: p });
    const talks = await begin(store, 32);
    const acknowledged = talks.map((): number[] => []);
    await Promise.all(
      talks.map(async (talk, index) => {
        for (let turn = 1; turn <= 20; turn++) {
          const mine = turn % 3 === 0 ? { ...talk, store: another } : talk;
          const speaking = store.feed.append(talk.lease, { start: turn, entries: ['a'], keep: 9, ttlMs: 60_000 });
          const saving = save(mine, turn).then(() => acknowledged[index]?.push(turn));
          await Promise.all([speaking, saving]);
          talk.head = mine.head;
          if (turn % 7 !== 0) continue;
          const taken = await another.acquire(talk.lease.sessionId, {
            owner: `${turn}`,
            ttlMs: 60_000,
            takeover: true,
          });
          await refused(save({ ...talk }, 'late'), 'LEASE_LOST');
          Object.assign(talk, { lease: taken });
        }
      }),
    );
    const { rows } = await pool.query(
      `SELECT id, string_agg(data, ',' ORDER BY version) AS data, count(*)::integer
      FROM ${p}versions v JOIN ${p}sessions s ON s.key = v.session WHERE version > 1 GROUP BY id`,
    );
    expect(rows).toHaveLength(32);
    const written = acknowledged[0]?.map((turn) => JSON.stringify([{ op: 'replace', path: '/count', value: turn }]));
    for (const row of rows) expect(row).toMatchObject({ count: 20, data: written?.join(',') });
    for (const turns of acknowledged) expect(turns).toEqual(acknowledged[0]);
  });
});

async function newestCount(store: SessionStore, { sessionId }: SessionLease): Promise<unknown> {
  return (recordOf(await mustLoad(store, sessionId)) as { count: unknown }).count;
}
