import { readFileSync } from 'node:fs';
import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { PostgresSessionStore, postgresSchema } from '../../../src/stores/postgres.js';
import {
  allIds,
  create,
  hold,
  mustLoad,
  newestRecord,
  patch,
  recordOf,
  refused,
  whole,
} from '../../../src/testing/session-store/case.js';
import { CountingClient } from '../../support/counting-client.js';
import { PostgresServer } from '../../support/postgres-server.js';

let server: PostgresServer;
let pool: pg.Pool;
let tables = 0;

beforeAll(async () => {
  server = await PostgresServer.start('fsync=off');
  pool = new pg.Pool({ ...server.connection, max: 20 });
}, 60_000);

afterAll(async () => {
  await pool.end();
  await server.stop();
});

const countTo = (value: number) => patch({ op: 'replace', path: '/count', value });

/** A store with tables of its own. */
async function freshStore() {
  const tablePrefix = `case_${++tables}_`;
  const store = new PostgresSessionStore({ pool, tablePrefix });
  await store.migrate();
  return { store, tablePrefix };
}

async function rows(sql: string, ...values: unknown[]): Promise<Record<string, unknown>[]> {
  return (await pool.query(sql, values)).rows;
}

/** Rows of every table but the one of migrations. */
async function rowCounts(p: string): Promise<Record<string, unknown>> {
  const count = (table: string) => `(SELECT count(*)::integer FROM ${p}${table}) AS ${table}`;
  return (await rows(`SELECT ${['sessions', 'versions', 'inputs', 'feeds'].map(count).join(', ')}`))[0] ?? {};
}

describe('options', () => {
  test('a prefix that would have to be quoted is refused', () => {
    for (const tablePrefix of ['', '1a', 'A_', 'a-b', 'a"b', 'a.b', 'é', "a'; DROP TABLE x; --", 'x'.repeat(41)]) {
      const refusal = expect.objectContaining({ code: 'INVALID_VALUE' });
      expect(() => new PostgresSessionStore({ pool, tablePrefix })).toThrow(refusal);
      expect(() => postgresSchema(tablePrefix)).toThrow(refusal);
    }
  });

  test('a client that cannot query is refused', () => {
    for (const client of [undefined, null, {}, 'postgres://'])
      expect(() => new PostgresSessionStore({ client } as never)).toThrow(
        expect.objectContaining({ code: 'INVALID_VALUE' }),
      );
  });

  test('options that are none are refused', () => {
    for (const options of [undefined, null, 'postgres://'])
      expect(() => new PostgresSessionStore(options as never)).toThrow(
        expect.objectContaining({ code: 'INVALID_VALUE' }),
      );
  });

  test('two prefixes are two stores', async () => {
    const [one, other] = [await freshStore(), await freshStore()];
    await create(one.store, 'session');
    expect(await other.store.load('session')).toBeUndefined();
    expect(await allIds(other.store)).toEqual([]);
  });
});

