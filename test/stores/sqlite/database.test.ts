import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Libsql from 'libsql';
import { describe, expect, test } from 'vitest';
import { SqliteSessionStore, type SqliteSessionStoreOptions } from '../../../src/stores/sqlite.js';
import { create, mustLoad, patch, recordOf, refused, whole } from '../../../src/testing/session-store/case.js';
import { built } from '../../support/built.js';
import { clients, freshPath, nodeSqlite, sql } from '../../support/sqlite-clients.js';

const noProc = process.platform === 'linux' ? '' : ' (skipped: only Linux has /proc)';

describe('opening', () => {
  test('nothing is opened before it is used; then the folder is made', async () => {
    const path = join(dirname(freshPath()), 'a', 'b', 'sessions.db');
    const store = new SqliteSessionStore({ path });
    expect(existsSync(dirname(path))).toBe(false);
    await create(store, 'session');
    expect(existsSync(path)).toBe(true);
    await store.close();
  });

  test.skipIf(noProc !== '')(`a folder that cannot be made is told, also where nothing can${noProc}`, async () => {
    for (const folder of ['/proc/a/b', '/dev/null/a']) {
      const store = new SqliteSessionStore({ path: join(folder, 'sessions.db') });
      await expect(store.load('session')).rejects.toMatchObject({
        code: 'STORE_FAILED',
        cause: { syscall: 'mkdir' },
      });
    }
  });

  test('the log is written ahead, and its commits are flushed', async () => {
    for (const Client of Object.values(clients)) {
      if (Client === undefined) continue;
      const database = new Client(freshPath());
      await create(new SqliteSessionStore({ database }), 'session');
      expect(database.prepare('PRAGMA journal_mode').get()).toMatchObject({ journal_mode: 'wal' });
      expect(database.prepare('PRAGMA synchronous').get()).toMatchObject({ synchronous: 2 });
      expect(database.prepare('PRAGMA busy_timeout').get()).toMatchObject({ timeout: 5_000 });
      database.close();
    }
  });

  test('a busy timeout of a given client is left as it is', async () => {
    const database = new Libsql(freshPath());
    database.exec('PRAGMA busy_timeout = 1234');
    await create(new SqliteSessionStore({ database }), 'session');
    expect(database.prepare('PRAGMA busy_timeout').get()).toMatchObject({ timeout: 1_234 });
  });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a path without a name', 'sessions.db'],
    ['a busy timeout that is no number', { path: 'x', busyTimeoutMs: 0.5 }],
    ['a busy timeout that SQLite would take for none', { path: 'x', busyTimeoutMs: 2 ** 31 }],
    ['a busy timeout below none', { path: 'x', busyTimeoutMs: -1 }],
    ['no path', {}],
    ['an empty path', { path: '' }],
    ['a path with NUL', { path: 'x\0y' }],
    ['a path that is no text', { path: 5 }],
    ['a client that is none', { database: {} }],
    ['a client that is not there', { database: undefined }],
  ])('%s is refused', (_, options) => {
    expect(() => new SqliteSessionStore(options as SqliteSessionStoreOptions)).toThrow(
      expect.objectContaining({ code: 'INVALID_VALUE' }),
    );
  });

  test('a database in memory works', async () => {
    const store = new SqliteSessionStore({ path: ':memory:' });
    await create(store, 'session', { count: 3 });
    expect(recordOf(await mustLoad(store, 'session'))).toEqual({ count: 3 });
    await store.close();
  });

  test('a file that is no database is refused, and opening is tried again', async () => {
    const path = freshPath();
    writeFileSync(path, 'this is not a database '.repeat(100));
    const store = new SqliteSessionStore({ path });
    expect((await refused(store.load('session'), 'STORE_FAILED')) as Error).toHaveProperty('cause');
    writeFileSync(path, '');
    expect(await store.load('session')).toBeUndefined();
    await store.close();
  });

  test('a file that is damaged is told as such', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    for (let index = 0; index < 9; index++) await create(store, `session-${index}`, 'x'.repeat(9_000));
    await store.close();
    writeFileSync(path, readFileSync(path).fill(0x5a, 2 * 4_096));
    const again = new SqliteSessionStore({ path });
    expect(await refused(again.load('session-3'), 'STORE_CORRUPT')).toMatchObject({ status: 'DATA_LOSS' });
    await again.close();
  });

  test('a path that cannot be a file is refused with the cause', async () => {
    const path = dirname(freshPath());
    const error = await refused(new SqliteSessionStore({ path }).load('session'), 'STORE_FAILED');
    expect((error as Error).cause).toBeInstanceOf(Error);
  });

  test('without any SQLite the error says what to install', () => {
    const store = built('src/stores/sqlite.ts');
    const program = `
      import { register } from 'node:module';
      const hook = "export const resolve = (name, context, next) => name === 'libsql' ? next('not-installed') : next(name, context)";
      register('data:text/javascript,' + encodeURIComponent(hook));
      process.getBuiltinModule = () => undefined;
      const { SqliteSessionStore } = await import(${JSON.stringify(store)});
      const error = await new SqliteSessionStore({ path: ':memory:' }).load('x').catch((error) => error);
      console.log(JSON.stringify([error.code, error.message, error.cause.code]));`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect(JSON.parse(output)).toEqual([
      'MISSING_DEPENDENCY',
      expect.stringContaining('npm install libsql'),
      'ERR_MODULE_NOT_FOUND',
    ]);
  });
});

