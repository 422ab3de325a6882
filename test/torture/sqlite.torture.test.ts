/** A storm of processes that save to one file and are killed, for as long as `TORTURE_SECONDS` says. */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { create, mustLoad, newestRecord, recordOf } from '../../src/testing/session-store/case.js';
import { SqliteChild } from '../support/sqlite-children.js';
import { freshPath, sql } from '../support/sqlite-clients.js';

const seconds = Number(process.env.TORTURE_SECONDS ?? 60);

test('no answered save is lost while processes are killed and others take over', {
  timeout: (seconds + 60) * 1_000,
}, async () => {
  const path = freshPath();
  const store = new SqliteSessionStore({ path });
  await store.release(await create(store, 'shared'));
  const until = Date.now() + seconds * 1_000;
  const tally = { rounds: 0, counted: 0, logged: 0 };
  while (Date.now() < until) {
    tally.rounds += 1;
    const loggers = ['log-1', 'log-2'].map((id) => new SqliteChild(path, 'save forever', id, `${id} ${tally.rounds}`));
    const counters = ['a', 'b'].map((name) => {
      // A lease of 300 ms: the next round's processes must wait for those that died with it.
      return new SqliteChild(path, 'count in turn', 'shared', `${name} ${tally.rounds}`, 'Infinity', '300');
    });
    const counted = await Promise.all(counters.map((child) => child.killAfter(randomInt(1, 200))));
    const logged = await Promise.all(loggers.map((child) => child.killAfter(randomInt(1, 400))));
    tally.counted += counted.flat().length;

    const { count } = (await newestRecord(store, 'shared')) as { count: number };
    const { head } = await mustLoad(store, 'shared');
    expect(head).toBe(count + 1);
    expect(count).toBeGreaterThanOrEqual(Math.max(0, ...counted.flat().map(Number)));
    // A process may have died between a save and saying so: one for each that was killed.
    expect(count).toBeGreaterThanOrEqual(tally.counted);
    expect(count).toBeLessThanOrEqual(tally.counted + 2 * tally.rounds);
    for (const [index, lines] of logged.entries()) {
      const log = await mustLoad(store, `log-${index + 1}`);
      expect(log.head).toBeGreaterThanOrEqual(Number(lines.at(-1)));
      const { log: saved } = recordOf(log) as { log: { version: number }[] };
      expect(saved.every((line, place) => line.version === place + 1)).toBe(true);
      tally.logged += lines.length;
    }
    expect(sql(path, 'PRAGMA integrity_check')).toMatchObject([{ integrity_check: 'ok' }]);
  }
  await store.close();
  console.log(`${tally.rounds} rounds: ${tally.counted + tally.logged} saves answered, none lost`);
});
