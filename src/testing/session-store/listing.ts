/** Cases: sessions are listed in the order they were created, page by page. */
import assert from 'node:assert/strict';
import type { SessionStore } from '../../session/store.js';
import { allIds, create, hold, mustLoad, patch, refused, type StoreCase, whole } from './case.js';

/** `list`. */
export const listingCases: readonly StoreCase[] = [
  {
    name: 'an empty store lists nothing',
    async run({ store }) {
      assert.deepEqual(await store.list(), { sessions: [] });
    },
  },
  {
    name: 'a line of a listing says what the session says',
    async run({ store }) {
      const lease = await create(store, 'session');
      await store.save(lease, { expectedVersion: 1, change: patch({ op: 'replace', path: '/count', value: 1 }) });
      const { id, head, createdAt, updatedAt } = await mustLoad(store, 'session');
      assert.deepEqual((await store.list()).sessions, [{ id, version: head, createdAt, updatedAt }]);
    },
  },
  {
    name: 'sessions are listed in the order they were created, whoever was held or saved last',
    async run({ store }) {
      const held = await hold(store, 'held first, created last');
      const lease = await create(store, 'm');
      await create(store, 'z');
      await create(store, 'a');
      await store.save(lease, { expectedVersion: 1, change: patch({ op: 'replace', path: '/count', value: 1 }) });
      assert.deepEqual(await allIds(store), ['m', 'z', 'a']);
      await store.save(held, { expectedVersion: 0, change: whole({}) });
      assert.deepEqual(await allIds(store), ['m', 'z', 'a', 'held first, created last']);
    },
  },
  {
    name: 'pages of any size make up the whole, and the last one has no next',
    async run({ store }) {
      const ids = await createMany(store, 7);
      for (const limit of [1, 2, 3, 6, 7, 8, 1_000_000])
        assert.deepEqual(await allIds(store, limit), ids, `pages of ${limit}`);
      assert.equal((await store.list({ limit: 7 })).next, undefined);
      assert.equal((await store.list({ limit: 6 })).sessions.length, 6);
    },
  },
  {
    name: 'a page has a hundred sessions unless told otherwise',
    async run({ store }) {
      const ids = await createMany(store, 101);
      const page = await store.list();
      assert.equal(page.sessions.length, 100);
      assert.ok(page.next, 'expected a `next`, as there is one session more');
      assert.deepEqual(await allIds(store), ids);
    },
  },
  {
    name: 'paging misses nothing and repeats nothing while sessions come and go',
    async run({ store }) {
      const ids = await createMany(store, 12);
      const seen: string[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < 4; page++) {
        const { sessions, next }: Awaited<ReturnType<SessionStore['list']>> = await store.list({
          limit: 3,
          ...(cursor === undefined ? {} : { cursor }),
        });
        seen.push(...sessions.map(({ id }) => id));
        // What was seen, the very session the cursor stands at, and one still to come.
        for (const gone of [ids[page * 3], ids[page * 3 + 2], ids[page * 3 + 4]]) await store.delete(gone ?? '');
        await create(store, `late-${page}`);
        cursor = next;
      }
      const rest = cursor === undefined ? [] : await allIds(store, undefined, cursor);
      const all = [...seen, ...rest];
      assert.equal(new Set(all).size, all.length, 'something was repeated');
      for (const id of await allIds(store)) assert.ok(all.includes(id), `${id} was missed`);
    },
  },
  {
    name: 'a session that was made again is listed where it was made again',
    async run({ store }) {
      await createMany(store, 3);
      const { next } = await store.list({ limit: 2 });
      await store.delete('session-0');
      await store.delete('session-2');
      await create(store, 'session-0');
      assert.deepEqual(await allIds(store), ['session-1', 'session-0']);
      assert.deepEqual(await allIds(store, undefined, next), ['session-0']);
    },
  },
  {
    name: 'a cursor that no page gave is refused',
    async run({ store }) {
      await createMany(store, 3);
      for (const cursor of [
        '',
        '-1',
        '1.5',
        'NaN',
        ' 1',
        'not a cursor',
        '\0',
        "' OR 1=1 --",
        '__proto__',
        '../x',
        'z'.repeat(100_000),
        '\ud800',
        '१',
      ]) {
        await refused(store.list({ cursor }), 'INVALID_VALUE', `the cursor ${JSON.stringify(cursor).slice(0, 50)}`);
      }
    },
  },
  {
    name: 'a page size that is no count is refused',
    async run({ store }) {
      for (const limit of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
        await refused(store.list({ limit }), 'INVALID_VALUE', `a page of ${limit}`);
    },
  },
];

async function createMany(store: SessionStore, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => `session-${index}`);
  for (const id of ids) await create(store, id);
  return ids;
}