describe('closing', () => {
  test('a closed store refuses every call, for every tenant', async () => {
    const store = new SqliteSessionStore({ path: freshPath() });
    const tenant = store.forTenant('a');
    const lease = await create(store, 'session');
    await store.close();
    await store.close();
    await refused(store.load('session'), 'STORE_FAILED');
    await refused(store.save(lease, { expectedVersion: 1, change: whole({}) }), 'STORE_FAILED');
    await refused(tenant.list(), 'STORE_FAILED');
  });

  test('a store that was never used, or could not be opened, closes', async () => {
    await new SqliteSessionStore({ path: freshPath() }).close();
    const broken = new SqliteSessionStore({ path: dirname(freshPath()) });
    await refused(broken.list(), 'STORE_FAILED');
    await broken.close();
  });

  test('nothing is left in the log of a file that nobody else uses', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    await create(store, 'session', { count: 3 });
    const log = `${path}-wal`;
    expect(statSync(log).size).toBeGreaterThan(0);
    await store.close();
    expect(existsSync(log) ? statSync(log).size : 0).toBe(0);
    // The file alone is all there is: a plain copy of it is a whole database.
    const copy = freshPath();
    copyFileSync(path, copy);
    const copied = new SqliteSessionStore({ path: copy });
    expect(recordOf(await mustLoad(copied, 'session'))).toEqual({ count: 3 });
    await copied.close();
  });

  test.each([
    ['reads', 'BEGIN'],
    ['writes', 'BEGIN IMMEDIATE'],
  ])('somebody who %s at that moment is neither waited for nor disturbed', async (_what, begin) => {
    const path = freshPath();
    const busyTimeoutMs = 60_000;
    const store = new SqliteSessionStore({ path, busyTimeoutMs });
    const lease = await create(store, 'session', { count: 1 });
    const other = new (nodeSqlite ?? Libsql)(path);
    other.exec(begin);
    expect(other.prepare('SELECT max(version) AS head FROM versions').get()).toMatchObject({ head: 1 });
    if (begin === 'BEGIN') await store.save(lease, { expectedVersion: 1, change: whole({ count: 2 }) });
    const start = performance.now();
    await store.close();
    expect(performance.now() - start).toBeLessThan(busyTimeoutMs / 2);
    expect(other.prepare('SELECT max(version) AS head FROM versions').get()).toMatchObject({ head: 1 });
    other.exec('COMMIT');
    other.close();
    const again = new SqliteSessionStore({ path });
    expect((await mustLoad(again, 'session')).head).toBe(begin === 'BEGIN' ? 2 : 1);
    await again.close();
  });

  test('a client that was given stays open', async () => {
    const database = new Libsql(freshPath());
    const store = new SqliteSessionStore({ database });
    await create(store, 'session');
    await store.close();
    expect(database.prepare('SELECT count(*) AS n FROM sessions').get()).toMatchObject({ n: 1 });
  });
});

