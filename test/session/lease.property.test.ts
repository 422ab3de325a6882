/**
 * One session, several processes that freeze and die, and a store whose answers come late, twice or never: checked like a
 * list that many append to.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { isAgentFlowError } from '../../src/errors.js';
import type { BusySessionPolicy } from '../../src/session/lease.js';
import { rebuildRecord } from '../../src/session/record.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { ErraticStore, type Fate, fates } from '../support/erratic-store.js';
import { openTestSession } from '../support/sessions.js';

const leaseTtlMs = 900;
const mostTimes = 5;
const State = z.object({ turns: z.array(z.object({ name: z.string(), after: z.array(z.string()) })).default([]) });
type State = z.infer<typeof State>;

/** How one run goes: how it comes to the session, and how many turns it wants to have. */
interface Run {
  readonly policy: BusySessionPolicy;
  readonly turns: number;
}

/** What happens next: the `which`-th of all that can, or something to a process, or nothing for a while. */
type Event =
  | { readonly event: 'step'; readonly which: number; readonly fate: Fate; readonly isTold: boolean }
  | { readonly event: 'freeze' | 'thaw' | 'kill'; readonly process: number }
  | { readonly event: 'wait'; readonly ms: number };

/** One process, as the machine sees it: it may stand still, or be no more. */
class Process {
  readonly clock = new ManualClock();
  state: 'runs' | 'frozen' | 'dead' = 'runs';
  #sleptMs = 0;

  pass(ms: number): void {
    if (this.state === 'runs') this.clock.advance(ms);
    else this.#sleptMs += ms;
  }

  /** All its timers find that they are late. */
  thaw(): void {
    if (this.state !== 'frozen') return;
    this.state = 'runs';
    this.clock.advance(this.#sleptMs);
    this.#sleptMs = 0;
  }
}

/** The processes, the store, and what is on its way between them. */
class World {
  readonly clock = new ManualClock();
  readonly store = new MemorySessionStore({ clock: this.clock });
  /** Fences of leases that wrote when another had been given out. */
  readonly intruders: number[] = [];
  readonly processes = [new Process(), new Process(), new Process()];
  /** Every turn that was answered, in the order of the answers. */
  readonly answered: string[] = [];
  /** How many turns had been answered when a turn began. */
  readonly answeredBefore = new Map<string, number>();
  readonly errors: string[] = [];
  /** Runs of living processes that have not ended. */
  readonly open = new Map<Process, number>();
  fate: Fate = 'answered';
  isTold = true;
  #ways: { readonly to: Process | 'store'; readonly happen: () => void }[] = [];
  readonly #waiting = new Set<() => void>();
  #names = 0;

  constructor() {
    const { store, intruders } = this;
    const { acquire, save } = store;
    let newest: number | undefined;
    store.acquire = async (...given) => {
      const lease = await acquire.apply(store, given);
      newest = lease?.fence ?? newest;
      return lease;
    };
    store.save = async (lease, ...given) => {
      await save.call(store, lease, ...given);
      if (lease.fence !== newest) intruders.push(lease.fence);
    };
  }

  /** What can happen now. A process that stands still hears nothing, and a dead one never will. */
  get #possible() {
    this.#ways = this.#ways.filter(({ to }) => to === 'store' || to.state !== 'dead');
    return this.#ways.filter(({ to }) => to === 'store' || to.state === 'runs');
  }

  get isStill(): boolean {
    return this.#possible.length === 0;
  }

  get openRuns(): number {
    return this.processes.reduce((sum, one) => sum + (one.state === 'dead' ? 0 : (this.open.get(one) ?? 0)), 0);
  }

  step(which: number): void {
    const possible = this.#possible;
    const next = possible[which % possible.length];
    if (next === undefined) return;
    this.#ways.splice(this.#ways.indexOf(next), 1);
    next.happen();
  }

  pass(ms: number): void {
    this.clock.advance(ms);
    for (const process of this.processes) process.pass(ms);
  }

  /** The runs of one process, all at once. */
  async start(process: Process, runs: readonly Run[]): Promise<void> {
    const store = this.#storeOf(process);
    this.open.set(process, runs.length);
    await Promise.all(
      runs.map(async (run) => {
        await this.#live(process, store, run);
        this.open.set(process, (this.open.get(process) ?? 0) - 1);
      }),
    );
  }

  #storeOf(process: Process): ErraticStore {
    return new ErraticStore(this.store, {
      fate: () => this.fate,
      later: (where, happen) => void this.#ways.push({ to: where === 'store' ? where : process, happen }),
      tell: () => {
        const told = [...this.#waiting];
        this.#waiting.clear();
        if (this.isTold) for (const wake of told) wake();
      },
      whenReleased: (signal) =>
        new Promise((resolve, reject) => {
          if (!this.isTold) return reject(new TypeError('nobody listens'));
          signal.addEventListener('abort', () => reject(signal.reason));
          this.#waiting.add(() => this.#ways.push({ to: process, happen: resolve }));
        }),
    });
  }

