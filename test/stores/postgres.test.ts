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
  beforeAll(async () => {
    pool = new pg.Pool({ ...server.connection, max: 20 });
    await new PostgresSessionStore({ pool }).migrate();
  });
  afterAll(() => pool.end());
  testSessionStore({
    test,
    async create() {
      await pool.query('TRUNCATE genkitx_agent_sessions CASCADE');
      return {
        store: new PostgresSessionStore({ pool }),
        async reopen() {
          const other = new pg.Pool(server.connection);
          onTestFinished(() => other.end());
          return new PostgresSessionStore({ pool: other });
        },
      };
    },
  });
});

describe('a client of pg with statements prepared, every case with a tenant of its own', () => {
  let client: pg.Client;
  beforeAll(async () => {
    client = new pg.Client(server.connection);
    await client.connect();
    await new PostgresSessionStore({ client }).migrate();
  });
  afterAll(() => client.end());
  testSessionStore({
    test,
    create() {
      const tenant = `case-${++cases}`;
      return {
        store: new PostgresSessionStore({ client, prepare: true }).forTenant(tenant),
        async reopen() {
          const other = new pg.Client(server.connection);
          await other.connect();
          onTestFinished(() => other.end());
          return new PostgresSessionStore({ client: other, prepare: true }).forTenant(tenant);
        },
      };
    },
  });
});

describe('PGlite, every case with a tenant of its own', () => {
  let client: PGlite;
  beforeAll(async () => {
    client = await PGlite.create();
    await new PostgresSessionStore({ client }).migrate();
  }, 60_000);
  afterAll(() => client.close());
  testSessionStore({
    test,
    create() {
      const tenant = `case-${++cases}`;
      const open = () => new PostgresSessionStore({ client }).forTenant(tenant);
      return { store: open(), reopen: async () => open() };
    },
  });
});
