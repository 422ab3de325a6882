import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RunFeed } from '../../../src/session/run-feed.js';
import type { SessionLease } from '../../../src/session/store.js';
import { PostgresSessionStore, type PostgresSessionStoreOptions } from '../../../src/stores/postgres.js';
import { create, eventually, hold, refused } from '../../../src/testing/session-store/case.js';
import { CountingClient } from '../../support/counting-client.js';
import { PostgresServer } from '../../support/postgres-server.js';
import { errorOf } from '../../support/waiting.js';

let server: PostgresServer;
let admin: pg.Pool;
let tables = 0;

beforeAll(async () => {
  server = await PostgresServer.start('fsync=off');
  admin = new pg.Pool({ ...server.connection, max: 10 });
}, 60_000);

afterAll(async () => {
  await admin.end();
  await server.stop();
});

const { signal: never } = new AbortController();

async function freshStore(options: PostgresSessionStoreOptions = { pool: admin }) {
  const tablePrefix = `case_${++tables}_`;
  await new PostgresSessionStore({ pool: admin, tablePrefix }).migrate();
  return { store: new PostgresSessionStore({ ...options, tablePrefix }), tablePrefix };
}

async function rows(sql: string): Promise<Record<string, unknown>[]> {
  return (await admin.query<Record<string, unknown>>(sql)).rows;
}

async function say(feed: RunFeed, lease: SessionLease, start: number, entries: unknown[], keep = 9): Promise<void> {
  await feed.append(lease, { start, entries, keep, ttlMs: 60_000 });
}

/** As if every feed had expired, and been so for its time. */
async function expireAll(p: string): Promise<void> {
  await admin.query(
    `UPDATE ${p}sessions SET feed_until = now() - interval '1 s', feed_sweep_at = now() - interval '1 s'`,
  );
}

describe('what a feed costs', () => {
  test('an append is one statement and one row, whatever there is already; so are the others', async () => {
    const client = new CountingClient(admin);
    const { store, tablePrefix: p } = await freshStore({ client });
    const lease = await create(store, 'session');
    await say(store.feed, lease, 0, ['first']);
    for (let start = 1; start < 9; start += 2) {
      expect(await client.countOf(() => say(store.feed, lease, start, ['a', 'b']))).toBe(1);
    }
    expect(await rows(`SELECT start, count FROM ${p}feeds ORDER BY start`)).toEqual([
      { start: '0', count: 1 },
      ...['1', '3', '5', '7'].map((start) => ({ start, count: 2 })),
    ]);
    const operations = {
      read: () => store.feed.read('session', { from: 2, limit: 3 }),
      requestAbort: () => store.feed.requestAbort('session', 'run-1', 'x'),
      'an append with a lost lease': () =>
        refused(say(store.feed, { ...lease, fence: lease.fence - 1 }, 9, ['a']), 'LEASE_LOST'),
    };
    for (const [name, work] of Object.entries(operations)) expect(await client.countOf(work), name).toBe(1);
  });

  test('old rows go when twice as many as are to be kept are there', async () => {
    const { store, tablePrefix: p } = await freshStore();
    const lease = await create(store, 'session');
    for (let start = 0; start < 100; start++) await say(store.feed, lease, start, [start], 5);
    const [{ count } = {}] = await rows(`SELECT count(*)::integer FROM ${p}feeds`);
    expect(count).toBeLessThanOrEqual(10);
  });

  test('nothing of it waits for the disk, and everything else does', async () => {
    const { store, tablePrefix: p } = await freshStore();
    const lease = await create(store, 'session');
    // A trigger that is run at the end of the transaction sees what the commit will do.
    await admin.query(`CREATE TABLE ${p}seen (source text, flushed text)`);
    await admin.query(`CREATE FUNCTION ${p}see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO ${p}seen VALUES (TG_TABLE_NAME, current_setting('synchronous_commit')); RETURN NULL; END $$`);
    for (const table of ['feeds', 'versions'])
      await admin.query(`CREATE CONSTRAINT TRIGGER see AFTER INSERT ON ${p}${table}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ${p}see()`);
    await say(store.feed, lease, 0, ['a']);
    await store.save(lease, { expectedVersion: 1, change: { kind: 'checkpoint', record: {} } });
    expect(await rows(`SELECT source, flushed FROM ${p}seen`)).toEqual([
      { source: `${p}feeds`, flushed: 'off' },
      { source: `${p}versions`, flushed: 'on' },
    ]);
  });
});

