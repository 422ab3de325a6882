/** One session, many processes, and everything that can happen to them and to the database, for `TORTURE_SECONDS` in all. */
import { randomInt } from 'node:crypto';
import { expect, onTestFailed, onTestFinished, test } from 'vitest';
import { openStore } from '../support/shared-stores.js';
import { storePlaces } from '../support/store-places.js';
import { checkedLog, TurnWorker } from '../support/turn-workers.js';

const seconds = Number(process.env.TORTURE_SECONDS ?? 60);
const leaseTtlMs = 500;
/** What a turn may fail with when its process, its lease or its server goes away. */
const innocentCodes = ['LEASE_LOST', 'STORE_FAILED', 'SESSION_CONFLICT'];

for (const { kind, absent, find } of storePlaces) {
  test.skipIf(absent !== undefined)(absent === undefined ? kind : `${kind} (skipped: ${absent})`, async () => {
    const place = await find();
    const { store, close } = openStore(place.address);
    const ward = new Ward((name) => new TurnWorker({ address: place.address, session: 'shared', name, leaseTtlMs }));
    onTestFinished(async () => {
      await Promise.all(ward.living.map((worker) => worker.kill()));
      await close();
      await place.remove();
    });
    onTestFailed(() => console.log(`${kind} failed:\n${ward.story()}`));
    const disasters = place.disasters.map((work) => ['disaster', work] as const);
    const happened: Record<string, number> = {};
    await Promise.all(ward.living.map((worker) => worker.untilSaved()));
    const until = Date.now() + (seconds * 1_000) / storePlaces.length;
    while (Date.now() < until) {
      const [name, fault] = pick([...Object.entries(faults), ...disasters]);
      ward.note(name);
      await fault(ward);
      happened[name] = (happened[name] ?? 0) + 1;
      await Promise.any(ward.living.map((worker) => worker.untilSaved()));
      await checkedLog(store, 'shared', ward.all);
    }
    await Promise.all(ward.living.map((worker) => worker.stop()));
    const turns = await checkedLog(store, 'shared', ward.all);
    for (const { said } of ward.all)
      for (const { code } of said) if (code !== undefined) expect(innocentCodes).toContain(code);
    const told = `${turns.length} turns of ${ward.all.length} processes, none lost, none twice`;
    console.log(`${kind}: ${told}; ${JSON.stringify(happened)}`);
  });
}

/** The processes that are alive, and all there ever were. */
class Ward {
  readonly living: TurnWorker[] = [];
  readonly all: TurnWorker[] = [];
  readonly #start: (name: string) => TurnWorker;
  readonly #notes: string[] = [];

  constructor(start: (name: string) => TurnWorker) {
    this.#start = start;
    for (let count = 0; count < 4; count++) this.admit();
  }

  /** Those of the living that have had turns. A process takes its time to start where the machine is busy. */
  get working(): TurnWorker[] {
    return this.living.filter(({ saved }) => saved.length > 0);
  }

  /** For the story of a failure. */
  note(what: string): void {
    this.#notes.push(`${new Date().toISOString()} ${what}`);
  }

  /** What was done to them last, and the last they said. */
  story(): string {
    const lines = this.all.map((worker) => {
      const last = worker.said.slice(-5).map(({ word, turn, code = '' }) => `${word} ${turn} ${code}`.trim());
      return `${worker.name}${this.living.includes(worker) ? '' : ' (killed)'}: ${last.join(', ')}`;
    });
    return [...this.#notes.slice(-10), ...lines].join('\n');
  }

  admit(): void {
    const worker = this.#start(`w${this.all.length}`);
    this.living.push(worker);
    this.all.push(worker);
  }

  async bury(worker: TurnWorker): Promise<void> {
    this.living.splice(this.living.indexOf(worker), 1);
    await worker.kill();
    this.admit();
  }
}

const faults: Readonly<Record<string, (ward: Ward) => Promise<void>>> = {
  /** Wherever it is. */
  async kill(ward) {
    await ward.bury(pick(ward.working));
  },
  /** While it has the session and has not saved. */
  async 'kill a holder'(ward) {
    const holder = pick(ward.working);
    await holder.hold(pick(['id', 'plain']));
    await ward.bury(holder);
  },
  /** Until others have had turns; it must not write when it goes on. */
  async 'freeze a holder'(ward) {
    const holder = pick(ward.working);
    const turn = await holder.hold(pick(['id', 'plain']));
    holder.freeze();
    const outcome = await firstOf(ward.living.filter((worker) => worker !== holder));
    holder.thaw();
    holder.go();
    // It may not even get to ask: others write to SQLite for longer than it waits.
    if (outcome === 'saved') expect(['LEASE_LOST', 'STORE_FAILED']).toContain(await holder.untilFailed(turn));
  },
  /** Wherever they are, all but one, which works on. */
  async 'freeze most'(ward) {
    const awake = pick(ward.working);
    const frozen = ward.living.filter((worker) => worker !== awake);
    for (const worker of frozen) worker.freeze();
    await firstOf([awake]);
    for (const worker of frozen) worker.thaw();
  },
};

/** A process that was frozen while it wrote to SQLite stops all who want to write: they are told that the store failed. */
async function firstOf(workers: readonly TurnWorker[]): Promise<'saved' | 'stuck'> {
  const savedOrStuck = async (worker: TurnWorker) => {
    // What it says first may be of a turn it had before the others were frozen.
    const first = await worker.untilSavedOrStuck();
    return first === 'saved' ? worker.untilSavedOrStuck() : first;
  };
  return Promise.any(workers.map(savedOrStuck));
}

function pick<T>(choices: readonly T[]): T {
  const choice = choices[randomInt(choices.length)];
  if (choice === undefined) throw new Error('There is nothing to pick from');
  return choice;
}
