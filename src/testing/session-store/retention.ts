/** Cases: old versions are dropped, and no version that is kept ever needs one. */
import assert from 'node:assert/strict';
import type { SessionStore } from '../../session/store.js';
import { create, hold, mustLoad, newestRecord, patch, recordOf, type StoreCase, whole } from './case.js';

const id = 'session';

/** `keepVersions`. */
export const retentionCases: readonly StoreCase[] = [
  {
    name: 'without keepVersions every version is kept',
    async run({ store }) {
      await saveSpaced(store, { spacing: 1, saves: 12 });
      for (let version = 1; version <= 12; version++)
        assert.deepEqual(recordOf(await mustLoad(store, id, version)), logTo(version));
    },
  },
  {
    name: 'versions that nothing needs are dropped',
    async run({ store }) {
      await saveSpaced(store, { spacing: 1, saves: 6, keepVersions: 3 });
      for (const version of [1, 2, 3]) assert.equal(await store.load(id, { version }), undefined, `version ${version}`);
      for (const version of [4, 5, 6]) assert.deepEqual(recordOf(await mustLoad(store, id, version)), logTo(version));
    },
  },
  {
    name: 'keepVersions is for one save: the next one without it drops nothing',
    async run({ store }) {
      await saveSpaced(store, { spacing: 1, saves: 6, keepVersions: 3 });
      const lease = await hold(store, id);
      for (const head of [6, 7]) await store.save(lease, { expectedVersion: head, change: whole(logTo(head + 1)) });
      for (let version = 4; version <= 8; version++)
        assert.deepEqual(recordOf(await mustLoad(store, id, version)), logTo(version));
    },
  },
  {
    name: 'the newest keepVersions versions load after every save, however whole records are spaced',
    async run({ store }) {
      for (let keepVersions = 1; keepVersions <= 5; keepVersions++) {
        for (let spacing = 1; spacing <= 6; spacing++) await saveSpaced(store, { spacing, saves: 13, keepVersions });
      }
    },
  },
  {
    name: 'keeping fewer, more, then fewer versions again never breaks the ones that are left',
    async run({ store }) {
      const lease = await create(store, id, logTo(1));
      const keep = [9, 4, 1, 6, 6, 2, 8, 3, 1, 1, 5, 5, 5, 2];
      for (const [index, keepVersions] of keep.entries()) {
        const head = index + 2;
        const change = index % 4 === 3 ? whole(logTo(head)) : addToLog(head);
        await store.save(lease, { expectedVersion: head - 1, change, keepVersions });
        for (let version = 1; version <= head; version++) {
          const stored = await store.load(id, { version });
          if (stored !== undefined) assert.deepEqual(recordOf(stored), logTo(version));
        }
        assert.deepEqual(await newestRecord(store, id), logTo(head));
      }
    },
  },
];

/** A record in which every version has left its mark, so that none can be missing unnoticed. */
function logTo(version: number): { log: number[] } {
  return { log: Array.from({ length: version }, (_, index) => index + 1) };
}

function addToLog(version: number) {
  return patch({ op: 'add', path: '/log/-', value: version });
}

interface Spacing {
  /** A whole record every so many versions. */
  readonly spacing: number;
  readonly saves: number;
  readonly keepVersions?: number;
}

/** Saves a session anew, every version adding its number, and looks at the versions that must be there after every save. */
async function saveSpaced(store: SessionStore, { spacing, saves, keepVersions }: Spacing): Promise<void> {
  await store.delete(id);
  const lease = await create(store, id, logTo(1));
  for (let version = 2; version <= saves; version++) {
    const change = (version - 1) % spacing === 0 ? whole(logTo(version)) : addToLog(version);
    await store.save(lease, {
      expectedVersion: version - 1,
      change,
      ...(keepVersions === undefined ? {} : { keepVersions }),
    });
    for (let kept = Math.max(1, version - (keepVersions ?? 1) + 1); kept <= version; kept++) {
      assert.deepEqual(recordOf(await mustLoad(store, id, kept)), logTo(kept), `version ${kept} of ${version}`);
    }
  }
  await store.release(lease);
}
