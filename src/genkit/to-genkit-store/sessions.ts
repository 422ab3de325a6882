/** The sessions of Genkit's agents in a store of ours, one tenant's. */
import type { SessionSnapshot, SessionSnapshotInput, SessionState, SnapshotMutator } from 'genkit/beta';
import { AgentFlowError, isAgentFlowError, SessionConflictError } from '../../errors.js';
import type { Clock } from '../../internal/clock.js';
import { diff } from '../../internal/diff.js';
import { applyPatch } from '../../internal/patch.js';
import { CheckpointPolicy } from '../../session/checkpoint-policy.js';
import type { Hold } from '../../session/lease.js';
import type { SessionStore, StoredSession } from '../../session/store.js';
import { jsonText } from '../../session/store-checks.js';
import { LruMap } from '../lru-map.js';
import type { HandedOut } from './handed-out.js';
import {
  asSnapshot,
  changeOf,
  firstRecord,
  forgetLine,
  isNewest,
  lineOf,
  linesBefore,
  type SnapshotRecord,
} from './record.js';

/** How sessions are kept. */
export interface SnapshotSessionsParts {
  readonly store: SessionStore;
  readonly hold: (store: SessionStore, sessionId: string) => Promise<Hold>;
  readonly clock: Clock;
  readonly handedOut: HandedOut;
  /** Whether a turn may go on from an older snapshot if it means to. */
  readonly mayBranch: boolean;
  readonly keepVersions: number | undefined;
}

/**
 * What becomes of a session by a save. Each is awaited before anything else is saved to it: Genkit takes saves to be
 * answered in their order.
 */
export interface SessionEvents {
  /** It has begun, with the snapshot that is being saved. */
  begun(): Promise<unknown>;
  /** Retention has dropped these snapshots. Must not reject: what was saved is saved. */
  dropped(snapshotIds: readonly string[]): Promise<unknown>;
}

/** A session's newest version. Nobody else has its record, so it is changed in place. */
interface Head {
  readonly version: number;
  readonly record: SnapshotRecord | undefined;
  readonly checkpoints: CheckpointPolicy;
}

const rememberedHeads = 100;

/** Every save is the next version of its session, and writes what has changed. */
export class SnapshotSessions {
  readonly #parts: SnapshotSessionsParts;
  /** As this process saw them last. */
  readonly #heads = new LruMap<Head>(rememberedHeads);

  constructor(parts: SnapshotSessionsParts) {
    this.#parts = parts;
  }

  /** As {@link find}, for somebody who may go on from it. */
  async handOut(sessionId: string, snapshotId?: string): Promise<SessionSnapshot | undefined> {
    const { record } = await this.#load(sessionId);
    const found = await this.#findIn(record, sessionId, snapshotId);
    if (record !== undefined && found !== undefined) {
      this.#parts.handedOut.give(found.snapshotId, isNewest(record, found.snapshotId));
    }
    return found;
  }

  /** A snapshot of the session, by default the one that was made last. */
  async find(sessionId: string, snapshotId?: string): Promise<SessionSnapshot | undefined> {
    const { record } = await this.#load(sessionId);
    return this.#findIn(record, sessionId, snapshotId);
  }

  async #findIn(record: SnapshotRecord | undefined, sessionId: string, snapshotId: string | undefined) {
    const id = snapshotId ?? record?.leaf;
    const line = record === undefined || id === undefined ? undefined : lineOf(record, id);
    if (record === undefined || id === undefined || line === undefined) return undefined;
    return asSnapshot(id, line, id === record.leaf ? record.state : await this.#stateAt(sessionId, line.version));
  }

