/** Stores that several processes open, described so that the description can be handed to another process. */
import { Redis } from 'ioredis';
import pg from 'pg';
import type { SessionStore } from '../../src/session/store.js';
import { PostgresSessionStore } from '../../src/stores/postgres.js';
import { RedisSessionStore } from '../../src/stores/redis.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';

/** Where a store keeps its sessions. */
export type StoreAddress =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string }
  | { readonly kind: 'redis'; readonly url: string };

/** Opens a store with a client of its own, which survives a restart of the server. */
export function openStore(address: StoreAddress): { store: SessionStore; close(): Promise<void> } {
  if (address.kind === 'sqlite') {
    const store = new SqliteSessionStore({ path: address.path });
    return { store, close: () => store.close() };
  }
  if (address.kind === 'postgres') {
    const pool = new pg.Pool({ connectionString: address.url, max: 4 });
    // Connections break when the server goes away; the pool makes others.
    pool.on('error', () => {});
    return { store: new PostgresSessionStore({ pool }), close: () => pool.end() };
  }
  const client = new Redis(address.url);
  client.on('error', () => {});
  return { store: new RedisSessionStore({ client }), close: async () => client.disconnect() };
}
