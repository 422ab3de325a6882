import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { statementsFor } from '../../../src/stores/postgres/statements.js';
import { PostgresSessionStore } from '../../../src/stores/postgres.js';
import { create, newestRecord, patch } from '../../../src/testing/session-store/case.js';
import { CountingClient } from '../../support/counting-client.js';
import { PostgresServer } from '../../support/postgres-server.js';

let server: PostgresServer;
const tablePrefix = 'genkitx_agent_';
let sessions = 0;

beforeAll(async () => {
  server = await PostgresServer.start('fsync=off');
  const client = await open();
  await new PostgresSessionStore({ client }).migrate();
  await client.end();
}, 60_000);

afterAll(() => server.stop());

async function open(): Promise<pg.Client> {
  const client = new pg.Client(server.connection);
  await client.connect();
  return client;
}

async function openUntilTheEnd(): Promise<pg.Client> {
  const client = await open();
  onTestFinished(() => client.end());
  return client;
}

/** What the connection keeps prepared of ours. */
async function prepared(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>('SELECT name FROM pg_prepared_statements ORDER BY name');
  return rows.map(({ name }) => name);
}

/** A session with a version more, which takes most statements. */
async function use(store: PostgresSessionStore): Promise<void> {
  const id = `session-${++sessions}`;
  const lease = await create(store, id);
  await store.save(lease, { expectedVersion: 1, change: patch({ op: 'replace', path: '/count', value: 1 }) });
  await store.release(lease);
  expect(await newestRecord(store, id)).toEqual({ count: 1 });
}

test('a client of pg keeps the statements prepared, unless it is told not to', async () => {
  const client = await openUntilTheEnd();
  await use(new PostgresSessionStore({ client, prepare: false }));
  expect(await prepared(client)).toEqual([]);
  await use(new PostgresSessionStore({ client }));
  const { save, load } = statementsFor(tablePrefix);
  expect(await prepared(client)).toEqual(expect.arrayContaining([save.name, load.name]));
});

test('so does every connection of a pool', async () => {
  const pool = new pg.Pool({ ...server.connection, max: 1 });
  onTestFinished(() => pool.end());
  await use(new PostgresSessionStore({ pool }));
  const { rows } = await pool.query('SELECT name FROM pg_prepared_statements');
  expect(rows.length).toBeGreaterThan(3);
});

test('another client is asked in the way that every client knows', async () => {
  const client = await openUntilTheEnd();
  await use(new PostgresSessionStore({ client: new CountingClient(client) }));
  expect(await prepared(client)).toEqual([]);
});

test('a name stands for one text, and is short enough for Postgres', () => {
  const names = Object.values(statementsFor('a'.repeat(40))).map(({ name = '' }) => name);
  for (const name of names) expect(name.length).toBeLessThanOrEqual(63);
  expect(new Set(names).size).toBe(names.length);
  expect(statementsFor('a_').save.name).not.toBe(statementsFor('b_').save.name);
});

test('behind a pooler that has lost what was prepared the store goes on without', async () => {
  const client = await openUntilTheEnd();
  const store = new PostgresSessionStore({ client });
  await use(store);
  // As when the next statement is sent to another connection of the server.
  await client.query('DEALLOCATE ALL');
  await use(store);
  expect(await prepared(client)).toEqual([]);
});

test('so it does where somebody else has prepared a statement of that name', async () => {
  const client = await openUntilTheEnd();
  await client.query(`PREPARE ${statementsFor(tablePrefix).load.name} AS SELECT 1`);
  const store = new PostgresSessionStore({ client });
  await use(store);
  await use(store);
});
