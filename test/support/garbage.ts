/** The garbage collector, on request. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { quiet } from './waiting.js';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** How many of them somebody still holds. */
export async function stillHeld(refs: readonly WeakRef<object>[]): Promise<number> {
  for (let round = 0; round < 5; round++) {
    // A WeakRef that was looked at lives to the end of the job.
    await quiet();
    gc();
  }
  return refs.filter((ref) => ref.deref() !== undefined).length;
}

/** Bytes on the heap that are in use. */
export async function heapInUse(): Promise<number> {
  await stillHeld([]);
  return process.memoryUsage().heapUsed;
}
