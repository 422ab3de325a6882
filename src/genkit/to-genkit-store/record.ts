/** What a store of ours keeps of one Genkit session: the newest state, and a line about every snapshot. */
import type { SessionSnapshot, SessionSnapshotInput, SessionState } from 'genkit/beta';
import { SessionConflictError } from '../../errors.js';
import { diff } from '../../internal/diff.js';
import type { PatchOperation } from '../../internal/patch.js';

/** All of a snapshot but its state, and the version of the session that holds the state. */
type SnapshotLine = Omit<SessionSnapshotInput, 'snapshotId' | 'state'> & { readonly version: number };

/** One version of a session. */
export interface SnapshotRecord {
  /** The snapshot that was made last. */
  readonly leaf: string;
  /** The leaf's; those of the others are in the versions that their lines name. */
  readonly state?: SessionState;
  /** By {@link keyOf} the snapshot's id, in the order they were made. */
  readonly snapshots: Readonly<Record<string, SnapshotLine>>;
}

/** How long a turn in the background may go without a sign of life before it is taken for dead; Genkit's own figure. */
const heartbeatTimeoutMs = 60_000;

/** No id is a name that objects have of their own, or a number, which would change the order. */
function keyOf(snapshotId: string): string {
  return `s:${snapshotId}`;
}