describe('feeds that have expired', () => {
  test('are cleared away by runs that begin to speak, some at a time', async () => {
    const { store, tablePrefix: p } = await freshStore();
    for (let index = 0; index < 30; index++) {
      const lease = await create(store, `session-${index}`);
      await say(store.feed, lease, 0, ['a', 'b']);
      await store.release(lease);
    }
    const feeds = async () => Number((await rows(`SELECT count(DISTINCT session) FROM ${p}feeds`))[0]?.count);
    expect(await feeds()).toBe(30);
    await expireAll(p);
    const lease = await create(store, 'new');
    await say(store.feed, lease, 0, ['a']);
    expect(await feeds()).toBe(11);
    await say(store.feed, lease, 1, ['b']);
    expect(await feeds()).toBe(11);
    await say(store.feed, await create(store, 'newer'), 0, ['a']);
    expect(await feeds()).toBe(2);
  });

  test('but are kept while their runs hold their sessions', async () => {
    const { store, tablePrefix: p } = await freshStore();
    const lease = await create(store, 'held');
    await say(store.feed, lease, 0, ['a']);
    await expireAll(p);
    for (const id of ['new', 'newer']) await say(store.feed, await create(store, id), 0, ['a']);
    await say(store.feed, lease, 1, ['b']);
    expect((await store.feed.read('held', { from: 0, limit: 9 }))?.entries).toEqual(['a', 'b']);
  });

  test('and do not come back when the same run holds its session again', async () => {
    const { store, tablePrefix: p } = await freshStore();
    const lease = await create(store, 'session');
    await say(store.feed, lease, 0, ['a']);
    await store.release(lease);
    await expireAll(p);
    const again = await hold(store, 'session');
    expect((await store.feed.read('session', { from: 0, limit: 9 }))?.entries).toEqual([]);
    await say(store.feed, again, 1, ['b']);
    expect(await store.feed.read('session', { from: 0, limit: 9 })).toMatchObject({ first: 1, entries: ['b'] });
  });
});