describe('what is in the file', () => {
  test('the tables can be read with SQL', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    const tenant = store.forTenant('acme');
    const lease = await create(tenant, 'chat-1', { messages: ['hello'] });
    await tenant.save(lease, { expectedVersion: 1, change: patch({ op: 'add', path: '/messages/-', value: 'hi' }) });
    await tenant.accept(lease, { id: 'input-1', run: 'run-1', turn: 1, attempt: 1, done: false, input: 'hi' });
    await store.close();
    expect(sql(path, "SELECT tenant ->> '$[0]' AS tenant, id, checkpoint, owner FROM sessions")).toMatchObject([
      { tenant: 'acme', id: 'chat-1', checkpoint: 1, owner: 'run-1' },
    ]);
    const versions = `SELECT version, data ->> '$.messages[0]' AS first, data ->> '$[0].value' AS added
      FROM versions JOIN sessions ON session = key WHERE id = 'chat-1' ORDER BY version`;
    expect(sql(path, versions)).toMatchObject([
      { version: 1, first: 'hello', added: null },
      { version: 2, first: null, added: 'hi' },
    ]);
    expect(sql(path, 'SELECT id, input FROM inputs WHERE done = 0')).toMatchObject([{ id: 'input-1', input: '"hi"' }]);
  });

  test('a save writes what changed, however much there is already', async () => {
    const path = freshPath();
    const database = new Libsql(path);
    const store = new SqliteSessionStore({ database });
    const lease = await create(store, 'session', { messages: [] });
    const most = { early: 0, late: 0 };
    for (let version = 2; version <= 1_000; version++) {
      const time = version <= 50 ? 'early' : version > 950 ? 'late' : undefined;
      if (time !== undefined) database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
      const value = { role: 'user', content: 'x'.repeat(500) };
      await store.save(lease, {
        expectedVersion: version - 1,
        change: patch({ op: 'add', path: '/messages/-', value }),
      });
      if (time !== undefined) most[time] = Math.max(most[time], statSync(`${path}-wal`).size);
    }
    const page = 4_200;
    expect(most.late).toBeLessThanOrEqual(most.early + page);
    expect(most.late).toBeLessThan(8 * page);
    expect(
      sql(path, 'SELECT max(length(data)) - min(length(data)) AS spread FROM versions WHERE version > 1'),
    ).toMatchObject([{ spread: 0 }]);
  });

  test('no byte of a deleted session is left in the file or in its log', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    const secret = 'the secret of the session';
    const lease = await create(store, secret, { text: secret.repeat(1_000) });
    await store.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false, input: secret });
    await create(store, 'another', { text: 'kept' });
    const bytes = () =>
      [path, `${path}-wal`]
        .filter(existsSync)
        .map((file) => readFileSync(file, 'latin1'))
        .join();
    expect(bytes()).toContain(secret);
    await store.delete(secret);
    expect(bytes()).not.toContain(secret);
    expect(recordOf(await mustLoad(store, 'another'))).toEqual({ text: 'kept' });
    await store.close();
  });

  test('a session is as old as its first version, and a save changes its time only with the version', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    const lease = await create(store, 'session');
    const { createdAt, updatedAt } = await mustLoad(store, 'session');
    expect(updatedAt).toBe(createdAt);
    expect(Math.abs(Date.parse(createdAt) - Date.now())).toBeLessThan(60_000);
    const row = sql(path, 'SELECT * FROM sessions');
    await store.save(lease, { expectedVersion: 1, change: patch({ op: 'replace', path: '/count', value: 1 }) });
    expect(sql(path, 'SELECT * FROM sessions')).toEqual(row);
    sql(path, 'UPDATE versions SET saved_at = 1767323045678 WHERE version = 2', 'SELECT 1');
    const updated = { createdAt, updatedAt: '2026-01-02T03:04:05.678Z' };
    expect(await mustLoad(store, 'session')).toMatchObject(updated);
    expect((await store.list()).sessions).toMatchObject([updated]);
    await store.close();
  });

  test('who waits for a lease writes nothing', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    await create(store, 'session');
    const before = sql(path, 'SELECT last FROM counter');
    const size = statSync(`${path}-wal`).size;
    for (let time = 0; time < 20; time++) await store.acquire('session', { owner: 'run-2', ttlMs: 1_000 });
    expect(sql(path, 'SELECT last FROM counter')).toEqual(before);
    expect(statSync(`${path}-wal`).size).toBe(size);
    await store.close();
  });
});

