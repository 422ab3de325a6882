/** Cases: any text may be an id, a tenant or an owner, and any JSON a record. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { SessionStore } from '../../session/store.js';
import { allIds, create, hold, mustLoad, newestRecord, patch, refused, type StoreCase, whole } from './case.js';

const ttlMs = 60_000;

/** Texts that some store, somewhere, would take for one another, for a path or for a query. */
export const hostileTexts: readonly string[] = [
  ...['', ' ', '.', '..', '/', '../../etc/passwd', 'C:\\Windows', 'a/b', 'a:b', '%2e%2e', '%00', '\n'],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'null', 'undefined', '0', '1e3'],
  ...["'; DROP TABLE sessions; --", '" OR ""="', '?', '$1', '%', '_', '*', '[]', '["a"]', '{}'],
  ...['\0', 'a', 'a\0', 'a\0b', '\\u0000', '\\0', '\\', '"'],
  ...['\ud800', '\udfff', '\udfff\ud800', '\ufffd', '\\ud800', '\ud83d\ude00', '\u2028', '\u202e'],
  ...['caf\u00e9', 'cafe\u0301', 'A', '\u212b', '\u00c5', 'ss', '\u00df', 'i', 'I', '\u0131'],
  ...['x'.repeat(1_000_000), `${'x'.repeat(999_999)}y`],
];

/** JSON that some store, somewhere, would give back changed. */
export const hostileRecord: unknown = JSON.parse(
  '{"__proto__":{"polluted":true},"constructor":null,"":"","a/b~c":[0,-1.5e-7,1e21,true,null,""],"toJSON":"x",' +
    '"text":"\\u0000\\ud800 \\udfff \\u2028 é e\\u0301 😀 \\" \\\\ \'; --","deep":[[[[{"x":[]}]]]]}',
);

