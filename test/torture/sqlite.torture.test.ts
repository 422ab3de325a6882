/** A storm of processes that save to one file and are killed, for as long as `TORTURE_SECONDS` says. */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { create, mustLoad, newestRecord, recordOf } from '../../src/testing/session-store/case.js';
import { SqliteChild } from '../support/sqlite-children.js';
import { freshPath, sql } from '../support/sqlite-clients.js';

const seconds = Number(process.env.TORTURE_SECONDS ?? 60);
/** Short, because the next round's processes must wait for the leases of those that were killed. */
const leaseMs = '200';
/** A log is gone on with for so many rounds, then a new one is begun. */
const roundsPerLog = 4;

test('no answered save is lost while processes are killed and others take over', async () => {
  const path = freshPath();
  const store = new SqliteSessionStore({ path });
  await store.release(await create(store, 'shared'));
  const until = Date.now() + seconds * 1_000;
  let [rounds, counted, logged] = [0, 0, 0];
  while (Date.now() < until) {
    const log = `log-${Math.floor(rounds / roundsPerLog)}`;
    rounds += 1;
    const owners = ['a', 'b', 'c'].map((name) => `${name}-${rounds}`);
    const counts = owners.map((owner) => {
      const child = new SqliteChild(path, 'count in turn', 'shared', owner, 'Infinity', leaseMs);
      return child.killAfter(randomInt(1, 60));
    });
    const lines = new SqliteChild(path, 'save forever', log, `log-${rounds}`).killAfter(randomInt(1, 300));

    const answered = (await Promise.all(counts)).flat().map(Number);
    counted += answered.length;
    const { count } = (await newestRecord(store, 'shared')) as { count: number };
    expect((await mustLoad(store, 'shared')).head).toBe(count + 1);
    expect(count).toBeGreaterThanOrEqual(Math.max(counted, ...answered));
    // Each that was killed may have died between a save and saying so.
    expect(count).toBeLessThanOrEqual(counted + owners.length * rounds);

    const versions = (await lines).map(Number);
    logged += versions.length;
    const stored = await mustLoad(store, log);
    expect(stored.head).toBeGreaterThanOrEqual(versions.at(-1) ?? 1);
    const saved = (recordOf(stored) as { log: { version: number }[] }).log;
    expect(saved.map(({ version }) => version)).toEqual(Array.from({ length: stored.head }, (_, index) => index + 1));
    expect(sql(path, 'PRAGMA integrity_check')).toMatchObject([{ integrity_check: 'ok' }]);
  }
  await store.close();
  console.log(`${rounds} rounds, ${rounds * 4} processes killed, ${counted + logged} saves answered, none lost`);
});
