import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SqliteSessionStore } from '../../../src/stores/sqlite.js';
import { hold, mustLoad, patch, recordOf } from '../../../src/testing/session-store/case.js';
import { SqliteChild } from '../../support/sqlite-children.js';
import { freshPath, sql } from '../../support/sqlite-clients.js';

/** One session of two versions, and one that is held but was never saved, in all columns that versions 1 and 2 share. */
const contents = [
  `INSERT INTO sessions
     (key, tenant, id, place, head, checkpoint, owner, fence, lease_until, parent_id, parent_version, created_at, updated_at)
   VALUES
     (1, '[]', 'old', 2, 2, 1, 'run-1', 3, 0, NULL, NULL, '2026-01-01T00:00:00.000Z', '2026-01-02T03:04:05.678Z'),
     (4, '[]', 'held', NULL, 0, 0, 'run-1', 5, 0, NULL, NULL, NULL, NULL)`,
  `INSERT INTO versions (session, version, checkpoint, data)
   VALUES (1, 1, 1, '{"count":0}'), (1, 2, 1, '[{"op":"replace","path":"/count","value":1}]')`,
  `INSERT INTO inputs VALUES (1, 1, 'input', 'run-1', 1, 1, 0, '"text"')`,
];

const versionsAndInputs = [
  `CREATE TABLE versions (
    session INTEGER NOT NULL, version INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL, -- the whole record that this version builds on; itself when data is one
    data TEXT NOT NULL, -- JSON
    UNIQUE (session, version)
  ) STRICT`,
  `CREATE TABLE inputs (
    place INTEGER PRIMARY KEY, session INTEGER NOT NULL, id TEXT NOT NULL, run TEXT NOT NULL, turn INTEGER NOT NULL,
    attempt INTEGER NOT NULL, done INTEGER NOT NULL, input TEXT, UNIQUE (session, id)
  ) STRICT`,
  'CREATE INDEX inputs_pending ON inputs (session) WHERE done = 0',
  `PRAGMA application_id = ${0x67_78_61_73}`,
  'PRAGMA journal_mode = WAL',
];

/** The tables as version 1 made them. */
const tables1 = [
  'CREATE TABLE counter (last INTEGER NOT NULL) STRICT',
  'INSERT INTO counter VALUES (7)',
  `CREATE TABLE sessions (
    key INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL, place INTEGER, head INTEGER NOT NULL DEFAULT 0,
    checkpoint INTEGER NOT NULL DEFAULT 0, owner TEXT, fence INTEGER NOT NULL, lease_until INTEGER NOT NULL,
    parent_id TEXT, parent_version INTEGER, created_at TEXT, updated_at TEXT, UNIQUE (tenant, id)
  ) STRICT`,
  'CREATE UNIQUE INDEX sessions_in_order ON sessions (tenant, place) WHERE place IS NOT NULL',
  ...versionsAndInputs,
  'PRAGMA user_version = 1',
];

/** The tables as version 2 made them, with its comments where columns have gone since. */
const tables2 = [
  'CREATE TABLE counter (last INTEGER NOT NULL) STRICT',
  'INSERT INTO counter VALUES (7)',
  `CREATE TABLE sessions (
    key INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL,
    place INTEGER, -- in the order of creation; NULL while the session is held but has no version yet
    head INTEGER NOT NULL DEFAULT 0, -- the newest version
    checkpoint INTEGER NOT NULL DEFAULT 0, -- the newest version that is a whole record
    owner TEXT, fence INTEGER NOT NULL, lease_until INTEGER NOT NULL, parent_id TEXT, parent_version INTEGER,
    created_at TEXT,
    updated_at TEXT,
    abort_reason TEXT, -- somebody asks the run that holds the session to end
    UNIQUE (tenant, id)
  ) STRICT`,
  'CREATE UNIQUE INDEX sessions_in_order ON sessions (tenant, place) WHERE place IS NOT NULL',
  'CREATE INDEX sessions_to_end ON sessions (key) WHERE abort_reason IS NOT NULL',
  ...versionsAndInputs,
  `CREATE TABLE feeds (
    session INTEGER PRIMARY KEY, run TEXT NOT NULL, "end" INTEGER NOT NULL, kept_until INTEGER NOT NULL
  ) STRICT`,
  'CREATE INDEX feeds_by_age ON feeds (kept_until)',
  `CREATE TABLE feed_entries (
    session INTEGER NOT NULL, start INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (session, start)
  ) STRICT, WITHOUT ROWID`,
  'PRAGMA user_version = 2',
];

/** A file that an older package has left, with whatever else is done to it. */
function oldFile(tables: readonly string[], ...more: string[]): string {
  const path = freshPath();
  sql(path, ...tables, ...contents, ...more, 'SELECT 1');
  return path;
}

