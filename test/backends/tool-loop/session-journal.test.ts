import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryToolJournal, sessionToolJournal, type ToolJournal } from '../../../src/backends/tool-loop.js';
import type { ToolUse } from '../../../src/providers/provider.js';
import { MemorySessionStore } from '../../../src/stores/memory.js';
import { SqliteSessionStore } from '../../../src/stores/sqlite.js';
import { freshPath } from '../../support/sqlite-clients.js';
import { errorOf } from '../../support/waiting.js';

const use = (id: string, input: unknown = {}): ToolUse => ({ id, name: 'f', input });
const result = (toolUseId: string, text = 'ok') => ({ toolUseId, name: 'f', text, isError: false });
const s = 'session';

const journals: Record<string, () => ToolJournal> = {
  'in memory': () => new MemoryToolJournal(),
  'in a store': () => sessionToolJournal(new MemorySessionStore()),
};

describe.each(Object.entries(journals))('a journal %s', (_, create) => {
  test('lets one asker run a call, and tells all others what became of it', async () => {
    const journal = create();
    expect(await journal.begin(s, use('a'))).toEqual({ isFirst: true });
    expect(await journal.begin(s, use('a'))).toEqual({ isFirst: false });
    await journal.record(s, result('a', 'first'));
    await journal.record(s, result('a', 'second'));
    expect(await journal.begin(s, use('a'))).toEqual({ isFirst: false, result: result('a', 'first') });
    expect(await journal.begin('another', use('a'))).toEqual({ isFirst: true });
  });

  test('knows what was handed back and not sent, oldest first', async () => {
    const journal = create();
    await journal.add(s, [use('b', { n: 1 }), use('a')]);
    await journal.add(s, [use('a', 'other'), use('c')]);
    await journal.begin(s, use('a'));
    await journal.sending(s, ['a', 'unknown']);
    await journal.sending(s, ['a']);
    expect(await journal.unsent(s)).toEqual([use('b', { n: 1 }), use('c')]);
    expect(await journal.unsent('another')).toEqual([]);
  });

  test('takes ids as they come', async () => {
    const journal = create();
    const ids = ['', '__proto__', 'constructor', 'a/b~c', '\0', '0', '-', 'é', '👩‍👧'];
    for (const id of ids) expect(await journal.begin(s, use(id))).toEqual({ isFirst: true });
    for (const id of ids) await journal.record(s, result(id, `of ${id}`));
    for (const id of ids) expect(await journal.begin(s, use(id))).toMatchObject({ result: { text: `of ${id}` } });
  });

  test('ignores results of calls it does not know', async () => {
    const journal = create();
    await journal.record(s, result('a'));
    expect(await journal.begin(s, use('a'))).toEqual({ isFirst: true });
  });
});

test('every store fits, and what one process wrote the next one reads', async () => {
  for (const store of [new MemorySessionStore(), new SqliteSessionStore({ path: freshPath() })]) {
    const first = sessionToolJournal(store);
    await first.begin(s, use('a'));
    await first.record(s, result('a'));
    await first.begin(s, use('b'));
    const second = sessionToolJournal(store);
    expect(await second.begin(s, use('a'))).toEqual({ isFirst: false, result: result('a') });
    expect(await second.begin(s, use('b'))).toEqual({ isFirst: false });
    expect(await second.unsent(s)).toEqual([use('a'), use('b')]);
  }
});

test('of many processes that would run a call, one does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 2, maxLength: 12 }), async (ids) => {
      const store = new MemorySessionStore();
      const begun = await Promise.all(
        ids.map(async (id) => ({ id, ...(await sessionToolJournal(store).begin(s, use(id))) })),
      );
      for (const id of new Set(ids)) expect(begun.filter((one) => one.id === id && one.isFirst)).toHaveLength(1);
    }),
    { numRuns: 30 },
  );
});

test('a store that fails is told, and asked again the next time', async () => {
  const store = new MemorySessionStore();
  let isBroken = true;
  const journal = sessionToolJournal({
    acquire: (id, options) => store.acquire(id, options),
    release: (lease) => store.release(lease),
    load: (id) => store.load(id),
    async save(lease, save) {
      if (isBroken) throw new TypeError('disk full');
      return store.save(lease, save);
    },
  });
  expect(await errorOf(journal.begin(s, use('a')))).toMatchObject({ message: 'disk full' });
  isBroken = false;
  expect(await journal.begin(s, use('a'))).toEqual({ isFirst: true });
});

test('the calls of a session are forgotten with it', async () => {
  const store = new MemorySessionStore();
  await sessionToolJournal(store, { prefix: 'calls/' }).begin(s, use('a'));
  expect(await store.delete(`calls/${s}`)).toBe(true);
  expect(await sessionToolJournal(store, { prefix: 'calls/' }).begin(s, use('a'))).toEqual({ isFirst: true });
});
