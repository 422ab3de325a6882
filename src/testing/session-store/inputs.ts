/** Cases: an input that carries an id is recorded once. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { AcceptedInput } from '../../session/store.js';
import { create, hold, mustLoad, refused, type StoreCase } from './case.js';

const id = 'session';
const first: AcceptedInput = { id: 'i', run: 'run-1', turn: 1, attempt: 1, done: false, input: { text: 'hello' } };
const withoutInput = { id: 'i', run: 'run-1', turn: 1, attempt: 1 };

/** `accept` and `pending`. */
export const inputCases: readonly StoreCase[] = [
  {
    name: 'an input is recorded, and its id answered with the record from then on',
    async run({ store }) {
      const lease = await create(store, id);
      assert.deepEqual(await store.accept(lease, first), first);
      const again = { ...first, run: 'run-9', turn: 9, input: { text: 'another' } };
      assert.deepEqual(await store.accept(lease, again), first);
      assert.deepEqual((await mustLoad(store, id)).pending, [first]);
    },
  },
  {
    name: 'an input that is done is no longer pending, but its id is still known',
    async run({ store }) {
      const lease = await create(store, id);
      await store.accept(lease, first);
      assert.deepEqual(await store.accept(lease, { ...first, done: true }), { ...withoutInput, done: true });
      assert.deepEqual((await mustLoad(store, id)).pending, []);
      for (const late of [first, { ...first, attempt: 2 }, { ...first, attempt: 2, done: true }]) {
        assert.deepEqual(await store.accept(lease, late), { ...withoutInput, done: true });
      }
    },
  },
  {
    name: 'an input may be done at once',
    async run({ store }) {
      const lease = await create(store, id);
      await store.accept(lease, { ...withoutInput, done: true });
      assert.deepEqual(await store.accept(lease, first), { ...withoutInput, done: true });
      assert.deepEqual((await mustLoad(store, id)).pending, []);
    },
  },
  {
    name: 'a higher attempt takes the place of a lower one, and not the other way round',
    async run({ store }) {
      const lease = await create(store, id);
      const second = { ...first, run: 'run-2', turn: 4, attempt: 2 };
      await store.accept(lease, first);
      assert.deepEqual(await store.accept(lease, second), second);
      assert.deepEqual(await store.accept(lease, first), second);
      assert.deepEqual(await store.accept(lease, { ...first, done: true }), second);
      assert.deepEqual((await mustLoad(store, id)).pending, [second]);
      const third = { ...withoutInput, attempt: 3, done: true };
      assert.deepEqual(await store.accept(lease, third), third);
      assert.deepEqual((await mustLoad(store, id)).pending, []);
    },
  },
  {
    name: 'an input may be accepted before the first version',
    async run({ store }) {
      await store.accept(await hold(store, id), first);
      const lease = await create(store, id);
      assert.deepEqual((await mustLoad(store, id)).pending, [first]);
      assert.deepEqual(await store.accept(lease, { ...first, turn: 9 }), first);
    },
  },
  {
    name: 'an input of a session that was never saved is forgotten with its release',
    async run({ store }) {
      const lease = await hold(store, id);
      await store.accept(lease, first);
      await store.release(lease);
      const fresh = { ...first, run: 'run-2', turn: 2 };
      assert.deepEqual(await store.accept(await create(store, id), fresh), fresh);
      assert.deepEqual((await mustLoad(store, id)).pending, [fresh]);
    },
  },
  {
    name: 'pending inputs come in the order they were first accepted',
    async run({ store }) {
      const lease = await create(store, id);
      const names = ['z', 'a', '10', '9', '', '__proto__', 'm'];
      for (const name of names) await store.accept(lease, { ...first, id: name });
      await store.accept(lease, { ...first, id: 'z', attempt: 2 });
      await store.accept(lease, { ...first, id: '10', done: true });
      const { pending } = await mustLoad(store, id);
      assert.deepEqual(
        pending.map((input) => [input.id, input.attempt]),
        [
          ['z', 2],
          ['a', 1],
          ['9', 1],
          ['', 1],
          ['__proto__', 1],
          ['m', 1],
        ],
      );
    },
  },
  {
    name: 'any JSON may be an input, and an input may be absent',
    async run({ store }) {
      const lease = await create(store, id);
      const values = [null, '', 0, false, [], {}, 'null', '\ud800', { deep: [[{ text: '\0' }]] }];
      for (const [index, value] of values.entries())
        await store.accept(lease, { ...first, id: `${index}`, input: value });
      await store.accept(lease, { ...withoutInput, id: 'none', done: false });
      const { pending } = await mustLoad(store, id);
      assert.deepEqual(
        pending.slice(0, -1).map(({ input }) => input),
        values,
      );
      assert.deepEqual(pending.at(-1), { ...withoutInput, id: 'none', done: false });
    },
  },
  {
    name: 'an input belongs to its session and outlives the lease and later versions',
    async run({ store }) {
      const lease = await create(store, id);
      await store.accept(lease, first);
      await create(store, 'another');
      assert.deepEqual((await mustLoad(store, 'another')).pending, []);
      await store.save(lease, { expectedVersion: 1, change: { kind: 'checkpoint', record: {} }, keepVersions: 1 });
      await store.release(lease);
      assert.deepEqual(await store.accept(await hold(store, id, 'run-2'), { ...first, run: 'run-2' }), first);
      await store.acquire(id, { owner: 'run-3', ttlMs: 60_000, takeover: true });
      assert.deepEqual((await mustLoad(store, id)).pending, [first]);
    },
  },
  {
    name: 'an input is pending whichever version is loaded',
    async run({ store }) {
      const lease = await create(store, id);
      await store.save(lease, { expectedVersion: 1, change: { kind: 'checkpoint', record: {} } });
      await store.accept(lease, first);
      for (const version of [1, 2]) assert.deepEqual((await mustLoad(store, id, version)).pending, [first]);
    },
  },
  {
    name: 'an input of many at once with one id is recorded once',
    async run({ store }) {
      const lease = await create(store, id);
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, turn) => store.accept(lease, { ...first, turn })),
      );
      assert.equal(new Set(answers.map(({ turn }) => turn)).size, 1);
      assert.deepEqual((await mustLoad(store, id)).pending, answers.slice(0, 1));
    },
  },
  {
    name: 'an input whose turn or attempt is no count is refused',
    async run({ store }) {
      const lease = await create(store, id);
      for (const bad of [{ attempt: 0 }, { attempt: 1.5 }, { turn: -1 }, { turn: Number.NaN }]) {
        await refused(store.accept(lease, { ...first, ...bad }), 'INVALID_VALUE', inspect(bad));
      }
      assert.deepEqual((await mustLoad(store, id)).pending, []);
    },
  },
];