/** Every table with its columns, whatever their order, and every index. */
function shapeOf(path: string) {
  const columns = `SELECT t.name AS "table", c.name, c.type, c."notnull", c.dflt_value, c.pk
    FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY t.name, c.name`;
  const indexes = `SELECT name, tbl_name, replace(sql, ' ', '') AS sql FROM sqlite_schema WHERE type = 'index' ORDER BY name`;
  return [sql(path, columns), sql(path, indexes), sql(path, 'PRAGMA user_version'), sql(path, 'PRAGMA application_id')];
}

describe.each([
  ['version 1', tables1],
  ['version 2', tables2],
])('a file of %s', (_version, tables) => {
  test('is brought up to date when it is opened, with all that is in it', async () => {
    const path = oldFile(tables);
    const store = new SqliteSessionStore({ path });
    const old = await mustLoad(store, 'old');
    expect(recordOf(old)).toEqual({ count: 1 });
    const times = { createdAt: '2026-01-01T00:00:00.000Z', updatedAt: '2026-01-02T03:04:05.678Z' };
    expect(old).toMatchObject({ head: 2, ...times, pending: [{ id: 'input' }] });
    expect((await store.list()).sessions).toEqual([{ id: 'old', version: 2, ...times }]);
    expect(recordOf(await mustLoad(store, 'old', 1))).toEqual({ count: 0 });
    const lease = await hold(store, 'old', 'run-2');
    expect(lease.fence).toBe(8);
    const change = patch({ op: 'replace', path: '/count', value: 2 });
    await store.save(lease, { expectedVersion: 2, change });
    await store.feed.append(lease, { start: 0, entries: ['a'], keep: 9, ttlMs: 60_000 });
    expect(await store.feed.requestAbort('old', 'run-2', 'enough')).toBe(true);
    await store.close();
    const again = new SqliteSessionStore({ path });
    const saved = await mustLoad(again, 'old');
    expect(recordOf(saved)).toEqual({ count: 2 });
    expect(Date.parse(saved.updatedAt)).toBeGreaterThan(Date.parse(times.updatedAt));
    expect(recordOf(await mustLoad(again, 'old', 2))).toEqual({ count: 1 });
    expect((await again.feed.read('old', { from: 0, limit: 9 }))?.entries).toEqual(['a']);
    await again.close();
  });

  test('is then what a new file is', async () => {
    const [old, fresh] = [oldFile(tables), freshPath()];
    for (const path of [old, fresh]) {
      const store = new SqliteSessionStore({ path });
      await store.list();
      await store.close();
    }
    expect(shapeOf(old)).toEqual(shapeOf(fresh));
    expect(sql(old, 'PRAGMA integrity_check')).toMatchObject([{ integrity_check: 'ok' }]);
  });

  test('may be opened by several processes at once', async () => {
    const path = oldFile(tables);
    const children = ['a', 'b', 'c'].map((owner) => new SqliteChild(path, 'acquire', 'old', owner));
    const answers = (await Promise.all(children.map((child) => child.lines()))).flat();
    expect(answers.sort()).toEqual(['held', 'refused', 'refused']);
    expect(sql(path, 'PRAGMA user_version')).toMatchObject([{ user_version: 3 }]);
  });

  test('is as it was when a process dies while it brings it up to date', async () => {
    const path = oldFile(tables);
    const before = [shapeOf(path), sql(path, 'SELECT * FROM sessions'), sql(path, 'SELECT * FROM versions')];
    const child = new SqliteChild(path, 'open and stop before the commit', path);
    expect(await child.killAfter(1)).toEqual(['before the commit']);
    const after = [shapeOf(path), sql(path, 'SELECT * FROM sessions'), sql(path, 'SELECT * FROM versions')];
    expect(after).toEqual(before);
    const store = new SqliteSessionStore({ path });
    expect(recordOf(await mustLoad(store, 'old'))).toEqual({ count: 1 });
    await store.close();
  });

  test('leaves nothing behind of a session that is deleted later', async () => {
    const secret = 'A-SECRET-OF-MANY-BYTES';
    const path = oldFile(
      tables,
      `UPDATE sessions SET id = '${secret}' WHERE key = 1`,
      `UPDATE versions SET data = '[{"op":"replace","path":"/count","value":"${secret}"}]' WHERE version = 2`,
      'PRAGMA wal_checkpoint(TRUNCATE)',
    );
    const folder = dirname(path);
    const bytes = () =>
      readdirSync(folder)
        .map((name) => readFileSync(join(folder, name), 'latin1'))
        .join();
    expect(bytes()).toContain(secret);
    const store = new SqliteSessionStore({ path });
    expect(await store.delete(secret)).toBe(true);
    expect(bytes()).not.toContain(secret);
    await store.close();
  });
});
