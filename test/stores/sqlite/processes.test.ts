import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SqliteSessionStore } from '../../../src/stores/sqlite.js';
import { create, hold, mustLoad, newestRecord, recordOf } from '../../../src/testing/session-store/case.js';
import { SqliteChild } from '../../support/sqlite-children.js';
import { freshPath, sql } from '../../support/sqlite-clients.js';

/** Every version up to the head says what it must; answers the head. */
async function headOfLog(path: string): Promise<number> {
  const store = new SqliteSessionStore({ path });
  const { head } = await mustLoad(store, 'session');
  for (const version of new Set([1, Math.ceil(head / 2), head - 1, head])) {
    if (version < 1) continue;
    const { log } = recordOf(await mustLoad(store, 'session', version)) as { log: { version: number; text: string }[] };
    expect(log.map((line) => line.version)).toEqual(Array.from({ length: version }, (_, index) => index + 1));
    expect(log.every((line) => line.text.length === (line.version * 37) % 3_000)).toBe(true);
  }
  await store.close();
  return head;
}

describe('several processes on one file', () => {
  test('a race of savers with one lease loses nothing', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    const lease = JSON.stringify(await create(store, 'session'));
    const children = Array.from({ length: 3 }, () => new SqliteChild(path, 'count with', lease, '60'));
    for (const child of children) expect(await child.lines()).toHaveLength(60);
    expect(await newestRecord(store, 'session')).toEqual({ count: 180 });
    expect((await mustLoad(store, 'session')).head).toBe(181);
    await store.close();
  });

  test('processes that open a new file together take turns with the lease', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    await store.release(await create(store, 'session'));
    const children = ['a', 'b', 'c'].map((owner) => new SqliteChild(path, 'count in turn', 'session', owner, '30'));
    const counts = (await Promise.all(children.map((child) => child.lines()))).flat().map(Number);
    expect(counts.sort((one, other) => one - other)).toEqual(Array.from({ length: 90 }, (_, index) => index + 1));
    await store.close();
  });

  test('a lease held in one process is refused in another', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    const lease = await hold(store, 'session');
    expect(await new SqliteChild(path, 'acquire', 'session', 'run-2').lines()).toEqual(['refused']);
    await store.release(lease);
    expect(await new SqliteChild(path, 'acquire', 'session', 'run-2').lines()).toEqual(['held']);
    await store.close();
  });

  test('a file that nobody has opened yet can be opened by many at once', async () => {
    const path = freshPath();
    const children = Array.from(
      { length: 4 },
      (_, index) => new SqliteChild(path, 'acquire', 'session', `run-${index}`),
    );
    const answers = (await Promise.all(children.map((child) => child.lines()))).flat();
    expect(answers.sort()).toEqual(['held', 'refused', 'refused', 'refused']);
  });
});

describe('kill -9', () => {
  test('every save that was answered is there afterwards, round after round', async () => {
    const path = freshPath();
    for (const lines of [1, 40, 230]) {
      const answered = await new SqliteChild(path, 'save forever', 'session', `run-${lines}`).killAfter(lines);
      expect(sql(path, 'PRAGMA integrity_check')).toMatchObject([{ integrity_check: 'ok' }]);
      expect(await headOfLog(path)).toBeGreaterThanOrEqual(Number(answered.at(-1)));
    }
  });

  test.each([
    ['cut off', (log: string, size: number) => truncateSync(log, size - 1_000)],
    ['garbage', (log: string, size: number) => writeFileSync(log, readFileSync(log).fill(0xa5, size - 2_000))],
    ['longer than it should be', (log: string) => writeFileSync(log, Buffer.alloc(1_500, 0x5a), { flag: 'a' })],
  ])('the end of the log is torn (%s): only the last saves are dropped', async (_how, tear) => {
    const path = freshPath();
    await new SqliteChild(path, 'save forever', 'session', 'run-1').killAfter(60);
    const log = `${path}-wal`;
    expect(existsSync(log)).toBe(true);
    const whole = readFileSync(log).length;
    tear(log, whole);
    const head = await headOfLog(path);
    expect(sql(path, 'PRAGMA integrity_check')).toMatchObject([{ integrity_check: 'ok' }]);
    expect(head).toBeGreaterThanOrEqual(50);
    const next = await new SqliteChild(path, 'save forever', 'session', 'run-2').killAfter(5);
    expect(Number(next[0])).toBe(head + 1);
  });
});