describe('migrations', () => {
  test('many at once, from many connections, make the tables once', async () => {
    const tablePrefix = `case_${++tables}_`;
    const stores = Array.from({ length: 12 }, () => new PostgresSessionStore({ pool, tablePrefix }));
    await Promise.all(stores.map((store) => store.migrate()));
    expect(await rows(`SELECT version FROM ${tablePrefix}migrations`)).toEqual([{ version: 1 }, { version: 2 }]);
  });

  test('run again they leave everything as it is', async () => {
    const { store, tablePrefix } = await freshStore();
    await create(store, 'session', { count: 3 });
    await store.migrate();
    await pool.query(postgresSchema(tablePrefix));
    expect(await newestRecord(store, 'session')).toEqual({ count: 3 });
  });

  test('tables of version 1 keep what they hold and can do what is new', async () => {
    const p = `case_${++tables}_`;
    const old = readFileSync(new URL('../../support/fixtures/postgres-version-1.sql', import.meta.url), 'utf8');
    await pool.query(old.replaceAll('PREFIX_', p));
    const store = new PostgresSessionStore({ pool, tablePrefix: p });
    expect(await refused(store.acquire('old', { owner: 'run-2', ttlMs: 60_000 }), 'STORE_FAILED')).toMatchObject({
      message: expect.stringContaining('migrate()'),
    });
    await Promise.all(Array.from({ length: 4 }, () => store.migrate()));
    expect(await rows(`SELECT version FROM ${p}migrations`)).toEqual([{ version: 1 }, { version: 2 }]);
    const stored = await mustLoad(store, 'old');
    expect(recordOf(stored)).toEqual({ count: 1 });
    expect(stored.pending).toMatchObject([{ id: 'input-1', input: 'hi' }]);
    const lease = await hold(store, 'old', 'run-2');
    await store.save(lease, { expectedVersion: 2, change: countTo(2) });
    await store.feed.append(lease, { start: 0, entries: ['a'], keep: 9, ttlMs: 60_000 });
    expect(await rowCounts(p)).toEqual({ sessions: 1, versions: 3, inputs: 1, feeds: 1 });
    await store.delete('old');
    expect(await rowCounts(p)).toEqual({ sessions: 0, versions: 0, inputs: 0, feeds: 0 });
  });

  test('one that fails leaves nothing behind', async () => {
    const tablePrefix = `case_${++tables}_`;
    await pool.query(`CREATE TABLE ${tablePrefix}inputs (taken boolean)`);
    await refused(new PostgresSessionStore({ pool, tablePrefix }).migrate(), 'STORE_FAILED');
    expect(await rows('SELECT to_regclass($1) AS found', `${tablePrefix}migrations`)).toEqual([{ found: null }]);
  });

  test('tables of a newer version are refused and not touched', async () => {
    const { store, tablePrefix } = await freshStore();
    await pool.query(`INSERT INTO ${tablePrefix}migrations (version) VALUES (99)`);
    const error = await refused(store.migrate(), 'STORE_FAILED');
    expect(error).toMatchObject({ status: 'FAILED_PRECONDITION', message: expect.stringContaining('newer version') });
  });

  test('a database that is not in UTF8 is refused', async () => {
    await pool.query("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    const client = new pg.Client({ ...server.connection, database: 'latin' });
    await client.connect();
    const error = await refused(new PostgresSessionStore({ client }).migrate(), 'STORE_FAILED');
    expect((error as Error).message).toContain('UTF8');
    await client.end();
  });

  test('without tables the error says what to do', async () => {
    const store = new PostgresSessionStore({ pool, tablePrefix: 'nowhere_' });
    const error = await refused(store.load('session'), 'STORE_FAILED');
    expect(error).toMatchObject({ status: 'FAILED_PRECONDITION', message: expect.stringContaining('migrate()') });
  });
});

describe('what is in the tables', () => {
  test('can be used with few rights', async () => {
    const { store: owners, tablePrefix: p } = await freshStore();
    await pool.query(`CREATE ROLE ${p}app LOGIN`);
    await pool.query(
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${p}sessions, ${p}versions, ${p}inputs, ${p}feeds TO ${p}app`,
    );
    await pool.query(`GRANT USAGE ON ${p}numbers TO ${p}app`);
    const client = new pg.Client({ ...server.connection, user: `${p}app` });
    await client.connect();
    onTestFinished(() => client.end());
    const store = new PostgresSessionStore({ client, tablePrefix: p });
    const lease = await create(store, 'session');
    await store.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false });
    await store.save(lease, { expectedVersion: 1, change: countTo(1), keepVersions: 1 });
    await store.renew(lease, 1_000);
    await store.feed.append(lease, { start: 0, entries: ['a'], keep: 9, ttlMs: 1_000 });
    expect((await store.feed.read('session', { from: 0, limit: 9 }))?.entries).toEqual(['a']);
    await store.release(lease);
    expect(await newestRecord(store, 'session')).toEqual({ count: 1 });
    expect(await allIds(store)).toEqual(['session']);
    expect(await store.delete('session')).toBe(true);
    expect(await owners.load('session')).toBeUndefined();
  });

  test('is pruned and erased by the statements of the manual', async () => {
    const store = new PostgresSessionStore({ pool });
    await store.migrate();
    for (const id of ['old', 'old but held', 'new']) await store.release(await create(store, id));
    await hold(store, 'old but held');
    await create(store.forTenant('acme'), 'session');
    await hold(store, 'never used');
    await pool.query("UPDATE genkitx_agent_sessions SET updated_at = now() - interval '1 year' WHERE id LIKE 'old%'");
    await pool.query("UPDATE genkitx_agent_sessions SET lease_until = now() - interval '1 year' WHERE place IS NULL");
    const manual = readFileSync(new URL('../../../docs/stores.md', import.meta.url), 'utf8');
    await pool.query(/```sql\n(.*?)```/s.exec(manual)?.[1] ?? expect.fail());
    const left = await rows('SELECT tenant, id FROM genkitx_agent_sessions ORDER BY id');
    expect(left.map(({ id }) => id)).toEqual(['new', 'old but held']);
  });

  test('can be read with SQL', async () => {
    const { store, tablePrefix: p } = await freshStore();
    const tenant = store.forTenant('acme');
    const lease = await create(tenant, 'chat-1', { messages: ['hello'] });
    await tenant.save(lease, { expectedVersion: 1, change: patch({ op: 'add', path: '/messages/-', value: 'hi' }) });
    await tenant.accept(lease, { id: 'input-1', run: 'run-1', turn: 1, attempt: 1, done: false, input: 'hi' });
    expect(await rows(`SELECT tenant::jsonb ->> 0 AS tenant, id, head, owner FROM ${p}sessions`)).toEqual([
      { tenant: 'acme', id: 'chat-1', head: 2, owner: 'run-1' },
    ]);
    expect(await rows(`SELECT id FROM ${p}sessions WHERE id_key = sha256('chat-1')`)).toEqual([{ id: 'chat-1' }]);
    const versions = `SELECT version, data::json -> 'messages' ->> 0 AS first, data::json -> 0 ->> 'value' AS added
      FROM ${p}versions ORDER BY version`;
    expect(await rows(versions)).toEqual([
      { version: 1, first: 'hello', added: null },
      { version: 2, first: null, added: 'hi' },
    ]);
    expect(await rows(`SELECT id, input FROM ${p}inputs WHERE NOT done`)).toEqual([{ id: 'input-1', input: '"hi"' }]);
  });

  test('versions that retention drops are gone', async () => {
    const { store, tablePrefix: p } = await freshStore();
    const lease = await create(store, 'session');
    for (let head = 1; head < 20; head++) {
      const change = head % 5 === 0 ? whole({ count: head }) : countTo(head);
      await store.save(lease, { expectedVersion: head, change, keepVersions: 3 });
    }
    expect(await rows(`SELECT min(version), count(*)::integer FROM ${p}versions`)).toEqual([{ min: 16, count: 5 }]);
  });

  test('a deleted session leaves no row, whatever is saved to it meanwhile', async () => {
    const { store, tablePrefix: p } = await freshStore();
    for (let round = 0; round < 40; round++) {
      const lease = await create(store, 'session');
      await store.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false });
      const saving = store.save(lease, { expectedVersion: 1, change: countTo(1) });
      const accepting = store.accept(lease, { id: 'j', run: 'r', turn: 1, attempt: 1, done: false });
      const saying = store.feed.append(lease, { start: 0, entries: ['a'], keep: 9, ttlMs: 60_000 });
      const writing = Promise.allSettled([saving, accepting, saying]);
      const [, deleted] = await Promise.allSettled([writing, store.delete('session')]);
      expect(deleted).toMatchObject({ value: true });
      expect(await rowCounts(p)).toEqual({ sessions: 0, versions: 0, inputs: 0, feeds: 0 });
    }
  });

  test('a lease that was never used leaves no row', async () => {
    const { store, tablePrefix: p } = await freshStore();
    const lease = await hold(store, 'session');
    await store.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false });
    await store.release(lease);
    expect(await rowCounts(p)).toEqual({ sessions: 0, versions: 0, inputs: 0, feeds: 0 });
  });

  test('who waits for a lease writes nothing', async () => {
    const { store } = await freshStore();
    await create(store, 'session');
    const xids = () => rows('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next');
    const before = await xids();
    for (let time = 0; time < 20; time++) await store.acquire('session', { owner: 'run-2', ttlMs: 1_000 });
    expect(await xids()).toEqual(before);
  });
});

describe('what an operation costs', () => {
  test('each is one round trip, whatever the history', async () => {
    const { tablePrefix } = await freshStore();
    const client = new CountingClient(pool);
    const store = new PostgresSessionStore({ client, tablePrefix });
    const lease = await create(store, 'session');
    const input = { id: 'i', run: 'r', turn: 1, attempt: 1, done: false };
    for (let head = 1; head < 300; head++) await store.save(lease, { expectedVersion: head, change: countTo(head) });
    const operations = {
      acquire: () => store.acquire('session', { owner: 'run-2', ttlMs: 1_000 }),
      renew: () => store.renew(lease, 60_000),
      save: () => store.save(lease, { expectedVersion: 300, change: countTo(300) }),
      'save and drop': () =>
        store.save(lease, { expectedVersion: 301, change: whole({ count: 301 }), keepVersions: 2 }),
      accept: () => store.accept(lease, input),
      load: () => store.load('session'),
      'load of an old version': () => store.load('session', { version: 301 }),
      list: () => store.list(),
      release: () => store.release(lease),
      delete: () => store.delete('session'),
    };
    for (const [name, work] of Object.entries(operations)) expect(await client.countOf(work), name).toBe(1);
    const lost = () => refused(store.save(lease, { expectedVersion: 302, change: countTo(0) }), 'LEASE_LOST');
    // Why it was refused is asked for only then.
    expect(await client.countOf(lost)).toBe(2);
  });

  test('a save writes what changed, however much there is already', async () => {
    const { store } = await freshStore();
    const lease = await create(store, 'session', { messages: [] });
    await pool.query('CHECKPOINT');
    const position = async () =>
      BigInt(String((await rows('SELECT pg_current_wal_insert_lsn() - $1::pg_lsn AS at', '0/0'))[0]?.at));
    const written: bigint[] = [];
    for (let head = 1; head <= 1_000; head++) {
      const before = await position();
      const value = { role: 'user', content: 'x'.repeat(500) };
      await store.save(lease, { expectedVersion: head, change: patch({ op: 'add', path: '/messages/-', value }) });
      written.push((await position()) - before);
    }
    const median = (all: bigint[]) => Number(all.sort((a, b) => Number(a - b))[all.length >> 1]);
    const [early, late] = [median(written.slice(10, 110)), median(written.slice(-100))];
    expect(late).toBeLessThan(early * 1.5);
    expect(late).toBeLessThan(4 * 500);
  });
});

describe('what cannot be read back', () => {
  async function spoiled(sql: (p: string) => string): Promise<PostgresSessionStore> {
    const { store, tablePrefix } = await freshStore();
    const lease = await create(store, 'session');
    for (let head = 1; head < 5; head++) await store.save(lease, { expectedVersion: head, change: countTo(head) });
    await store.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false, input: 'x' });
    await create(store, 'another');
    await pool.query(sql(tablePrefix));
    return store;
  }

  test('a version that is not JSON', async () => {
    const store = await spoiled((p) => `UPDATE ${p}versions SET data = '[{"op":"repl' WHERE version = 3`);
    const error = await refused(store.load('session'), 'STORE_CORRUPT');
    expect(error).toMatchObject({
      message: expect.stringContaining('versions 1 to 5'),
      cause: expect.any(SyntaxError),
    });
    expect(recordOf(await mustLoad(store, 'session', 2))).toEqual({ count: 1 });
    expect((await mustLoad(store, 'another')).head).toBe(1);
  });

  test('two versions that are JSON only together', async () => {
    const store = await spoiled(
      (p) => `UPDATE ${p}versions SET data = CASE version WHEN 3 THEN '[1' ELSE '2]' END WHERE version IN (3, 4)`,
    );
    await refused(store.load('session'), 'STORE_CORRUPT');
  });

  test('a version that is missing', async () => {
    for (const version of [3, 5]) {
      const store = await spoiled((p) => `DELETE FROM ${p}versions WHERE version = ${version}`);
      await refused(store.load('session'), 'STORE_CORRUPT');
      expect(await store.load('session', { version })).toBeUndefined();
    }
  });

  test('an input or an id that is not JSON', async () => {
    const input = await spoiled((p) => `UPDATE ${p}inputs SET input = '{'`);
    await refused(input.load('session'), 'STORE_CORRUPT');
    const id = await spoiled((p) => `UPDATE ${p}sessions SET id = 'a"b' WHERE id = 'another'`);
    await refused(id.list(), 'STORE_CORRUPT');
  });
});

describe('races that only a database of its own kind has', () => {
  test('a save that waited for another one is told what that one wrote', async () => {
    const { store, tablePrefix: p } = await freshStore();
    const lease = await create(store, 'session');
    const blocker = await pool.connect();
    await blocker.query(`BEGIN; UPDATE ${p}sessions SET head = 7`);
    const saving = refused(store.save(lease, { expectedVersion: 1, change: countTo(1) }), 'SESSION_CONFLICT');
    await untilBlocked();
    await blocker.query('COMMIT');
    blocker.release();
    expect(await saving).toMatchObject({ actualVersion: 7 });
  });

  test('a save that waited for a takeover is refused, and so is an accept', async () => {
    const { store, tablePrefix: p } = await freshStore();
    const lease = await create(store, 'session');
    const blocker = await pool.connect();
    await blocker.query(`BEGIN; UPDATE ${p}sessions SET owner = 'run-2', fence = fence + 1`);
    const saving = refused(store.save(lease, { expectedVersion: 1, change: countTo(1) }), 'LEASE_LOST');
    const accepting = refused(
      store.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false }),
      'LEASE_LOST',
    );
    await untilBlocked(2);
    await blocker.query('COMMIT');
    blocker.release();
    await Promise.all([saving, accepting]);
    expect(await rowCounts(p)).toEqual({ sessions: 1, versions: 1, inputs: 0, feeds: 0 });
  });

  test('a place in the listing is seen before any later one is', async () => {
    const { store, tablePrefix: p } = await freshStore();
    // A creation that has its place, and is not committed before the blocker lets it.
    await pool.query(`CREATE FUNCTION ${p}wait() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$`);
    await pool.query(`CREATE TRIGGER wait BEFORE INSERT ON ${p}versions FOR EACH ROW
      WHEN (NEW.data LIKE '%slow%') EXECUTE FUNCTION ${p}wait()`);
    const blocker = await pool.connect();
    await blocker.query('SELECT pg_advisory_lock(1)');
    const slow = create(store, 'first', { slow: true });
    await untilBlocked();
    const quick = create(store, 'second');
    await create(store.forTenant('another'), 'third');
    await untilBlocked(2);
    expect(await allIds(store)).toEqual([]);
    await blocker.query('SELECT pg_advisory_unlock(1)');
    blocker.release();
    await Promise.all([slow, quick]);
    expect(await allIds(store)).toEqual(['first', 'second']);
  });

  test('where transactions are serializable, what collides is tried again', async () => {
    const options = '-c default_transaction_isolation=serializable';
    const strict = new pg.Pool({ ...server.connection, max: 20, options });
    onTestFinished(() => strict.end());
    const store = new PostgresSessionStore({ pool: strict, tablePrefix: `case_${++tables}_` });
    await Promise.all(Array.from({ length: 5 }, () => store.migrate()));
    const lease = await create(store, 'session');
    const saves = await Promise.allSettled(
      Array.from({ length: 30 }, () => store.save(lease, { expectedVersion: 1, change: countTo(1) })),
    );
    expect(saves.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const save of saves) if (save.status === 'rejected') expect(save.reason.code).toBe('SESSION_CONFLICT');
    const input = { id: 'i', run: 'r', attempt: 1, done: false };
    const accepted = await Promise.all(
      Array.from({ length: 20 }, (_, turn) => store.accept(lease, { ...input, turn })),
    );
    expect(new Set(accepted.map(({ turn }) => turn)).size).toBe(1);
    await Promise.all(Array.from({ length: 10 }, (_, index) => create(store, `session-${index}`)));
    expect(await allIds(store)).toHaveLength(11);
  });

  async function untilBlocked(count = 1): Promise<void> {
    const sql = "SELECT count(*)::integer FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    while (Number((await rows(sql))[0]?.count) < count);
  }
});

test('PGlite keeps what it has in one process', async () => {
  const client = await PGlite.create();
  const store = new PostgresSessionStore({ client });
  await store.migrate();
  await create(store, 'session', { count: 2 });
  expect(await newestRecord(store, 'session')).toEqual({ count: 2 });
  expect(store.whenReleased).toBeUndefined();
  await client.close();
}, 120_000);
