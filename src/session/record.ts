/** What a session remembers, as one JSON document, and how it is rebuilt from what a store keeps. */

import type { Artifact } from '../../schemas/index.js';
import { AgentFlowError } from '../errors.js';
import { applyPatch, type PatchOperation } from '../internal/patch.js';
import type { SessionChange, StoredSession } from './store.js';

/** One artifact and all it has been: the last version is the current one. */
export interface RememberedArtifact {
  readonly name: string;
  readonly versions: readonly Omit<Artifact, 'name'>[];
}

/** The whole of a session's memory. */
export interface SessionRecord {
  readonly state: unknown;
  readonly artifacts: readonly RememberedArtifact[];
}

/** The record of a loaded version. Throws `STORE_CORRUPT` when checkpoint and patches do not fit together. */
export function rebuildRecord(stored: StoredSession): SessionRecord {
  try {
    let record: unknown = stored.checkpoint;
    // What a store hands out is the caller's own, so thousands of patches are applied in place.
    for (const patch of stored.patches) record = applyPatch(record, patch, 'all');
    if (isSessionRecord(record)) return record;
  } catch (cause) {
    throw new AgentFlowError(
      'STORE_CORRUPT',
      'A stored version of the session does not follow from the one before it',
      { cause },
    );
  }
  throw new AgentFlowError('STORE_CORRUPT', 'The stored session is not a record of state and artifacts');
}

function isSessionRecord(value: unknown): value is SessionRecord {
  return (
    typeof value === 'object' &&
    value !== null &&
    'state' in value &&
    'artifacts' in value &&
    Array.isArray(value.artifacts)
  );
}

/** Below this many characters of changes a checkpoint is never worth its row. */
const smallestCheckpointGap = 4_096;

/**
 * Decides when a whole record is written instead of a change. A checkpoint pays only when loading would read much more
 * than the record itself: a chat that only grows never needs one, a counter that is overwritten needs one now and
 * then. The record's size is looked at only after the changes have doubled, so all looks together cost what all
 * changes cost.
 */
export class CheckpointPolicy {
  #loadCost: number;
  #lookAgainAt: number;

  constructor(loadCost: number) {
    this.#loadCost = loadCost;
    this.#lookAgainAt = nextLook(loadCost);
  }

  /** What to write for this patch. `record` gives the record as the patch leaves it. */
  choose(patch: readonly PatchOperation[], record: () => unknown): SessionChange {
    this.#loadCost += JSON.stringify(patch).length;
    if (this.#loadCost < this.#lookAgainAt) return { kind: 'patch', patch };
    const whole = record();
    const size = JSON.stringify(whole).length;
    const isWorthIt = size * 2 < this.#loadCost;
    if (isWorthIt) this.#loadCost = size;
    this.#lookAgainAt = nextLook(this.#loadCost);
    return isWorthIt ? { kind: 'checkpoint', record: whole } : { kind: 'patch', patch };
  }
}

function nextLook(loadCost: number): number {
  return Math.max(loadCost * 2, loadCost + smallestCheckpointGap);
}