  /** Does not care whether it has lost the session: what it does then must not count. */
  async #live(process: Process, store: ErraticStore, { policy, turns }: Run): Promise<void> {
    const { clock } = process;
    try {
      const options = { schema: State, sessionId: 's', store, policy, clock, leaseTtlMs };
      const { session } = await openTestSession<State>(options);
      for (let count = 0; count < turns; count++) await this.#turn(session).catch((error) => this.#note(error));
      await session.release();
    } catch (error) {
      this.#note(error);
    }
  }

  async #turn(session: { updateState(recipe: (draft: State) => void): Promise<void> }): Promise<void> {
    const name = `turn ${this.#names++}`;
    this.answeredBefore.set(name, this.answered.length);
    await session.updateState(({ turns }) => void turns.push({ name, after: turns.map((turn) => turn.name) }));
    this.answered.push(name);
  }

  #note(error: unknown): void {
    this.errors.push(isAgentFlowError(error) ? error.code : String(error));
  }
}

const run = fc.record({
  policy: fc.constantFrom<BusySessionPolicy>('queue', 'queue', 'queue', 'reject', 'takeover'),
  turns: fc.integer({ min: 1, max: 3 }),
});
const fate = fc.oneof({ weight: 6, arbitrary: fc.constant<Fate>('answered') }, fc.constantFrom(...fates));
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({ event: fc.constant('step' as const), which: fc.nat(50), fate, isTold: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ event: fc.constantFrom('freeze' as const, 'thaw' as const), process: fc.nat(2) }),
  },
  { weight: 3, arbitrary: fc.record({ event: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 1_200 }) }) },
  { weight: 1, arbitrary: fc.record({ event: fc.constant('kill' as const), process: fc.nat(20) }) },
);

/** Here nothing waits for anything outside, so all that could go on has gone on by then. */
const nextTurnOfTheLoop = () => new Promise((resolve) => setImmediate(resolve));

async function happen(world: World, next: Event): Promise<void> {
  if (next.event === 'wait') world.pass(next.ms);
  else if (next.event === 'step') {
    world.fate = next.fate;
    world.isTold = next.isTold;
    world.step(next.which);
  } else {
    const process = world.processes[next.process];
    if (process === undefined) return;
    if (next.event === 'thaw') process.thaw();
    else if (process.state !== 'dead') process.state = next.event === 'kill' ? 'dead' : 'frozen';
  }
  await nextTurnOfTheLoop();
}

/** From here on everything works and nobody is in the way: whoever lives must get what it waits for. */
async function comeToRest(world: World): Promise<void> {
  world.fate = 'answered';
  world.isTold = true;
  for (const process of world.processes) process.thaw();
  for (let waits = 0; waits < 60; waits++) {
    await nextTurnOfTheLoop();
    for (; !world.isStill; await nextTurnOfTheLoop()) world.step(0);
    if (world.openRuns === 0) return;
    world.pass(500);
  }
  throw new Error(`${world.openRuns} runs wait for ever`);
}

async function check({ store, answered, answeredBefore, intruders }: World): Promise<string[]> {
  expect(intruders).toEqual([]);
  const stored = await store.load('s');
  const { turns } = (stored === undefined ? { turns: [] } : rebuildRecord(stored).state) as State;
  const names = turns.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(turns.map(({ after }) => after)).toEqual(names.map((_, place) => names.slice(0, place)));
  // Answers may come in another order than the turns were had: one is still on its way while others go on.
  expect(names).toEqual(expect.arrayContaining(answered));
  for (const [place, name] of names.entries())
    for (const earlier of answered.slice(0, answeredBefore.get(name)))
      expect(names.slice(0, place), `${name} began after ${earlier} was answered`).toContain(earlier);
  expect(stored?.head ?? 1).toBe(names.length + 1);
  return names;
}

it('every answered turn is there, once, and every turn had seen all before it; nobody waits for ever', async () => {
  const met = new Map<string, number>();
  const meet = (what: string, count = 1) => met.set(what, (met.get(what) ?? 0) + count);
  const property = async (runs: readonly Run[][], events: readonly Event[]) => {
    const world = new World();
    const lives = world.processes.map((process, index) => world.start(process, runs[index] ?? []));
    for (const life of lives) life.catch((error) => world.errors.push(String(error)));
    for (const next of events) await happen(world, next);
    await comeToRest(world);
    const names = await check(world);
    for (const code of world.errors) meet(code);
    meet('answered', world.answered.length);
    meet('kept and not answered', names.length - world.answered.length);
  };
  const runs = fc.array(fc.array(run, { maxLength: 3 }), { minLength: 3, maxLength: 3 });
  const events = fc.array(event, { maxLength: 250, size: 'max' });
  const errors = ['LEASE_LOST', 'SESSION_BUSY', 'SESSION_CONFLICT', 'STORE_FAILED'];
  const toMeet = [...errors, 'answered', 'kept and not answered'];
  // What is rare may not come the first time.
  for (let times = 0; times < mostTimes && met.size < toMeet.length; times++)
    await fc.assert(fc.asyncProperty(runs, events, property), { numRuns: Number(process.env.RUNS ?? 300) });
  // Only these may end a turn or a run, and all of them did.
  expect([...met.keys()].sort()).toEqual(toMeet);
});
