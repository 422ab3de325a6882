/** What a session remembers, as one JSON document, and how it is rebuilt from what a store keeps. */
import type { Artifact } from '../../schemas/index.js';
import { AgentFlowError } from '../errors.js';
import { applyPatch, type PatchOperation } from '../internal/patch.js';
import type { StoredSession } from './store.js';

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
    const all: PatchOperation[] = [];
    for (const patch of stored.patches) for (const operation of patch) all.push(operation);
    // What a store hands out is the caller's own, so thousands of patches are applied in place, and as one.
    const record = applyPatch(stored.checkpoint, all, 'all');
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
