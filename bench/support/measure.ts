/** What work costs: CPU time and heap of this process, and what many measurements say together. */

/** CPU time this process has used, user and system, all threads, in microseconds. */
export function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** CPU time of one piece of work, in microseconds. */
export async function cpuOf(work: () => unknown): Promise<number> {
  const start = cpuMicros();
  await work();
  return cpuMicros() - start;
}

/** The median of several samples, each begun with a clean heap. */
export async function medianOf(rounds: number, sample: () => Promise<number>): Promise<number> {
  const samples: number[] = [];
  for (let round = 0; round < rounds; round++) {
    collectGarbage();
    samples.push(await sample());
  }
  return median(samples);
}

/** The middle one; of an even number the mean of the middle two; `NaN` of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const low = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
  const high = sorted[Math.floor(middle)] ?? Number.NaN;
  return (low + high) / 2;
}

/**
 * The smallest; `NaN` of none. For work so short that what else the machine does is most of the difference between two
 * samples: it can only add to them.
 */
export function least(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : Math.min(...values);
}

/** How cost grows with size: 1 for a cost that follows the size, 2 for one that follows its square. */
export function exponent(small: Cost, large: Cost): number {
  return Math.log(large.cost / small.cost) / Math.log(large.size / small.size);
}

/** What a piece of work of some size cost. */
export interface Cost {
  readonly size: number;
  readonly cost: number;
}

/** Bytes of heap in use when all garbage is gone. */
export async function heapInUse(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

/** Needs `node --expose-gc`. */
export function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error('Run this with node --expose-gc');
  globalThis.gc();
}
