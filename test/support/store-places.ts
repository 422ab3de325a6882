/** Databases that several processes can share, each started for one test, and what can happen to them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { PostgresSessionStore } from '../../src/stores/postgres.js';
import { PostgresServer } from './postgres-server.js';
import { noRedis, RedisServer } from './redis-server.js';
import type { StoreAddress } from './shared-stores.js';

/** A database of one's own. */
export interface StorePlace {
  readonly address: StoreAddress;
  /** What the operator, or the power, does to it while it is used. */
  readonly disasters: readonly (() => Promise<void>)[];
  remove(): void | Promise<void>;
}

/** A kind of database. */
export interface StoreKind {
  readonly kind: StoreAddress['kind'];
  /** Why there is none here. */
  readonly absent?: string | undefined;
  find(): Promise<StorePlace>;
}

/** Every kind there is. */
export const storePlaces: readonly StoreKind[] = [
  {
    kind: 'sqlite',
    async find() {
      const folder = mkdtempSync(join(tmpdir(), 'sessions-'));
      const remove = () => rmSync(folder, { recursive: true, force: true });
      return { address: { kind: 'sqlite', path: join(folder, 'sessions.db') }, disasters: [], remove };
    },
  },
  {
    kind: 'postgres',
    async find() {
      const server = await PostgresServer.start();
      const client = new pg.Client(server.connection);
      await client.connect();
      await new PostgresSessionStore({ client }).migrate();
      await client.end();
      const disasters = [() => server.restart(), () => server.crash()];
      return { address: { kind: 'postgres', url: server.url }, disasters, remove: () => server.stop() };
    },
  },
  {
    kind: 'redis',
    absent: noRedis,
    async find() {
      const server = await RedisServer.start();
      const disasters = [() => server.crash(), () => server.crash()];
      return { address: { kind: 'redis', url: server.url }, disasters, remove: () => server.stop() };
    },
  },
];