describe('what cannot be read back', () => {
  async function spoiled(...statements: string[]): Promise<SqliteSessionStore> {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    const lease = await create(store, 'session', { count: 0 });
    for (let version = 2; version <= 5; version++) {
      const change = patch({ op: 'replace', path: '/count', value: version });
      await store.save(lease, { expectedVersion: version - 1, change });
    }
    await store.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false, input: 'x' });
    await create(store, 'another');
    sql(path, ...statements, 'SELECT 1');
    return store;
  }

  test('a version that is not JSON, and which', async () => {
    const store = await spoiled(`UPDATE versions SET data = '[{"op":"repl' WHERE session = 1 AND version = 3`);
    const error = await refused(store.load('session'), 'STORE_CORRUPT');
    expect(error).toMatchObject({ message: expect.stringContaining('version 3'), cause: expect.any(SyntaxError) });
    expect((await mustLoad(store, 'session', 2)).version).toBe(2);
    expect((await mustLoad(store, 'another')).head).toBe(1);
  });

  test('two versions that are JSON only together', async () => {
    const store = await spoiled(
      "UPDATE versions SET data = '[1' WHERE session = 1 AND version = 3",
      "UPDATE versions SET data = '2]' WHERE session = 1 AND version = 4",
    );
    await refused(store.load('session'), 'STORE_CORRUPT');
  });

  test('a version that is two values', async () => {
    const two = "'[]' || ',' || char(10) || '[]'";
    const store = await spoiled(`UPDATE versions SET data = ${two} WHERE session = 1 AND version = 3`);
    await refused(store.load('session'), 'STORE_CORRUPT');
  });

  test('but versions are read in their order, wherever they lie, and however they are written', async () => {
    const store = await spoiled(
      'CREATE TEMP TABLE moved AS SELECT * FROM versions WHERE session = 1 AND version BETWEEN 2 AND 3',
      'DELETE FROM versions WHERE session = 1 AND version BETWEEN 2 AND 3',
      'INSERT INTO versions SELECT * FROM moved ORDER BY version DESC',
      "UPDATE versions SET data = replace(data, ',', ',' || char(10)) WHERE session = 1 AND version = 4",
    );
    const stored = await mustLoad(store, 'session');
    expect(stored.patches.map(([operation]) => operation)).toMatchObject([2, 3, 4, 5].map((value) => ({ value })));
    expect(recordOf(stored)).toEqual({ count: 5 });
  });

  test('a version that is missing', async () => {
    const store = await spoiled('DELETE FROM versions WHERE session = 1 AND version = 3');
    await refused(store.load('session'), 'STORE_CORRUPT');
    expect(await store.load('session', { version: 3 })).toBeUndefined();
  });

  test('all versions are missing, or the newest whole one and what followed', async () => {
    const store = await spoiled('DELETE FROM versions WHERE session = 1');
    await refused(store.load('session'), 'STORE_CORRUPT');
    await refused(store.list(), 'STORE_CORRUPT');
    const other = await spoiled('UPDATE sessions SET checkpoint = 6 WHERE key = 1');
    await refused(other.load('session'), 'STORE_CORRUPT');
  });

  test('an input or an id that is not JSON', async () => {
    const store = await spoiled(
      "UPDATE inputs SET input = '{'",
      "UPDATE sessions SET id = 'a\"b' WHERE id = 'another'",
    );
    await refused(store.load('session'), 'STORE_CORRUPT');
    await refused(store.list(), 'STORE_CORRUPT');
  });

  test('a database written by a newer version is refused and not touched', async () => {
    const path = freshPath();
    const first = new SqliteSessionStore({ path });
    await create(first, 'session');
    await first.close();
    sql(path, 'PRAGMA user_version = 99', 'PRAGMA wal_checkpoint(TRUNCATE)');
    const before = readFileSync(path);
    const error = await refused(new SqliteSessionStore({ path }).list(), 'STORE_FAILED');
    expect(error).toMatchObject({ status: 'FAILED_PRECONDITION', message: expect.stringContaining('version 99') });
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test("another program's database is refused and not touched", async () => {
    const path = freshPath();
    sql(path, 'CREATE TABLE sessions (mine TEXT)', 'SELECT 1');
    const before = readFileSync(path);
    await refused(new SqliteSessionStore({ path }).list(), 'STORE_FAILED');
    expect(readFileSync(path).equals(before)).toBe(true);
  });
});

