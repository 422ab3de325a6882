import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { PostgresSessionStore } from '../../../src/stores/postgres.js';
import { create, eventually } from '../../../src/testing/session-store/case.js';
import { PostgresServer } from '../../support/postgres-server.js';
import { released, testReleases } from '../../support/release-cases.js';

let server: PostgresServer;
let admin: pg.Pool;
let tables = 0;

beforeAll(async () => {
  server = await PostgresServer.start('fsync=off');
  admin = new pg.Pool(server.connection);
}, 60_000);

afterAll(async () => {
  await admin.end();
  await server.stop();
});

async function count(sql: string): Promise<number> {
  return Number((await admin.query<{ count: string }>(`SELECT count(*) FROM ${sql}`)).rows[0]?.count);
}

async function freshTables(): Promise<string> {
  const tablePrefix = `case_${++tables}_`;
  await new PostgresSessionStore({ pool: admin, tablePrefix }).migrate();
  return tablePrefix;
}

function freshPool(max = 3): pg.Pool {
  const pool = new pg.Pool({ ...server.connection, max });
  pool.on('error', () => {});
  onTestFinished(() => pool.end());
  return pool;
}

async function freshClient(): Promise<pg.Client> {
  const client = new pg.Client(server.connection);
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

describe('a pool', () => {
  testReleases(async () => {
    const tablePrefix = await freshTables();
    return {
      open: async () => new PostgresSessionStore({ pool: freshPool(), tablePrefix }),
      awaited: () => count(`${tablePrefix}sessions WHERE awaited`),
    };
  });
});

describe('a client', () => {
  testReleases(async () => {
    const tablePrefix = await freshTables();
    return {
      open: async () => new PostgresSessionStore({ client: await freshClient(), tablePrefix }),
      awaited: () => count(`${tablePrefix}sessions WHERE awaited`),
    };
  });
});

describe('the connection that listens', () => {
  const listening = "pg_stat_activity WHERE query LIKE 'LISTEN%'";

  test('is one for all stores and tenants of a pool, and given back when nobody waits', async () => {
    const pool = freshPool();
    const stores = [
      new PostgresSessionStore({ pool, tablePrefix: await freshTables() }),
      new PostgresSessionStore({ pool, tablePrefix: await freshTables() }).forTenant('a'),
    ];
    const leases = await Promise.all(stores.map((store) => create(store, 'session')));
    const waits = stores.flatMap((store) => [released(store), released(store)]);
    await eventually(async () => ((await count(listening)) === 1 ? true : undefined));
    for (const [index, store] of stores.entries()) await store.release(leases[index] ?? expect.fail());
    await Promise.all(waits);
    await eventually(async () => ((await count(listening)) === 0 ? true : undefined));
    await eventually(async () => (pool.idleCount === pool.totalCount ? true : undefined));
  });

  test('wakes everybody when it breaks, and the next wait has another', async () => {
    const tablePrefix = await freshTables();
    const pool = freshPool();
    const store = new PostgresSessionStore({ pool, tablePrefix });
    const lease = await create(store, 'session');
    const wait = released(store);
    await eventually(async () => ((await count(`${tablePrefix}sessions WHERE awaited`)) === 1 ? true : undefined));
    await admin.query(`SELECT pg_terminate_backend(pid) FROM ${listening}`);
    await wait;
    const next = released(store);
    await store.release(lease);
    await next;
  });

  test('is not there in a pool of one, behind a client without events, nor behind a pool called a client', async () => {
    const { connection } = server;
    const bare = { query: (text: string, values?: unknown[]) => admin.query(text, values) };
    for (const source of [{ pool: new pg.Pool({ ...connection, max: 1 }) }, { client: bare }, { client: admin }]) {
      const store = new PostgresSessionStore(source);
      expect(store.whenReleased).toBeUndefined();
      expect(store.forTenant('a').whenReleased).toBeUndefined();
    }
  });

  test('is told nothing while nobody waits', async () => {
    const listener = await freshClient();
    const heard: unknown[] = [];
    listener.on('notification', ({ payload }) => heard.push(payload));
    await listener.query('LISTEN genkitx_agent_released');
    const store = new PostgresSessionStore({ pool: freshPool(), tablePrefix: await freshTables() });
    await store.release(await create(store, 'session'));
    await create(store, 'another');
    await store.delete('another');
    await listener.query('SELECT 1');
    expect(heard).toEqual([]);
  });
});
