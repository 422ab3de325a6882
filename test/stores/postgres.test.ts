import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';
import { afterAll, beforeAll, describe, onTestFinished, test } from 'vitest';
import { PostgresSessionStore } from '../../src/stores/postgres.js';
import { testSessionStore } from '../../src/testing/session-store-suite.js';
import { PostgresServer } from '../support/postgres-server.js';

let server: PostgresServer;
let cases = 0;

beforeAll(async () => {
  server = await PostgresServer.start('fsync=off');
}, 60_000);

afterAll(() => server.stop());

describe('a pool of pg, every case with empty tables', () => {
  let pool: pg.Pool;
  let second: pg.Pool;
  beforeAll(async () => {
    pool = new pg.Pool({ ...server.connection, max: 20 });
    second = new pg.Pool(server.connection);
    await new PostgresSessionStore({ pool }).migrate();
  });
  afterAll(async () => {
    await pool.end();
    await second.end();
  });
  testSessionStore({
    test,
    feed: true,
    async create() {
      await pool.query('TRUNCATE genkitx_agent_sessions CASCADE');
      return {
        store: new PostgresSessionStore({ pool }),
        async reopen() {
          const other = new pg.Pool(server.connection);
          onTestFinished(() => other.end());
          return new PostgresSessionStore({ pool: other });
        },
        another: async () => new PostgresSessionStore({ pool: second }),
      };
    },
  });
});

describe('a client of pg with nothing prepared, every case with a tenant of its own', () => {
  let client: pg.Client;
  let second: pg.Client;
  const open = async () => {
    const one = new pg.Client(server.connection);
    await one.connect();
    return one;
  };
  beforeAll(async () => {
    client = await open();
    second = await open();
    await new PostgresSessionStore({ client }).migrate();
  });
  afterAll(async () => {
    await client.end();
    await second.end();
  });
  testSessionStore({
    test,
    feed: true,
    create() {
      const tenant = `case-${++cases}`;
      const storeOn = (one: pg.Client) => new PostgresSessionStore({ client: one, prepare: false }).forTenant(tenant);
      return {
        store: storeOn(client),
        async reopen() {
          const other = await open();
          onTestFinished(() => other.end());
          return storeOn(other);
        },
        another: async () => storeOn(second),
      };
    },
  });
});

describe('PGlite, every case with a tenant of its own', () => {
  let client: PGlite;
  beforeAll(async () => {
    client = await PGlite.create();
    await new PostgresSessionStore({ client }).migrate();
  }, 120_000);
  afterAll(() => client.close());
  testSessionStore({
    test,
    feed: true,
    create() {
      const tenant = `case-${++cases}`;
      const open = () => new PostgresSessionStore({ client }).forTenant(tenant);
      return { store: open(), reopen: async () => open() };
    },
  });
});