describe('a client that is given', () => {
  test.each(Object.entries(clients))('%s: a transaction of its owner is not ended', async (_name, Client) => {
    if (Client === undefined) return;
    const path = freshPath();
    const database = new Client(path);
    const store = new SqliteSessionStore({ database });
    const lease = await create(store, 'session');
    database.exec('BEGIN');
    await refused(store.save(lease, { expectedVersion: 1, change: whole({}) }), 'STORE_FAILED');
    database.exec('COMMIT');
    await store.save(lease, { expectedVersion: 1, change: whole({ after: 'that' }) });
    database.close();
  });

  test('an error in the middle of a save leaves nothing half done', async () => {
    const database = new (nodeSqlite ?? Libsql)(freshPath());
    const store = new SqliteSessionStore({ database });
    const lease = await create(store, 'session');
    database.exec("CREATE TEMP TRIGGER full BEFORE INSERT ON versions BEGIN SELECT raise(ABORT, 'disk full'); END");
    const error = await refused(store.save(lease, { expectedVersion: 1, change: whole({}) }), 'STORE_FAILED');
    expect((error as Error).cause).toMatchObject({ message: expect.stringContaining('disk full') });
    database.exec('DROP TRIGGER full');
    expect((await mustLoad(store, 'session')).head).toBe(1);
    await store.save(lease, { expectedVersion: 1, change: whole({}) });
    database.close();
  });

  test('another process that writes too long is an error that may be tried again', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path, busyTimeoutMs: 1 });
    const lease = await create(store, 'session');
    // With the same library: two of them in one process do not see each other's locks.
    const other = new (nodeSqlite ?? Libsql)(path);
    other.exec('BEGIN IMMEDIATE');
    const error = await refused(store.save(lease, { expectedVersion: 1, change: whole({}) }), 'STORE_FAILED');
    expect(error).toMatchObject({ status: 'UNAVAILABLE' });
    expect(recordOf(await mustLoad(store, 'session'))).toEqual({ count: 0 });
    other.exec('ROLLBACK');
    await store.save(lease, { expectedVersion: 1, change: whole({}) });
    await store.close();
  });
});
