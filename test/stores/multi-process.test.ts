/** One session, many processes, through the agent that its users have: what dies or freezes takes nothing with it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SessionStore } from '../../src/session/store.js';
import { openStore } from '../support/shared-stores.js';
import { type StorePlace, storePlaces } from '../support/store-places.js';
import { checkedLog, TurnWorker } from '../support/turn-workers.js';

const leaseTtlMs = 700;
const patienceMs = 90_000;

for (const { kind, absent, find } of storePlaces) {
  describe.skipIf(absent !== undefined)(absent === undefined ? kind : `${kind} (skipped: ${absent})`, () => {
    let place: StorePlace;
    let opened: { store: SessionStore; close(): Promise<void> };
    let workers: TurnWorker[];

    beforeAll(async () => {
      place = await find();
      opened = openStore(place.address);
      workers = ['a', 'b', 'c'].map(start);
      await Promise.all(workers.map((worker) => worker.untilSaved()));
    }, patienceMs);

    afterAll(async () => {
      await Promise.all(workers.map((worker) => worker.kill()));
      await opened.close();
      await place.remove();
    });

    function start(name: string): TurnWorker {
      return new TurnWorker({ address: place.address, session: 'shared', name, leaseTtlMs });
    }

    const others = (one: TurnWorker) => workers.filter((worker) => worker !== one);
    const someoneSaves = (some: readonly TurnWorker[]) => Promise.any(some.map((worker) => worker.untilSaved()));
    const log = () => checkedLog(opened.store, 'shared', workers);
    const logged = async (name: string) => (await log()).find((turn) => turn.name === name);

    test(
      'all get their turns',
      async () => {
        await Promise.all(workers.map((worker) => worker.untilSaved()));
        await log();
      },
      patienceMs,
    );

    test(
      'a holder that is killed in the middle of a turn has not saved it, and the others go on',
      async () => {
        const [victim = expect.fail()] = workers;
        const turn = await victim.hold('plain');
        await victim.kill();
        workers.push(start('d'));
        await someoneSaves(others(victim));
        expect(await logged(turn)).toBeUndefined();
        workers = others(victim);
      },
      patienceMs,
    );

    test(
      'an input that it had accepted with an id is answered by another, once',
      async () => {
        const [victim = expect.fail()] = workers;
        const turn = await victim.hold('id');
        await victim.kill();
        workers.push(start('e'));
        let found = await logged(turn);
        for (; found === undefined; found = await logged(turn)) await someoneSaves(others(victim));
        expect(found.by).not.toBe(victim.name);
        workers = others(victim);
      },
      patienceMs,
    );

    test.each(['plain', 'id'] as const)(
      'a holder that froze past its lease does not write when it thaws (%s)',
      async (how) => {
        const [frozen = expect.fail()] = workers;
        const turn = await frozen.hold(how);
        await frozen.freezeBetweenSteps();
        // Not by what the others say, which may be of turns that were had before.
        const before = (await log()).length;
        while ((await log()).length === before) await someoneSaves(others(frozen));
        frozen.thaw();
        frozen.go();
        expect(await frozen.untilFailed(turn)).toBe('LEASE_LOST');
        if (how === 'plain') expect(await logged(turn)).toBeUndefined();
        else expect((await logged(turn))?.by).not.toBe(frozen.name);
        await frozen.untilSaved();
      },
      patienceMs,
    );

    test(
      'a server that goes away and comes back has lost nothing it answered',
      async () => {
        for (const disaster of place.disasters) {
          await disaster();
          await Promise.all(workers.map((worker) => worker.untilSaved()));
          await log();
        }
      },
      patienceMs,
    );

    test(
      'at the end every turn that was told saved is there, once, in one order',
      async () => {
        await Promise.all(workers.map((worker) => worker.stop()));
        const turns = await log();
        const failures = workers.flatMap(({ said }) => said.flatMap(({ code }) => code ?? []));
        for (const code of failures) expect(['LEASE_LOST', 'STORE_FAILED', 'SESSION_CONFLICT']).toContain(code);
        expect(turns.length).toBeGreaterThan(10);
      },
      patienceMs,
    );
  });
}
