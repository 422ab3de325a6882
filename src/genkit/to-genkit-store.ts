/** A session store of ours for Genkit's own agents: `ai.defineAgent({ store: toGenkitStore(store) })`. */
import type {
  SessionStore as GenkitSessionStore,
  SessionSnapshot,
  SessionSnapshotInput,
  SessionState,
  SessionStoreOptions,
  SnapshotMutator,
} from 'genkit/beta';
import { v4 as uuid } from 'uuid';
import { assertWhole } from '../agent/checks.js';
import { AgentFlowError, InvalidValueError, isAgentFlowError, SessionConflictError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import { diff } from '../internal/diff.js';
import { applyPatch } from '../internal/patch.js';
import { type Hold, holdSession } from '../session/lease.js';
import { CheckpointPolicy } from '../session/record.js';
import type { SessionStore, StoredSession } from '../session/store.js';
import { jsonText } from '../session/store-checks.js';
import { Recent } from './recent.js';
import { type IndexEntry, SnapshotIndex } from './snapshot-index.js';
import {
  asSnapshot,
  changeOf,
  firstRecord,
  forgetLine,
  linesBefore,
  lineOf,
  type SnapshotRecord,
} from './snapshot-record.js';
import { SnapshotWatchers } from './snapshot-watchers.js';

/** How a store of ours serves Genkit's agents. */
export interface ToGenkitStoreOptions {
  /**
   * Whose sessions a call is about, from Genkit's action context (`({ auth }) => auth?.uid`). Nothing of another tenant can
   * be read or written. Default: the store as it is, for everybody.
   */
  readonly tenant?: (context: Record<string, unknown>) => string | undefined;
  /**
   * What a turn does that goes on from another snapshot than the newest: be refused with `SessionConflictError`, or become
   * the newest beside the one it passes by. `refuse` is what keeps two tabs, or a retry, from losing each other's turns;
   * `keep` is for a client that regenerates answers. Default `refuse`.
   */
  readonly onBranch?: 'refuse' | 'keep';
  /** Keep only the newest versions of a session: at least this many. A version is a turn or a change of its status. Default: all. */
  readonly keepVersions?: number;
  /** How often a snapshot that somebody watches is looked at for what another process did to it, in milliseconds. Default 2,000. */
  readonly pollMs?: number;
  /** How long a process that dies in the middle of a save keeps the session, in milliseconds. Default 15,000. */
  readonly leaseTtlMs?: number;
  /** Time, for tests. Default: the machine's. */
  readonly clock?: Clock;
}

/** What a tenant's calls work on. */
interface Scope {
  readonly name: string;
  readonly sessions: SessionStore;
  readonly index: SnapshotIndex;
  /** The newest version of sessions, as this process saw it last. */
  readonly heads: Recent<Head>;
}

/** A session's newest version. Nobody else has its record, so it is changed in place. */
interface Head {
  readonly version: number;
  readonly record: SnapshotRecord | undefined;
  readonly checkpoints: CheckpointPolicy;
}

const rememberedTenants = 1_000;
const rememberedHeads = 100;

/**
 * A store of ours as Genkit's `SessionStore`. Sessions are linear: a save whose parent is not the newest snapshot that can be
 * resumed is refused with `SessionConflictError` (`ABORTED`). A save writes what has changed, so a conversation of n turns
 * takes O(n) of the store, though Genkit hands over its whole state every time.
 *
 * Sessions of Genkit's agents and of `defineAgent` may be in one store, but are not each other's to read.
 */
export function toGenkitStore<S = unknown>(store: SessionStore, options: ToGenkitStoreOptions = {}): GenkitSessionStore<S> {
  const { pollMs = 2_000, leaseTtlMs = 15_000, clock = systemClock, onBranch = 'refuse' } = options;
  for (const [name, value] of Object.entries({ ...options, pollMs, leaseTtlMs })) {
    if (name.endsWith('Ms') || name === 'keepVersions') assertWhole(value, name, 1);
  }
  // Genkit's type parameter only says what a caller takes `custom` for.
  return new GenkitFacingStore(store, { ...options, pollMs, leaseTtlMs, clock, onBranch }) as GenkitSessionStore<S>;
}

type Settings = ToGenkitStoreOptions & Required<Omit<ToGenkitStoreOptions, 'tenant' | 'keepVersions'>>;

class GenkitFacingStore implements GenkitSessionStore {
  readonly #store: SessionStore;
  readonly #settings: Settings;
  readonly #watchers: SnapshotWatchers;
  readonly #scopes = new Recent<Scope>(rememberedTenants);

  constructor(store: SessionStore, settings: Settings) {
    this.#store = store;
    this.#settings = settings;
    this.#watchers = new SnapshotWatchers(settings.clock, settings.pollMs);
  }

  async getSnapshot(options: Parameters<GenkitSessionStore['getSnapshot']>[0]): Promise<SessionSnapshot | undefined> {
    const { snapshotId, sessionId } = options;
    if (Boolean(snapshotId) === Boolean(sessionId)) {
      const received = snapshotId ? 'both' : 'neither';
      throw new InvalidValueError('option', [{ path: '', expected: 'a snapshotId or a sessionId', received }]);
    }
    const scope = this.#scope(options);
    if (sessionId) return this.#load(scope, sessionId);
    return snapshotId ? this.#find(scope, snapshotId) : undefined;
  }

  async saveSnapshot(
    snapshotId: string | undefined,
    mutator: SnapshotMutator,
    options?: SessionStoreOptions,
  ): Promise<string | null> {
    const scope = this.#scope(options);
    const entry = snapshotId === undefined ? undefined : await scope.index.find(snapshotId);
    if (snapshotId !== undefined && entry !== undefined) return this.#change(scope, snapshotId, entry, mutator);
    const first = asJson(mutator(undefined));
    if (first === null) return null;
    const id = snapshotId ?? first.snapshotId ?? uuid();
    const sessionId = first.sessionId ?? first.state?.sessionId;
    const own = sessionId ? { sessionId } : { snapshot: { ...first, snapshotId: id } };
    // Of two that make the same snapshot at once, the second finds the first one's.
    const made = await scope.index.update(id, (there) => (there === undefined ? own : undefined));
    if (made === undefined) return this.saveSnapshot(id, mutator, options);
    if ('snapshot' in made) this.#tell(scope, id, made.snapshot);
    else await this.#save(scope, made.sessionId, id, (current) => (current === undefined ? first : mutator(current)));
    return id;
  }

  onSnapshotStateChange(
    snapshotId: string,
    callback: (snapshot: SessionSnapshot) => void,
    options?: SessionStoreOptions,
  ): () => void {
    const scope = this.#scope(options);
    return this.#watchers.watch(watchKey(scope, snapshotId), () => this.#find(scope, snapshotId), callback);
  }

  async #change(scope: Scope, id: string, entry: IndexEntry, mutator: SnapshotMutator): Promise<string | null> {
    if ('sessionId' in entry) return this.#save(scope, entry.sessionId, id, mutator);
    const made = await scope.index.update(id, (there) => {
      const next = asJson(mutator(there !== undefined && 'snapshot' in there ? there.snapshot : undefined));
      return next === null ? undefined : { snapshot: { ...next, snapshotId: id } };
    });
    if (made === undefined || !('snapshot' in made)) return null;
    this.#tell(scope, id, made.snapshot);
    return id;
  }

  /** One version of a session, or only a look at it. Another process may have been faster: then once more, from what is there now. */
  async #save(scope: Scope, sessionId: string, id: string, mutator: SnapshotMutator): Promise<string | null> {
    const hold = await this.#hold(scope.sessions, sessionId);
    try {
      for (;;) {
        const known = scope.heads.get(sessionId);
        const head = known ?? (await loadHead(scope.sessions, sessionId));
        try {
          return await this.#write(scope, sessionId, id, head, hold, mutator);
        } catch (error) {
          scope.heads.delete(sessionId);
          const isStale = isAgentFlowError(error) && error.code === 'SESSION_CONFLICT' && known !== undefined;
          if (!isStale) throw error;
        }
      }
    } finally {
      await hold.release();
    }
  }

  async #write(
    scope: Scope,
    sessionId: string,
    snapshotId: string,
    head: Head,
    hold: Hold,
    mutator: SnapshotMutator,
  ): Promise<string | null> {
    const { record, version } = head;
    const line = record === undefined ? undefined : lineOf(record, snapshotId);
    const isLeaf = record?.leaf === snapshotId;
    const state = isLeaf ? record?.state : line && (await loadState(scope.sessions, sessionId, line.version));
    const next = asJson(mutator(line && structuredClone(asSnapshot(snapshotId, line, state))));
    if (next === null) {
      scope.heads.set(sessionId, head);
      return null;
    }
    if (line !== undefined && !isLeaf && diff(state, next.state).length > 0) {
      throw new SessionConflictError(sessionId, line.version, version);
    }
    const { clock, onBranch, keepVersions } = this.#settings;
    const save = { sessionId, snapshotId, next, head, now: clock.now(), mayBranch: onBranch === 'keep' };
    const dropped = record === undefined || keepVersions === undefined ? [] : linesBefore(record, version + 2 - keepVersions);
    const patch = record === undefined ? [] : [...changeOf(save, record), ...dropped.map(forgetLine)];
    const change =
      record === undefined
        ? ({ kind: 'checkpoint', record: firstRecord(save) } as const)
        : head.checkpoints.choose(patch, () => applyPatch(record, patch));
    if (record === undefined || patch.length > 0) {
      await scope.sessions.save(hold.lease, { expectedVersion: version, change, ...(keepVersions && { keepVersions }) });
      const after = record === undefined ? firstRecord(save) : (applyPatch(record, patch, 'all') as SnapshotRecord);
      scope.heads.set(sessionId, { ...head, version: version + 1, record: after });
    }
    for (const old of dropped) await scope.index.forget(old);
    this.#tell(scope, snapshotId, { ...next, snapshotId });
    return snapshotId;
  }

  async #find(scope: Scope, snapshotId: string): Promise<SessionSnapshot | undefined> {
    const entry = await scope.index.find(snapshotId);
    if (entry === undefined) return undefined;
    if ('snapshot' in entry) return entry.snapshot;
    const found = await this.#load(scope, entry.sessionId, snapshotId);
    // The session may have been deleted, and then nothing of it may stay.
    if (found === undefined && (await scope.sessions.load(entry.sessionId)) === undefined) await scope.index.forget(snapshotId);
    return found;
  }

  async #load(scope: Scope, sessionId: string, snapshotId?: string): Promise<SessionSnapshot | undefined> {
    const { record } = await loadHead(scope.sessions, sessionId);
    if (record === undefined) return undefined;
    const id = snapshotId ?? record.leaf;
    const line = lineOf(record, id);
    if (line === undefined) return undefined;
    return asSnapshot(id, line, id === record.leaf ? record.state : await loadState(scope.sessions, sessionId, line.version));
  }

  #tell(scope: Scope, snapshotId: string, snapshot: SessionSnapshot): void {
    this.#watchers.tell(watchKey(scope, snapshotId), snapshot);
  }

  #scope(options: SessionStoreOptions | undefined): Scope {
    const tenant = this.#settings.tenant?.(options?.context ?? {});
    const name = JSON.stringify([tenant]);
    const known = this.#scopes.get(name);
    if (known !== undefined) return known;
    const sessions = tenant === undefined ? this.#store : this.#store.forTenant(tenant);
    const index = new SnapshotIndex(sessions, (store, id) => this.#hold(store, id));
    const scope = { name, sessions, index, heads: new Recent<Head>(rememberedHeads) };
    this.#scopes.set(name, scope);
    return scope;
  }

  #hold(store: SessionStore, id: string): Promise<Hold> {
    const { clock, leaseTtlMs: ttlMs } = this.#settings;
    const { signal } = new AbortController();
    return holdSession(store, id, { policy: 'queue', owner: uuid(), clock, ttlMs, signal, onLost: () => {} });
  }
}

