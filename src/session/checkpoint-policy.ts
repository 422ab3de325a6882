/** When a session is saved as a whole record, and when as what has changed. */
import type { PatchOperation } from '../internal/patch.js';
import type { SessionChange } from './store.js';

/** Below this many characters of changes a checkpoint is never worth its row. */
const smallestCheckpointGap = 4_096;

/**
 * Decides when a whole record is written instead of a change. A checkpoint pays only when loading would read much more
 * than the record itself: a chat that only grows never needs one, a counter that is overwritten needs one now and
 * then. The record's size is looked at only after the changes have doubled, so all looks together cost what all
 * changes cost; and while a record only grows its size is known, and nobody looks at ten thousand messages between two
 * turns.
 */
export class CheckpointPolicy {
  #loadCost: number;
  #lookAgainAt: number;
  /** Of the record, from the first look to the first change that takes something away. */
  #size: number | undefined;

  constructor(loadCost: number) {
    this.#loadCost = loadCost;
    this.#lookAgainAt = nextLook(loadCost);
  }

  /** What to write for this patch. `record` gives the record as the patch leaves it. */
  choose(patch: readonly PatchOperation[], record: () => unknown): SessionChange {
    const cost = JSON.stringify(patch).length;
    this.#loadCost += cost;
    this.#size = this.#size === undefined ? undefined : grownBy(patch, cost, this.#size);
    if (this.#loadCost < this.#lookAgainAt) return { kind: 'patch', patch };
    const isKnownToBeLarge = this.#size !== undefined && this.#size * 2 >= this.#loadCost;
    const change = isKnownToBeLarge ? undefined : this.#checkpoint(record());
    this.#lookAgainAt = nextLook(this.#loadCost);
    return change ?? { kind: 'patch', patch };
  }

  /** The record as a checkpoint, if loading that would read much less. */
  #checkpoint(record: unknown): SessionChange | undefined {
    this.#size = JSON.stringify(record).length;
    if (this.#size * 2 >= this.#loadCost) return undefined;
    this.#loadCost = this.#size;
    return { kind: 'checkpoint', record };
  }
}

/** What an operation that adds takes beside its path and its value. */
const additionCost = '{"op":"add","path":"","value":},'.length;

/** The size of a record after a patch of that cost; `undefined` when the patch does more than add. */
function grownBy(patch: readonly PatchOperation[], cost: number, size: number): number | undefined {
  if (patch.some(({ op }) => op !== 'add')) return undefined;
  return patch.reduce((sum, { path }) => sum - path.length - additionCost, size + cost);
}

function nextLook(loadCost: number): number {
  return Math.max(loadCost * 2, loadCost + smallestCheckpointGap);
}