describe('what is told', () => {
  /** Whose connections can be told from those of the tests before, which listen for a while yet. */
  function namedPool(name: string): pg.Pool {
    const pool = new pg.Pool({ ...server.connection, max: 3, application_name: name });
    pool.on('error', () => {});
    onTestFinished(() => pool.end());
    return pool;
  }

  const listeningOf = (name: string) => `pg_stat_activity WHERE application_name = '${name}' AND query LIKE 'LISTEN%'`;

  test('is nothing while nobody watches', async () => {
    const listener = new pg.Client(server.connection);
    await listener.connect();
    onTestFinished(() => listener.end());
    const heard: unknown[] = [];
    listener.on('notification', ({ payload }) => heard.push(payload));
    await listener.query('LISTEN genkitx_agent_released');
    const { store, tablePrefix: p } = await freshStore();
    const lease = await create(store, 'session');
    await say(store.feed, lease, 0, ['a']);
    const wait = store.feed.whenGrown('session', 'run-1', 1, never);
    await eventually(async () => (await rows(`SELECT FROM ${p}sessions WHERE watched_from IS NOT NULL`))[0]);
    await say(store.feed, lease, 1, ['b']);
    await wait;
    // Whoever has an answer has heard before it all that was told until then.
    await listener.query('SELECT 1');
    expect(heard.length).toBe(1);
    for (let start = 2; start < 9; start++) await say(store.feed, lease, start, ['c']);
    await store.release(lease);
    await listener.query('SELECT 1');
    expect(heard.length).toBe(1);
  });

  test('is lost with the connection that listens: who watches goes on, and a run is told that it is deaf', async () => {
    const pool = namedPool('to be cut off');
    const { store, tablePrefix: p } = await freshStore({ pool });
    const lease = await create(store, 'session');
    const wait = store.feed.whenGrown('session', 'run-1', 0, never);
    const deaf = new Promise<unknown>((resolve, reject) => {
      store.feed.listenForAbort(lease, { onAbortRequested: reject, onDeaf: resolve });
    });
    await eventually(async () =>
      (await rows(`SELECT FROM ${p}sessions WHERE watched_from IS NOT NULL`)).length === 1 ? true : undefined,
    );
    await admin.query(`SELECT pg_terminate_backend(pid) FROM ${listeningOf('to be cut off')}`);
    await wait;
    expect(await deaf).toMatchObject({ code: 'STORE_FAILED' });
    const reason = new Promise((resolve, reject) => {
      store.feed.listenForAbort(lease, { onAbortRequested: resolve, onDeaf: reject });
    });
    await store.feed.requestAbort('session', 'run-1', 'enough');
    expect(await reason).toBe('enough');
  });

  test('is asked for where nothing is to listen', async () => {
    const { store } = await freshStore({ pool: namedPool('asks'), listen: false });
    expect(store.whenReleased).toBeUndefined();
    const lease = await create(store, 'session');
    const reason = new Promise((resolve, reject) => {
      store.feed.listenForAbort(lease, { onAbortRequested: resolve, onDeaf: reject });
    });
    const wait = store.feed.whenGrown('session', 'run-1', 0, never);
    await say(store.feed, lease, 0, ['a']);
    await store.feed.requestAbort('session', 'run-1', 'enough');
    await wait;
    expect(await reason).toBe('enough');
    expect(await rows(`SELECT FROM ${listeningOf('asks')}`)).toEqual([]);
  });

  test('costs one question, however many runs listen', async () => {
    // One that is told, and need not ask every now and then.
    const client = new pg.Client(server.connection);
    await client.connect();
    onTestFinished(() => client.end());
    const { store } = await freshStore({ client });
    const leases = await Promise.all(Array.from({ length: 50 }, (_, index) => hold(store, `session-${index}`)));
    const ended: number[] = [];
    const asked = vi.spyOn(client, 'query');
    for (const [index, lease] of leases.entries())
      store.feed.listenForAbort(lease, { onAbortRequested: () => ended.push(index), onDeaf: () => ended.push(-1) });
    await store.feed.requestAbort('session-7', 'run-1', 'enough');
    await eventually(async () => (ended.length > 0 ? true : undefined));
    expect(ended).toEqual([7]);
    expect(asked.mock.calls.length).toBeLessThan(10);
  });

  test('fails when the database cannot be asked', async () => {
    const client = new pg.Client(server.connection);
    await client.connect();
    const { store } = await freshStore({ client });
    const lease = await hold(store, 'session');
    await client.end();
    expect(await errorOf(store.feed.whenGrown('session', 'run-1', 0, never))).toBeInstanceOf(Error);
    const deaf = await new Promise((resolve, reject) => {
      store.feed.listenForAbort(lease, { onAbortRequested: reject, onDeaf: resolve });
    });
    expect(deaf).toBeInstanceOf(Error);
  });
});

test('a feed that has lost a row cannot be read back', async () => {
  const { store, tablePrefix: p } = await freshStore();
  const lease = await create(store, 'session');
  for (let start = 0; start < 5; start++) await say(store.feed, lease, start, [start]);
  await admin.query(`DELETE FROM ${p}feeds WHERE start = 2`);
  await refused(store.feed.read('session', { from: 0, limit: 9 }), 'STORE_CORRUPT');
  await admin.query(`UPDATE ${p}feeds SET data = '{' WHERE start = 3`);
  await refused(store.feed.read('session', { from: 3, limit: 1 }), 'STORE_CORRUPT');
});

test('PGlite keeps feeds, and is asked for what others have said', async () => {
  const client = await PGlite.create();
  const store = new PostgresSessionStore({ client });
  await store.migrate();
  const lease = await create(store, 'session');
  const wait = store.feed.whenGrown('session', 'run-1', 0, never);
  await say(store.feed, lease, 0, ['a']);
  await wait;
  expect((await store.feed.read('session', { from: 0, limit: 9 }))?.entries).toEqual(['a']);
  await client.close();
}, 120_000);
