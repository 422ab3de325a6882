import { RedisSessionStore } from '/work/main/src/stores/redis.ts';
import { PostgresSessionStore } from '/work/main/src/stores/postgres.ts';
import { RedisServer } from '/work/main/test/support/redis-server.ts';
import { PostgresServer } from '/work/main/test/support/postgres-server.ts';
import { testSessionStore } from '/work/main/src/testing/session-store-suite.ts';
import { test, after } from 'node:test';
const r = await RedisServer.start('--appendonly','no'); const p = await PostgresServer.start('fsync=off');
const { default: IO } = await import('ioredis50'); const r4 = await import('redis40'); const r5 = await import('redis50');
const pg80 = (await import('pg80')).default; const pg811=(await import('pg811')).default;
const io = new IO(r.port); const c4 = r4.createClient({ url: r.url }); await c4.connect(); const c5 = r5.createClient({ url: r.url }); await c5.connect();
let n=0;
for (const [name, client] of Object.entries({ io, c4, c5 })) {
  testSessionStore({ test: (title, run) => test(name+' '+title, run), create: () => { const keyPrefix = `k${++n}:`; return { store: new RedisSessionStore({ client, keyPrefix }), reopen: async () => new RedisSessionStore({ client, keyPrefix }) } } });
  test(name+' release', async () => { const s = new RedisSessionStore({ client, keyPrefix: `k${++n}:` }); const l = await s.acquire('x',{owner:'a',ttlMs:60000}); const w = s.whenReleased('x', new AbortController().signal); await new Promise(r=>setTimeout(r,200)); await s.release(l); await w; });
}
const pools = [];
for (const [name, pg] of Object.entries({ pg80, pg811 })) {
  const pool = new pg.Pool({ ...p.connection, max: 10 }); pools.push(pool);
  testSessionStore({ test: (title, run) => test(name+' '+title, run), create: async () => { const tablePrefix = `k${++n}_`; const store = new PostgresSessionStore({ pool, tablePrefix }); await store.migrate(); return { store, reopen: async () => new PostgresSessionStore({ pool, tablePrefix }) } } });
  test(name+' release', async () => { const s = new PostgresSessionStore({ pool, tablePrefix: `k${++n}_` }); await s.migrate(); const l = await s.acquire('x',{owner:'a',ttlMs:60000}); const w = s.whenReleased('x', new AbortController().signal); await new Promise(r=>setTimeout(r,200)); await s.release(l); await w; });
}
after(async () => { io.disconnect(); await c4.disconnect(); c5.destroy(); for (const q of pools) await q.end(); await r.stop(); await p.stop(); });