async function loadHead(store: SessionStore, sessionId: string): Promise<Head> {
  const stored = await store.load(sessionId);
  if (stored === undefined) return { version: 0, record: undefined, checkpoints: new CheckpointPolicy(0) };
  const loadCost = JSON.stringify(stored.checkpoint).length + JSON.stringify(stored.patches).length;
  return { version: stored.head, record: recordOf(stored), checkpoints: new CheckpointPolicy(loadCost) };
}

async function loadState(store: SessionStore, sessionId: string, version: number): Promise<SessionState | undefined> {
  const stored = await store.load(sessionId, { version });
  return stored === undefined ? undefined : recordOf(stored).state;
}

function recordOf({ checkpoint, patches }: StoredSession): SnapshotRecord {
  const record = patches.reduce<unknown>((before, patch) => applyPatch(before, patch, 'all'), checkpoint);
  if (typeof record === 'object' && record !== null && 'leaf' in record) return record as SnapshotRecord;
  throw new AgentFlowError('STORE_CORRUPT', 'This session was not made by an agent of Genkit');
}

function asJson(snapshot: SessionSnapshotInput | null): SessionSnapshotInput | null {
  return snapshot === null ? null : JSON.parse(jsonText(snapshot, 'snapshot'));
}

function watchKey({ name }: Scope, snapshotId: string): string {
  return JSON.stringify([name, snapshotId]);
}
