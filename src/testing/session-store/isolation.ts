/** Cases: a store shares no value with anybody, and no session between tenants. */
import assert from 'node:assert/strict';
import type { PatchOperation } from '../../internal/patch.js';
import type { SessionStore } from '../../session/store.js';
import { allIds, create, hold, mustLoad, newestRecord, patch, refused, type StoreCase, whole } from './case.js';

const id = 'session';
const ttlMs = 60_000;

/** Aliasing, and `forTenant`. */
export const isolationCases: readonly StoreCase[] = [
  { name: 'what is done to a value after it was given is not seen', run: ({ store }) => givenValuesAreIsolated(store) },
  {
    name: 'what is done to a value that was handed out is not seen',
    run: ({ store }) => handedOutValuesAreIsolated(store),
  },
  {
    name: 'a tenant sees only its own sessions',
    async run({ store }) {
      const [a, b] = [store.forTenant('a'), store.forTenant('b')];
      const stores = { none: store, a, b };
      for (const [name, scope] of Object.entries(stores)) await create(scope, id, { of: name });
      for (const [name, scope] of Object.entries(stores)) {
        await create(scope, `only ${name}`);
        assert.deepEqual(await newestRecord(scope, id), { of: name });
        assert.deepEqual(await allIds(scope), [id, `only ${name}`]);
      }
      assert.equal(await b.load('only a'), undefined);
      assert.equal(await store.load('only a'), undefined);
      assert.equal(await a.load('only none'), undefined);
    },
  },
  {
    name: 'a tenant neither deletes nor holds what is not its own',
    async run({ store }) {
      const [a, b] = [store.forTenant('a'), store.forTenant('b')];
      await create(a, id);
      for (const other of [b, store]) {
        assert.equal(await other.delete(id), false);
        const lease = await other.acquire(id, { owner: 'run-2', ttlMs });
        assert.ok(lease, 'a lease in one tenant must not bar another');
        await other.release(lease);
      }
      assert.equal((await mustLoad(a, id)).head, 1);
      assert.equal(await a.acquire(id, { owner: 'run-2', ttlMs }), undefined);
    },
  },
  {
    name: 'a lease of one tenant is none in another',
    async run({ store }) {
      const [a, b] = [store.forTenant('a'), store.forTenant('b')];
      const lease = await create(a, id);
      await create(b, id);
      for (const other of [b, store]) {
        await refused(other.save(lease, { expectedVersion: 1, change: whole({ stolen: true }) }), 'LEASE_LOST');
        await refused(other.accept(lease, { id: 'i', run: 'r', turn: 1, attempt: 1, done: false }), 'LEASE_LOST');
        assert.equal(await other.renew(lease, ttlMs), false);
        await other.release(lease);
      }
      assert.deepEqual(await newestRecord(b, id), { count: 0 });
      assert.equal(await a.renew(lease, ttlMs), true);
    },
  },
  {
    name: 'a tenant is the same tenant every time',
    async run({ store }) {
      const lease = await create(store.forTenant('a'), id);
      await store
        .forTenant('a')
        .save(lease, { expectedVersion: 1, change: patch({ op: 'replace', path: '/count', value: 1 }) });
      assert.deepEqual(await newestRecord(store.forTenant('a'), id), { count: 1 });
    },
  },
  {
    name: 'a tenant of a tenant is within it, and no way out of it',
    async run({ store }) {
      const scopes = {
        none: store,
        a: store.forTenant('a'),
        b: store.forTenant('b'),
        ab: store.forTenant('a').forTenant('b'),
        ba: store.forTenant('b').forTenant('a'),
        joined: store.forTenant('a/b'),
        list: store.forTenant('["a","b"]'),
        empty: store.forTenant(''),
        emptyTwice: store.forTenant('').forTenant(''),
      };
      for (const [name, scope] of Object.entries(scopes)) await create(scope, id, { of: name });
      for (const [name, scope] of Object.entries(scopes)) {
        assert.deepEqual(await newestRecord(scope, id), { of: name });
        assert.deepEqual(await allIds(scope), [id]);
      }
    },
  },
];

async function givenValuesAreIsolated(store: SessionStore): Promise<void> {
  const lease = { ...(await hold(store, id)) };
  const record = { list: [{ text: 'given' }] };
  const parent = { sessionId: 'parent', version: 1 };
  const first = { expectedVersion: 0, change: whole(record), parent };
  const saving = store.save(lease, first);
  // Before the store has had a turn of its own, and after.
  Object.assign(parent, { sessionId: 'changed' });
  Object.assign(first, { expectedVersion: 9 });
  record.list.push({ text: 'changed' });
  await saving;
  Object.assign(record.list[0] ?? {}, { text: 'changed' });

  const operation = { op: 'add' as const, path: '/list/-', value: { text: 'second' } };
  const operations: PatchOperation[] = [operation];
  const patching = store.save(lease, { expectedVersion: 1, change: patch(...operations) });
  operation.value.text = 'changed';
  await patching;

  const input = { id: 'i', run: 'r', turn: 1, attempt: 1, done: false, input: { text: 'given' } };
  const accepting = store.accept(lease, input);
  input.input.text = 'changed';
  input.run = 'changed';
  await accepting;

  const stored = await mustLoad(store, id);
  assert.deepEqual(await newestRecord(store, id), { list: [{ text: 'given' }, { text: 'second' }] });
  assert.deepEqual(stored.parent, { sessionId: 'parent', version: 1 });
  assert.deepEqual(stored.pending, [{ id: 'i', run: 'r', turn: 1, attempt: 1, done: false, input: { text: 'given' } }]);
}

async function handedOutValuesAreIsolated(store: SessionStore): Promise<void> {
  const lease = await hold(store, id);
  const parent = { sessionId: 'parent', version: 1 };
  await store.save(lease, { expectedVersion: 0, change: whole({ list: [{ text: 'one' }] }), parent });
  await store.save(lease, {
    expectedVersion: 1,
    change: patch({ op: 'add', path: '/list/-', value: { text: 'two' } }),
  });
  const input = { id: 'i', run: 'r', turn: 1, attempt: 1, done: false, input: { text: 'given' } };
  const accepted = await store.accept(lease, input);
  const before = structuredClone({ session: await mustLoad(store, id), list: await store.list() });
  scribble(accepted);
  scribble(await mustLoad(store, id));
  scribble(await store.list());
  assert.deepEqual({ session: await mustLoad(store, id), list: await store.list() }, before);
}

/** Changes whatever can be changed. */
function scribble(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    scribble(child);
    if (typeof child !== 'object') Reflect.set(value, key, 'scribbled');
  }
  if (Array.isArray(value)) Reflect.set(value, 'length', 0);
}
