/** Processes whose connections queue for one session: each gets its turn, where the store tells of releases. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { rebuildRecord } from '../../src/session/record.js';
import { create, eventually } from '../../src/testing/session-store/case.js';
import { bundled } from '../support/built.js';
import type { QueueOptions } from '../support/fixtures/queue-worker.js';
import { Program } from '../support/program.js';
import { openStore } from '../support/shared-stores.js';
import { storePlaces } from '../support/store-places.js';

const worker = bundled('test/support/fixtures/queue-worker.ts');
const runs = 20;
/**
 * So many of the turns at least follow one of the other process. By rights all do; a machine that is busy may keep somebody
 * from hearing of a release for longer than it is kept. Where nothing is kept it is about half of them, or fewer.
 */
const leastTurnsTaken = 0.7;

for (const { kind, absent, find } of storePlaces.filter((one) => one.kind !== 'sqlite')) {
  describe.skipIf(absent !== undefined)(absent === undefined ? kind : `${kind} (skipped: ${absent})`, () => {
    test('two processes that queue twenty runs each take turns', async () => {
      const place = await find();
      const { store, close } = openStore(place.address);
      onTestFinished(async () => {
        await close();
        await place.remove();
      });
      const lease = await create(store, 'shared', { state: { turns: [] }, artifacts: [] });
      const processes = ['a', 'b'].map((name) => {
        const options: QueueOptions = { address: place.address, name, runs };
        const program = new Program(process.execPath, [worker, JSON.stringify(options)]);
        onTestFinished(() => program[Symbol.asyncDispose]());
        return program;
      });
      await Promise.all(processes.map((program) => program.until('queued')));
      await store.release(lease);
      const turns = await eventuallyAll(async () => {
        const stored = await store.load('shared');
        if (stored === undefined) return undefined;
        const { turns: all } = rebuildRecord(stored).state as { turns: string[] };
        return all.length === 2 * runs ? all : undefined;
      });
      expect(turns.filter((name) => name === 'a')).toHaveLength(runs);
      // From the first turn of the one that came late to the last of the one that was done first both were waiting.
      const bothWaited = turns.slice(
        Math.max(turns.indexOf('a'), turns.indexOf('b')),
        Math.min(turns.lastIndexOf('a'), turns.lastIndexOf('b')),
      );
      expect(bothWaited.length).toBeGreaterThan(runs);
      const taken = bothWaited.slice(1).filter((name, index) => name !== bothWaited[index]);
      expect(taken.length / (bothWaited.length - 1), turns.join('')).toBeGreaterThan(leastTurnsTaken);
    }, 90_000);
  });
}

async function eventuallyAll<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await eventually(ask);
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}
