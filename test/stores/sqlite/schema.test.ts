import { describe, expect, test } from 'vitest';
import { SqliteSessionStore } from '../../../src/stores/sqlite.js';
import { hold, mustLoad, patch, recordOf } from '../../../src/testing/session-store/case.js';
import { SqliteChild } from '../../support/sqlite-children.js';
import { freshPath, sql } from '../../support/sqlite-clients.js';

/** A file as version 1 of the tables was, with one session of two versions. */
const version1 = [
  'CREATE TABLE counter (last INTEGER NOT NULL) STRICT',
  'INSERT INTO counter VALUES (7)',
  `CREATE TABLE sessions (
    key INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL, place INTEGER, head INTEGER NOT NULL DEFAULT 0,
    checkpoint INTEGER NOT NULL DEFAULT 0, owner TEXT, fence INTEGER NOT NULL, lease_until INTEGER NOT NULL,
    parent_id TEXT, parent_version INTEGER, created_at TEXT, updated_at TEXT, UNIQUE (tenant, id)
  ) STRICT`,
  'CREATE UNIQUE INDEX sessions_in_order ON sessions (tenant, place) WHERE place IS NOT NULL',
  `CREATE TABLE versions (
    session INTEGER NOT NULL, version INTEGER NOT NULL, checkpoint INTEGER NOT NULL, data TEXT NOT NULL,
    UNIQUE (session, version)
  ) STRICT`,
  `CREATE TABLE inputs (
    place INTEGER PRIMARY KEY, session INTEGER NOT NULL, id TEXT NOT NULL, run TEXT NOT NULL, turn INTEGER NOT NULL,
    attempt INTEGER NOT NULL, done INTEGER NOT NULL, input TEXT, UNIQUE (session, id)
  ) STRICT`,
  'CREATE INDEX inputs_pending ON inputs (session) WHERE done = 0',
  `PRAGMA application_id = ${0x67_78_61_73}`,
  'PRAGMA user_version = 1',
  'PRAGMA journal_mode = WAL',
  `INSERT INTO sessions VALUES (1, '[]', 'old', 2, 2, 1, 'run-1', 3, 0, NULL, NULL, '2026-01-01T00:00:00.000Z',
    '2026-01-02T00:00:00.000Z')`,
  `INSERT INTO versions VALUES (1, 1, 1, '{"count":0}'), (1, 2, 1, '[{"op":"replace","path":"/count","value":1}]')`,
  `INSERT INTO inputs VALUES (1, 1, 'input', 'run-1', 1, 1, 0, '"text"')`,
];

function oldFile(): string {
  const path = freshPath();
  sql(path, ...version1, 'SELECT 1');
  return path;
}

/** Every table with its columns, and every index. */
function shapeOf(path: string) {
  const columns = `SELECT t.name AS "table", c.name, c.type, c."notnull", c.dflt_value, c.pk
    FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY t.name, c.cid`;
  const indexes = `SELECT name, tbl_name, replace(sql, ' ', '') AS sql FROM sqlite_schema WHERE type = 'index' ORDER BY name`;
  return [sql(path, columns), sql(path, indexes), sql(path, 'PRAGMA user_version'), sql(path, 'PRAGMA application_id')];
}

describe('a file of version 1', () => {
  test('is brought up to date when it is opened, with all that is in it', async () => {
    const path = oldFile();
    const store = new SqliteSessionStore({ path });
    const old = await mustLoad(store, 'old');
    expect(recordOf(old)).toEqual({ count: 1 });
    expect(old).toMatchObject({ head: 2, createdAt: '2026-01-01T00:00:00.000Z', pending: [{ id: 'input' }] });
    const lease = await hold(store, 'old', 'run-2');
    expect(lease.fence).toBe(8);
    const change = patch({ op: 'replace', path: '/count', value: 2 });
    await store.save(lease, { expectedVersion: 2, change });
    await store.feed.append(lease, { start: 0, entries: ['a'], keep: 9, ttlMs: 60_000 });
    expect(await store.feed.requestAbort('old', 'run-2', 'enough')).toBe(true);
    await store.close();
    const again = new SqliteSessionStore({ path });
    expect(recordOf(await mustLoad(again, 'old'))).toEqual({ count: 2 });
    expect((await again.feed.read('old', { from: 0, limit: 9 }))?.entries).toEqual(['a']);
    await again.close();
  });

  test('is then what a new file is', async () => {
    const [old, fresh] = [oldFile(), freshPath()];
    for (const path of [old, fresh]) {
      const store = new SqliteSessionStore({ path });
      await store.list();
      await store.close();
    }
    expect(shapeOf(old)).toEqual(shapeOf(fresh));
    expect(sql(old, 'PRAGMA integrity_check')).toMatchObject([{ integrity_check: 'ok' }]);
  });

  test('may be opened by several processes at once', async () => {
    const path = oldFile();
    const children = ['a', 'b', 'c'].map((owner) => new SqliteChild(path, 'acquire', 'old', owner));
    const answers = (await Promise.all(children.map((child) => child.lines()))).flat();
    expect(answers.sort()).toEqual(['held', 'refused', 'refused']);
    expect(sql(path, 'PRAGMA user_version')).toMatchObject([{ user_version: 2 }]);
  });
});
