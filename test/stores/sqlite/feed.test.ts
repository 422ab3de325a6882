import { existsSync, readFileSync } from 'node:fs';
import Libsql from 'libsql';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { SessionLease } from '../../../src/session/store.js';
import { type SqliteDatabase, SqliteSessionStore } from '../../../src/stores/sqlite.js';
import {
  create,
  hold,
  letShortLeasesExpire,
  refused,
  shortLeaseMs,
  whole,
} from '../../../src/testing/session-store/case.js';
import { clients, freshPath, sql } from '../../support/sqlite-clients.js';

const id = 'session';
const keep = 9;
const ttlMs = 60_000;

async function say(store: SqliteSessionStore, lease: SessionLease, start: number, ...entries: unknown[]) {
  await store.feed.append(lease, { start, entries, keep, ttlMs });
}

describe('what is appended', () => {
  test.each(Object.entries(clients))('%s: is not flushed by itself, and all else still is', async (_name, Client) => {
    if (Client === undefined) return;
    const database = new Client(freshPath());
    const store = new SqliteSessionStore({ database });
    const lease = await create(store, id);
    /** How the commits of some work were flushed: 1 is NORMAL, 2 is FULL. */
    const commitsOf = async (work: () => Promise<unknown>) => {
      const levels: unknown[] = [];
      const exec = vi.spyOn(database, 'exec').mockImplementation(function (this: typeof database, text: string) {
        if (text === 'COMMIT') levels.push(Object.values(database.prepare('PRAGMA synchronous').get() as object)[0]);
        return Client.prototype.exec.call(this, text);
      });
      await work();
      exec.mockRestore();
      return levels;
    };
    expect(await commitsOf(() => say(store, lease, 0, 'a'))).toEqual([1]);
    expect(await commitsOf(() => say(store, lease, 1, 'b'))).toEqual([1]);
    expect(await commitsOf(() => store.save(lease, { expectedVersion: 1, change: whole({}) }))).toEqual([2]);
    expect(await commitsOf(() => store.feed.requestAbort(id, lease.owner, 'x'))).toEqual([1]);
    expect(await commitsOf(() => store.renew(lease, ttlMs))).toEqual([2]);
    expect(await commitsOf(() => say(store, lease, 2, 'c'))).toEqual([1]);
    expect(await commitsOf(() => store.release(lease))).toEqual([2]);
    database.close();
  });

  test('is one row, and rows are dropped that are too old as a whole', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    const lease = await create(store, id);
    for (let start = 0; start < 100; start += 4) await say(store, lease, start, ...[0, 1, 2, 3].map((n) => start + n));
    expect(sql(path, 'SELECT start, data FROM feed_entries ORDER BY start')).toEqual([
      { start: 88, data: '[88,89,90,91]' },
      { start: 92, data: '[92,93,94,95]' },
      { start: 96, data: '[96,97,98,99]' },
    ]);
    await store.close();
  });

  test.each([
    ['saved', create],
    ['only held', hold],
  ])('leaves no byte when its session, which was %s, is deleted', async (_, begin) => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    const secret = 'the secret of the session';
    const lease = await begin(store, id);
    await say(store, lease, 0, secret.repeat(1_000));
    await store.feed.requestAbort(id, lease.owner, secret);
    const bytes = () =>
      [path, `${path}-wal`]
        .filter(existsSync)
        .map((file) => readFileSync(file, 'latin1'))
        .join();
    expect(bytes()).toContain(secret);
    await store.delete(id);
    expect(bytes()).not.toContain(secret);
    await store.close();
  });

  test('is removed when it has expired and another run begins to speak, unless its run goes on', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    for (const name of ['over', 'goes on', 'expired too']) {
      const lease = await create(store, name);
      await say(store, lease, 0, name);
      if (name !== 'goes on') await store.release(lease);
    }
    sql(path, 'UPDATE feeds SET kept_until = 0', 'SELECT 1');
    const left = () =>
      sql(path, 'SELECT id FROM feeds JOIN sessions ON session = key ORDER BY id').map((row) => row.id);
    expect(left()).toEqual(['expired too', 'goes on', 'over']);
    await say(store, await create(store, 'new'), 0, 'x');
    expect(left()).toEqual(['goes on', 'new']);
    expect(sql(path, 'SELECT count(*) AS n FROM feed_entries')).toEqual([{ n: 2 }]);
    expect((await store.feed.read('goes on', { from: 0, limit: 9 }))?.entries).toEqual(['goes on']);
    // One that is looked at in vain does not stand in the way of others for ever.
    expect(
      sql(path, "SELECT kept_until > unixepoch() * 1000 + 1000 AS later FROM feeds WHERE run = 'run-1' LIMIT 1"),
    ).toEqual([{ later: 1 }]);
    await store.close();
  });

  test('and cannot be read back is told as such', async () => {
    const path = freshPath();
    const store = new SqliteSessionStore({ path });
    await say(store, await create(store, id), 0, 'a');
    for (const data of ['[1', '7']) {
      sql(path, `UPDATE feed_entries SET data = '${data}'`, 'SELECT 1');
      await refused(store.feed.read(id, { from: 0, limit: 9 }), 'STORE_CORRUPT');
    }
    await store.close();
  });
});

