/** LangGraph's own suite for checkpoint savers, with ours over each of the stores. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { validate } from '@langchain/langgraph-checkpoint-validation';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { PostgresSessionStore } from '../../src/stores/postgres.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { StoreCheckpointSaver } from '../support/checkpoint-saver.js';
import { PostgresServer } from '../support/postgres-server.js';

// It expects a runner whose functions are everywhere; other files in this process do not.
const runner = { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it };
Object.assign(globalThis, runner);
afterAll(() => {
  for (const name of Object.keys(runner)) Reflect.deleteProperty(globalThis, name);
});

validate({
  checkpointerName: 'memory',
  createCheckpointer: () => new StoreCheckpointSaver(new MemorySessionStore()),
});

let folder: string;
let files = 0;

validate({
  checkpointerName: 'sqlite',
  beforeAll() {
    folder = mkdtempSync(join(tmpdir(), 'sessions-'));
  },
  createCheckpointer: () => new StoreCheckpointSaver(new SqliteSessionStore({ path: join(folder, `${++files}.db`) })),
  afterAll: () => rmSync(folder, { recursive: true, force: true }),
});

let server: PostgresServer;
let pool: pg.Pool;
let tenants = 0;

validate({
  checkpointerName: 'postgres',
  async beforeAll() {
    server = await PostgresServer.start('fsync=off');
    pool = new pg.Pool(server.connection);
    await new PostgresSessionStore({ pool }).migrate();
  },
  beforeAllTimeout: 60_000,
  createCheckpointer: () => new StoreCheckpointSaver(new PostgresSessionStore({ pool }).forTenant(`case-${++tenants}`)),
  async afterAll() {
    await pool.end();
    await server.stop();
  },
});
