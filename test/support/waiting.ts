/** Waits that are events, never times. */
import { setImmediate as nextTurnOfTheLoop, setTimeout as pause } from 'node:timers/promises';

/** Everything that could go on by itself has gone on: several turns of the event loop, with all their microtasks. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await nextTurnOfTheLoop();
}

/** Where something that is counted comes to a stand. It may take a break meanwhile, as a handler that sends a lot does. */
export async function standstill(count: () => number): Promise<number> {
  for (let [before, unchanged] = [count(), 0]; ; before = count()) {
    await pause(3);
    await quiet();
    unchanged = count() === before ? unchanged + 1 : 0;
    if (unchanged === 3) return before;
  }
}

/** Where a promise stands once everything has gone quiet. */
export async function stateOf(promise: Promise<unknown>): Promise<'pending' | 'resolved' | 'rejected'> {
  let state: 'pending' | 'resolved' | 'rejected' = 'pending';
  promise.then(
    () => {
      state = 'resolved';
    },
    () => {
      state = 'rejected';
    },
  );
  await quiet();
  return state;
}

/** Everything an iterator brings until its end. */
export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}

/** The first `count` things an iterator brings; it is then left, as `break` leaves it. */
export async function take<T>(source: AsyncIterable<T>, count: number): Promise<T[]> {
  const some: T[] = [];
  if (count === 0) return some;
  for await (const one of source) {
    some.push(one);
    if (some.length === count) break;
  }
  return some;
}

/** What a promise rejects with, or what a function throws; fails when it does neither. */
export async function errorOf(work: Promise<unknown> | (() => unknown)): Promise<unknown> {
  let value: unknown;
  try {
    value = await (typeof work === 'function' ? work() : work);
  } catch (error) {
    return error;
  }
  throw new Error(`expected an error, got ${String(value)}`);
}

/** Chunks until the end, and the error they ended with, if one. */
export async function collectToError<T>(source: AsyncIterable<T>): Promise<{ chunks: T[]; error: unknown }> {
  const chunks: T[] = [];
  try {
    for await (const one of source) chunks.push(one);
  } catch (error) {
    return { chunks, error };
  }
  return { chunks, error: undefined };
}

/** A door that is opened once: whoever waits goes on. */
export class Gate {
  readonly opened: Promise<void>;
  #open: () => void = () => {};

  constructor() {
    this.opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }
}