  async exists(sessionId: string): Promise<boolean> {
    return (await this.#parts.store.load(sessionId)) !== undefined;
  }

  /**
   * Saves what the mutator makes of a snapshot; `undefined` when it makes nothing of it. Throws `SessionConflictError` for
   * a new snapshot that goes on from another than the newest one, and may not or does not mean to.
   */
  async save(
    sessionId: string,
    snapshotId: string,
    mutator: SnapshotMutator,
    events: SessionEvents,
  ): Promise<SessionSnapshot | undefined> {
    const hold = await this.#parts.hold(this.#parts.store, sessionId);
    try {
      for (;;) {
        const known = this.#heads.get(sessionId);
        const head = known ?? (await this.#load(sessionId));
        this.#heads.delete(sessionId);
        try {
          return await this.#saveOn(head, { hold, sessionId, snapshotId, mutator, events });
        } catch (error) {
          // Another process may have saved since this one looked: then once more, from what is there now.
          const isStale = known !== undefined && isAgentFlowError(error) && error.code === 'SESSION_CONFLICT';
          if (!isStale) throw error;
        }
      }
    } finally {
      await hold.release();
    }
  }

  async #saveOn(head: Head, save: Omit<SaveRequest, 'next'> & { mutator: SnapshotMutator }) {
    const { sessionId, snapshotId, mutator } = save;
    const { record, version } = head;
    const line = record === undefined ? undefined : lineOf(record, snapshotId);
    const isLeaf = record?.leaf === snapshotId;
    const state = isLeaf || line === undefined ? record?.state : await this.#stateAt(sessionId, line.version);
    const next = jsonSnapshot(mutator(line && structuredClone(asSnapshot(snapshotId, line, state))));
    if (next === null) {
      this.#heads.set(sessionId, head);
      return undefined;
    }
    if (line !== undefined && !isLeaf && diff(state, next.state).length > 0) {
      throw new SessionConflictError(sessionId, line.version, version);
    }
    return this.#write(head, { ...save, next });
  }

  async #write(head: Head, { hold, sessionId, snapshotId, next, events }: SaveRequest): Promise<SessionSnapshot> {
    const { store, clock, handedOut, keepVersions } = this.#parts;
    const { record, version, checkpoints } = head;
    const snapshot = { ...next, snapshotId };
    const retention = keepVersions === undefined ? {} : { keepVersions };
    if (record === undefined) {
      const first = firstRecord(snapshotId, next);
      const change = { kind: 'checkpoint', record: first } as const;
      await store.save(hold.lease, { expectedVersion: 0, change, ...retention });
      this.#heads.set(sessionId, { version: 1, record: first, checkpoints });
      handedOut.goOn(snapshotId, undefined);
      await events.begun();
      return snapshot;
    }
    const isNew = lineOf(record, snapshotId) === undefined;
    const dropped = keepVersions === undefined ? [] : linesBefore(record, version + 2 - keepVersions);
    const mayBranch = (parentId: string, passed: Iterable<string>) =>
      this.#parts.mayBranch && handedOut.isMeant(parentId, passed);
    const save = { sessionId, snapshotId, next, version, now: clock.now(), mayBranch };
    const patch = [...changeOf(save, record), ...dropped.map(forgetLine)];
    if (patch.length > 0) {
      const change = checkpoints.choose(patch, () => applyPatch(record, patch));
      await store.save(hold.lease, { expectedVersion: version, change, ...retention });
    }
    const after = applyPatch(record, patch, 'all') as SnapshotRecord;
    this.#heads.set(sessionId, { version: patch.length > 0 ? version + 1 : version, record: after, checkpoints });
    if (isNew) handedOut.goOn(snapshotId, next.parentId);
    if (dropped.length > 0) await events.dropped(dropped);
    return snapshot;
  }

  async #load(sessionId: string): Promise<Head> {
    const stored = await this.#parts.store.load(sessionId);
    if (stored === undefined) return { version: 0, record: undefined, checkpoints: new CheckpointPolicy(0) };
    return { version: stored.head, record: recordOf(stored), checkpoints: new CheckpointPolicy(stored.size) };
  }

  async #stateAt(sessionId: string, version: number): Promise<SessionState | undefined> {
    const stored = await this.#parts.store.load(sessionId, { version });
    return stored === undefined ? undefined : recordOf(stored).state;
  }
}

interface SaveRequest {
  readonly hold: Hold;
  readonly sessionId: string;
  readonly snapshotId: string;
  readonly next: SessionSnapshotInput;
  readonly events: SessionEvents;
}

/** A snapshot as a store keeps it, sharing nothing with the caller's. Throws `INVALID_VALUE` for what is not JSON. */
export function jsonSnapshot(snapshot: SessionSnapshotInput | null): SessionSnapshotInput | null {
  return snapshot === null ? null : JSON.parse(jsonText(snapshot, 'snapshot'));
}

function recordOf({ checkpoint, patches }: StoredSession): SnapshotRecord {
  const record = patches.reduce<unknown>((before, patch) => applyPatch(before, patch, 'all'), checkpoint);
  if (typeof record === 'object' && record !== null && 'leaf' in record) return record as SnapshotRecord;
  throw new AgentFlowError('STORE_CORRUPT', 'This session was not made by an agent of Genkit');
}