function pathOf(snapshotId: string): string {
  return `/snapshots/${keyOf(snapshotId).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** What is known of a snapshot. */
export function lineOf({ snapshots }: SnapshotRecord, snapshotId: string): SnapshotLine | undefined {
  const key = keyOf(snapshotId);
  return Object.hasOwn(snapshots, key) ? snapshots[key] : undefined;
}

/** A snapshot as Genkit has it. */
export function asSnapshot(snapshotId: string, line: SnapshotLine, state: SessionState | undefined): SessionSnapshot {
  const { version: _, ...rest } = line;
  return state === undefined ? { snapshotId, ...rest } : { snapshotId, ...rest, state };
}

/** What a save is about. */
export interface SnapshotSave {
  readonly sessionId: string;
  readonly snapshotId: string;
  readonly next: SessionSnapshotInput;
  /** The newest version of the session: the one the record is of. */
  readonly version: number;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** Whether the save may pass by the snapshots, to go on from an older one. */
  readonly mayBranch: (parentId: string, passed: Iterable<string>) => boolean;
}

/** The record of a session's first snapshot. */
export function firstRecord(snapshotId: string, next: SessionSnapshotInput): SnapshotRecord {
  const { state, snapshotId: _, ...rest } = next;
  return {
    leaf: snapshotId,
    ...(state === undefined ? {} : { state }),
    snapshots: { [keyOf(snapshotId)]: { ...rest, version: 1 } },
  };
}

/**
 * The change a save makes to the record. Throws `SessionConflictError` for a new snapshot that goes on from another than the
 * newest one that can be resumed, and may not.
 */
export function changeOf(save: SnapshotSave, record: SnapshotRecord): PatchOperation[] {
  const { snapshotId, next, version: head } = save;
  const { state, snapshotId: _, ...rest } = next;
  const line = lineOf(record, snapshotId);
  const isLeaf = record.leaf === snapshotId;
  const path = pathOf(snapshotId);
  if (line === undefined) {
    const parentId = parentOf(save, record);
    const made = { ...rest, ...(parentId === undefined ? {} : { parentId }), version: head + 1 };
    const ends: PatchOperation[] = [
      { op: 'add', path, value: made },
      { op: 'replace', path: '/leaf', value: snapshotId },
    ];
    return [...stateChange(record.state, state), ...ends];
  }
  const { parentId } = rest.parentId === snapshotId ? line : rest;
  const changed = { ...rest, parentId, version: isLeaf ? head + 1 : line.version };
  return [...(isLeaf ? stateChange(record.state, state) : []), ...diff(line, changed, undefined, path)];
}

/** The lines whose states retention has dropped. */
export function linesBefore({ snapshots, leaf }: SnapshotRecord, version: number): string[] {
  const old: string[] = [];
  for (const [key, line] of Object.entries(snapshots)) {
    const snapshotId = key.slice(2);
    if (line.version >= version) break;
    if (snapshotId !== leaf) old.push(snapshotId);
  }
  return old;
}

/** The change that forgets a line. */
export function forgetLine(snapshotId: string): PatchOperation {
  return { op: 'remove', path: pathOf(snapshotId) };
}

function stateChange(before: SessionState | undefined, after: SessionState | undefined): PatchOperation[] {
  if (after === undefined) return before === undefined ? [] : [{ op: 'remove', path: '/state' }];
  return before === undefined
    ? [{ op: 'add', path: '/state', value: after }]
    : diff(before, after, undefined, '/state');
}

/** Whether whoever goes on from the newest snapshot, as Genkit does, goes on from this one: those before it cannot be resumed. */
export function isNewest(record: SnapshotRecord, snapshotId: string): boolean {
  return isReached(record, snapshotId, ({ status = 'completed' }) => status !== 'completed');
}

/** Whether the snapshot, or the beginning of the session, is what comes after those at the end that may be passed. */
function isReached(
  record: SnapshotRecord,
  snapshotId: string | undefined,
  mayPass: (line: SnapshotLine) => boolean,
): boolean {
  let next: string | undefined = record.leaf;
  for (const passed of passedBy(record, snapshotId)) {
    const line = lineOf(record, passed);
    if (line !== undefined && !mayPass(line)) return false;
    next = line?.parentId;
  }
  // Retention may have dropped what the session began with.
  return snapshotId === undefined || next === snapshotId;
}

/** Snapshots from the newest back to the one that is gone on from, without it; to the beginning, if it is none of those. */
function* passedBy(record: SnapshotRecord, snapshotId: string | undefined): Iterable<string> {
  const seen = new Set<string>();
  for (let from: string | undefined = record.leaf; from !== undefined && from !== snapshotId; ) {
    if (seen.has(from)) return;
    seen.add(from);
    yield from;
    from = lineOf(record, from)?.parentId;
  }
}

/**
 * What a new snapshot goes on from: the newest one, past those that nobody can resume, as Genkit does when it resumes.
 * Genkit names an older one when it sends a turn to the background while the one before is being saved; that it has
 * seen the newest shows in its conversation. Else one that names an older one is a branch, if it may be.
 */
function parentOf(save: SnapshotSave, record: SnapshotRecord): string | undefined {
  const { sessionId, next, version, now } = save;
  const { parentId } = next;
  const mayPass = (line: SnapshotLine) => canBePassed(line, now);
  if (isReached(record, parentId, mayPass)) return parentId;
  if (next.status === 'pending' && isStartOf(record.state?.messages, next.state?.messages)) return record.leaf;
  const parent = parentId === undefined ? undefined : lineOf(record, parentId);
  const leaf = lineOf(record, record.leaf);
  // A turn in the background could no longer save what it has done.
  const mayLoseItsPlace = leaf === undefined || leaf.status !== 'pending' || mayPass(leaf);
  if (parentId !== undefined && parent !== undefined && mayLoseItsPlace) {
    if (save.mayBranch(parentId, passedBy(record, parentId))) return parentId;
  }
  throw new SessionConflictError(sessionId, parent?.version ?? 0, version);
}

function isStartOf(messages: readonly unknown[] = [], later: readonly unknown[] = []): boolean {
  return messages.length > 0 && diff(messages, later.slice(0, messages.length)).length === 0;
}

/** Failed and aborted turns can, and a turn in the background that has shown no sign of life for long. */
function canBePassed({ status = 'completed', heartbeatAt }: SnapshotLine, now: number): boolean {
  if (status !== 'pending') return status !== 'completed';
  return heartbeatAt !== undefined && now - Date.parse(heartbeatAt) > heartbeatTimeoutMs;
}