/** Texts and values from outside. */
export const hostileCases: readonly StoreCase[] = [
  {
    name: 'any text is an id of its own',
    async run({ store }) {
      for (const [index, id] of hostileTexts.entries()) await store.release(await create(store, id, { index }));
      for (const [index, id] of hostileTexts.entries()) {
        const stored = await mustLoad(store, id);
        assert.ok(
          stored.id === id && (stored.checkpoint as { index: number }).index === index,
          `id ${index} was mixed up`,
        );
      }
      const listed = await allIds(store, 7);
      assert.ok(
        listed.length === hostileTexts.length && listed.every((id, index) => id === hostileTexts[index]),
        'the listing differs',
      );
      const [gone, ...rest] = hostileTexts;
      assert.equal(await store.delete(gone ?? ''), true);
      for (const id of rest) assert.ok(await store.load(id), 'one deletion took another session with it');
    },
  },
  {
    name: 'any text is a tenant of its own',
    async run({ store }) {
      for (const [index, tenant] of hostileTexts.entries()) await create(store.forTenant(tenant), 'session', { index });
      for (const [index, tenant] of hostileTexts.entries()) {
        assert.deepEqual(await newestRecord(store.forTenant(tenant), 'session'), { index });
        assert.deepEqual(await allIds(store.forTenant(tenant)), ['session']);
      }
      assert.equal(await store.load('session'), undefined);
    },
  },
  {
    name: 'any text is an owner of its own',
    async run({ store }) {
      for (const [index, owner] of hostileTexts.entries()) {
        const lease = await hold(store, 'session', owner);
        const other = hostileTexts[(index + 1) % hostileTexts.length] ?? '';
        assert.equal(await store.acquire('session', { owner: other, ttlMs }), undefined, `owner ${index}`);
        assert.equal(await store.renew({ ...lease, owner: other }, ttlMs), false);
        await store.release(lease);
      }
    },
  },
  {
    name: 'any text is an input id of its own',
    async run({ store }) {
      const lease = await create(store, 'session');
      const inputs = hostileTexts.map((text, turn) => ({ id: text, run: text, turn, attempt: 1, done: false }));
      for (const input of inputs) await store.accept(lease, input);
      const { pending } = await mustLoad(store, 'session');
      assert.equal(pending.length, inputs.length);
      for (const [index, input] of inputs.entries()) {
        assert.ok(pending[index]?.id === input.id && pending[index]?.run === input.run, `input ${index} was mixed up`);
      }
    },
  },
  {
    name: 'what is no text is no id, no owner and no tenant: it is refused, and taken for none that there is',
    async run({ store }) {
      for (const id of ['2', '23', '', 'null', 'undefined', 'a']) await create(store, id);
      for (const given of [undefined, null, 2, 123, true, ['a'], {}]) {
        const id = given as never;
        const what = inspect(given);
        await refused(store.load(id), 'INVALID_VALUE', `loading ${what}`);
        await refused(store.delete(id), 'INVALID_VALUE', `deleting ${what}`);
        await refused(store.acquire(id, { owner: 'run-2', ttlMs, takeover: true }), 'INVALID_VALUE', `taking ${what}`);
        await refused(store.acquire('2', { owner: id, ttlMs, takeover: true }), 'INVALID_VALUE', `the owner ${what}`);
        await refused(
          store.accept(await hold(store, 'a'), { id, run: 'run-1', turn: 1, attempt: 1, done: false }),
          'INVALID_VALUE',
          `the input id ${what}`,
        );
        await refused((async () => store.forTenant(id))(), 'INVALID_VALUE', `the tenant ${what}`);
      }
      assert.deepEqual(await allIds(store), ['2', '23', '', 'null', 'undefined', 'a']);
    },
  },
  {
    name: 'any JSON is a record, and comes back as it was',
    async run({ store }) {
      for (const [index, record] of [hostileRecord, null, 0, '', false, [], {}, [hostileRecord], '\ud800'].entries()) {
        const lease = await create(store, `session-${index}`, record);
        assert.deepEqual((await mustLoad(store, `session-${index}`)).checkpoint, record);
        await store.save(lease, {
          expectedVersion: 1,
          change: patch({ op: 'replace', path: '', value: { again: hostileRecord } }),
        });
        assert.deepEqual(await newestRecord(store, `session-${index}`), { again: hostileRecord });
      }
      assert.equal(Reflect.get({}, 'polluted'), undefined);
    },
  },
  {
    name: 'a record of five megabytes comes back as it was',
    async run({ store }) {
      const record = {
        messages: Array.from({ length: 5_000 }, (_, index) => ({ index, text: `${'é😀'.repeat(160)}${index}` })),
      };
      const lease = await create(store, 'session', record);
      const more = patch({ op: 'add', path: '/messages/-', value: { index: -1, text: 'x'.repeat(5_000_000) } });
      await store.save(lease, { expectedVersion: 1, change: more });
      const loaded = (await newestRecord(store, 'session')) as typeof record;
      assert.deepEqual(loaded.messages.slice(0, -1), record.messages);
      assert.equal(loaded.messages.at(-1)?.text.length, 5_000_000);
    },
  },
  { name: 'what is not JSON is refused and writes nothing', run: ({ store }) => onlyJsonIsKept(store) },
];

async function onlyJsonIsKept(store: SessionStore): Promise<void> {
  const lease = await create(store, 'session');
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  for (const value of [cycle, 1n, undefined, () => {}]) {
    await refused(store.save(lease, { expectedVersion: 1, change: whole(value) }), 'INVALID_VALUE', inspect(value));
  }
  for (const value of [cycle, 1n]) {
    await refused(
      store.save(lease, { expectedVersion: 1, change: patch({ op: 'add', path: '/x', value }) }),
      'INVALID_VALUE',
      `${inspect(value)} in a patch`,
    );
    await refused(
      store.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false, input: value }),
      'INVALID_VALUE',
      `${inspect(value)} as an input`,
    );
  }
  const { head, pending } = await mustLoad(store, 'session');
  assert.deepEqual({ head, pending }, { head: 1, pending: [] });
}