describe('looking after other processes', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  /** A store whose looks at the database are counted. */
  async function counted() {
    const inner: SqliteDatabase = new Libsql(freshPath());
    let looks = 0;
    let isBroken = false;
    const database: SqliteDatabase = {
      exec: (text) => inner.exec(text),
      prepare(text) {
        const statement = inner.prepare(text);
        if (!text.includes('data_version')) return statement;
        const get = () => {
          looks += 1;
          if (isBroken) throw new TypeError('the disk is gone');
          return statement.get();
        };
        return { get, all: () => [], run: () => ({ changes: 0 }) };
      },
    };
    const breakIt = () => {
      isBroken = true;
    };
    const store = new SqliteSessionStore({ database });
    const lease = await create(store, id);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const looksIn = async (ms: number) => {
      looks = 0;
      await vi.advanceTimersByTimeAsync(ms);
      return looks;
    };
    return { store, lease, looksIn, breakIt };
  }

  test('is done while somebody waits, and by one timer for all', async () => {
    const { store, lease, looksIn } = await counted();
    expect(await looksIn(1_000)).toBe(0);
    const listener = { onAbortRequested: () => {}, onDeaf: () => {} };
    const stops = [lease, { ...lease, fence: 99 }].map((one) => store.feed.listenForAbort(one, listener));
    const leaving = new AbortController();
    const waits = [1, 2, 3].map((end) => store.feed.whenGrown(id, 'run-1', end, leaving.signal));
    for (const wait of waits) wait.catch(() => {});
    await looksIn(100);
    expect(vi.getTimerCount()).toBe(1);
    expect(await looksIn(1_000)).toBe(50);
    leaving.abort();
    expect(await looksIn(1_000)).toBe(50);
    for (const stop of stops) stop();
    expect(vi.getTimerCount()).toBe(0);
    expect(await looksIn(1_000)).toBe(0);
  });

  test('is not waited for where the change is made in this process', async () => {
    const { store, lease } = await counted();
    const told = new Promise((resolve) => {
      store.feed.listenForAbort(lease, { onAbortRequested: resolve, onDeaf: () => {} });
    });
    const { signal } = new AbortController();
    const grown = store.feed.whenGrown(id, 'run-1', 0, signal);
    await say(store, lease, 0, 'a');
    await grown;
    await store.forTenant('x').delete(id);
    await store.feed.requestAbort(id, 'run-1', 'enough');
    expect(await told).toBe('enough');
    const over = store.feed.whenGrown(id, 'run-1', 1, signal);
    await store.release(lease);
    await over;
  });

  test.each([
    ['closed', (store: SqliteSessionStore) => store.close()],
    ['broken', (_store: SqliteSessionStore, breakIt: () => void) => breakIt()],
  ])('ends with an error when the database is %s', async (_how, end) => {
    const { store, lease, looksIn, breakIt } = await counted();
    const errors: unknown[] = [];
    const stop = store.feed.listenForAbort(lease, {
      onAbortRequested: () => {},
      onDeaf: (error) => errors.push(error),
    });
    const wait = store.feed.whenGrown(id, 'run-1', 0, new AbortController().signal);
    wait.catch((error: unknown) => errors.push(error));
    await looksIn(100);
    await end(store, breakIt);
    await looksIn(100);
    expect(errors).toMatchObject([{ code: 'STORE_FAILED' }, { code: 'STORE_FAILED' }]);
    stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('tells nobody whose lease fits in its number only', async () => {
    const { store, lease } = await counted();
    const told: string[] = [];
    const forgeries = [
      { ...lease, owner: 'run-2' },
      { ...lease, sessionId: 'another' },
    ];
    const listener = { onAbortRequested: (reason: string) => void told.push(reason), onDeaf: () => {} };
    for (const forgery of forgeries) store.feed.listenForAbort(forgery, listener);
    store.forTenant('a').feed?.listenForAbort(lease, listener);
    const heard = new Promise((resolve) => {
      store.feed.listenForAbort(lease, { onAbortRequested: resolve, onDeaf: () => {} });
    });
    await store.feed.requestAbort(id, 'run-1', 'enough');
    expect(await heard).toBe('enough');
    expect(told).toEqual([]);
  });
});

test('a run that was asked to end under a lease that has expired is told when it is held again', async () => {
  const store = new SqliteSessionStore({ path: freshPath() });
  await store.release(await create(store, id));
  const first = await hold(store, id);
  expect(await store.feed.requestAbort(id, first.owner, 'enough')).toBe(true);
  await store.renew(first, shortLeaseMs);
  await letShortLeasesExpire({ store });
  const again = await hold(store, id);
  const told = new Promise((resolve) => {
    store.feed.listenForAbort(again, { onAbortRequested: resolve, onDeaf: () => {} });
  });
  expect(await told).toBe('enough');
  await store.close();
});
