import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { PostgresSessionStore } from '../../src/stores/postgres.js';
import { testSessionStore } from '../../src/testing/session-store-suite.js';
import { PostgresServer } from '../support/postgres-server.js';

let server: PostgresServer;
let tables = 0;

/** Every case has tables of its own. */
const freshPrefix = () => `case_${++tables}_`;

beforeAll(async () => {
  server = await PostgresServer.start('fsync=off');
}, 60_000);

afterAll(() => server.stop());

describe('a pool of pg', () => {
  let pool: pg.Pool;
  beforeAll(() => {
    pool = new pg.Pool({ ...server.connection, max: 20 });
  });
  afterAll(() => pool.end());
  testSessionStore({
    test,
    async create() {
      const tablePrefix = freshPrefix();
      const store = new PostgresSessionStore({ pool, tablePrefix });
      await store.migrate();
      const others: pg.Pool[] = [];
      return {
        store,
        async reopen() {
          const other = new pg.Pool(server.connection);
          others.push(other);
          return new PostgresSessionStore({ pool: other, tablePrefix });
        },
        async dispose() {
          for (const other of others) await other.end();
        },
      };
    },
  });
});

describe('a client of pg, with statements prepared', () => {
  let client: pg.Client;
  beforeAll(async () => {
    client = new pg.Client(server.connection);
    await client.connect();
  });
  afterAll(() => client.end());
  testSessionStore({
    test,
    async create() {
      const tablePrefix = freshPrefix();
      const store = new PostgresSessionStore({ client, tablePrefix, prepare: true });
      await store.migrate();
      const others: pg.Client[] = [];
      return {
        store,
        async reopen() {
          const other = new pg.Client(server.connection);
          await other.connect();
          others.push(other);
          return new PostgresSessionStore({ client: other, tablePrefix, prepare: true });
        },
        async dispose() {
          for (const other of others) await other.end();
        },
      };
    },
  });
});

describe('a pool whose transactions are serializable', () => {
  let pool: pg.Pool;
  beforeAll(() => {
    pool = new pg.Pool({ ...server.connection, max: 20, options: '-c default_transaction_isolation=serializable' });
  });
  afterAll(() => pool.end());
  testSessionStore({
    test,
    async create() {
      const tablePrefix = freshPrefix();
      const store = new PostgresSessionStore({ pool, tablePrefix });
      await store.migrate();
      return { store, reopen: async () => new PostgresSessionStore({ pool, tablePrefix }) };
    },
  });
});

describe('PGlite', () => {
  let client: PGlite;
  beforeAll(async () => {
    client = await PGlite.create();
  }, 60_000);
  afterAll(() => client.close());
  testSessionStore({
    test,
    async create() {
      const tablePrefix = freshPrefix();
      const store = new PostgresSessionStore({ client, tablePrefix });
      await store.migrate();
      return { store, reopen: async () => new PostgresSessionStore({ client, tablePrefix }) };
    },
  });
});
