/** A session store of ours for Genkit's own agents: `ai.defineAgent({ store: toGenkitStore(store) })`. */
import type {
  SessionStore as GenkitSessionStore,
  SessionSnapshot,
  SessionStoreOptions,
  SnapshotMutator,
} from 'genkit/beta';
import { v4 as uuid } from 'uuid';
import { assertOneOf, assertWhole } from '../agent/checks.js';
import { assertHas } from '../errors/options.js';
import { type Clock, systemClock } from '../internal/clock.js';
import { type Hold, holdSession } from '../session/lease.js';
import type { SessionStore } from '../session/store.js';
import { askedSnapshot } from './asked-snapshot.js';
import { LruMap } from './lru-map.js';
import { HandedOutSnapshots } from './to-genkit-store/handed-out.js';
import { jsonSnapshot, SnapshotSessions } from './to-genkit-store/sessions.js';
import { type IndexEntry, SnapshotIndex } from './to-genkit-store/snapshot-index.js';
import { SnapshotWatchers } from './to-genkit-store/watchers.js';

/** How a store of ours serves Genkit's agents. */
export interface ToGenkitStoreOptions {
  /**
   * Whose sessions a call is about, from Genkit's action context (`({ auth }) => auth?.uid`). Nothing of another tenant can
   * be read or written. Default: the store as it is, for everybody.
   */
  readonly tenant?: (context: Record<string, unknown>) => string | undefined;
  /**
   * What becomes of a turn that means to go on from an older snapshot, as a client does that has an answer made again: `keep`
   * makes it the newest beside those it passes by, `refuse` refuses it with `SessionConflictError`. A turn that was given the
   * newest snapshot, and was overtaken before it could save, is a race and no branch: it is refused in either case, so that
   * turns at once do not lose each other. `refuse` is for clients that name the snapshot they have seen, as `chat()` does, and
   * never mean to pass by another: one that has not seen the newest is then told. Default `keep`.
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

/**
 * A store of ours as Genkit's `SessionStore`. The snapshot that was made last is where a session goes on. A turn that was
 * overtaken by another is refused with `SessionConflictError` (`ABORTED`), and so is everything that would pass by a turn in
 * the background for as long as that shows signs of life; a turn that goes on from an older snapshot on purpose is a branch.
 * A save writes what has changed, so a conversation of n turns takes O(n) of the store, though Genkit hands over its whole
 * state every time.
 *
 * Sessions of Genkit's agents and of `defineAgent` may be in one store, but are not each other's to read.
 *
 * Throws `InvalidValueError` for an option that cannot work, and for what is no store of ours.
 */
export function toGenkitStore<S = unknown>(
  store: SessionStore,
  options: ToGenkitStoreOptions = {},
): GenkitSessionStore<S> {
  const { pollMs = 2_000, leaseTtlMs = 15_000, clock = systemClock, onBranch = 'keep' } = options;
  for (const [name, value] of Object.entries({ ...options, pollMs, leaseTtlMs })) {
    if (name.endsWith('Ms') || name === 'keepVersions') assertWhole(value, name, 1);
  }
  assertOneOf(onBranch, 'onBranch', ['refuse', 'keep']);
  assertHas(store, 'store', ['acquire', 'load', 'save'], 'a SessionStore');
  // Genkit's type parameter only says what a caller takes `custom` for.
  return new GenkitFacingStore(store, { ...options, pollMs, leaseTtlMs, clock, onBranch }) as GenkitSessionStore<S>;
}

type Settings = ToGenkitStoreOptions & Required<Omit<ToGenkitStoreOptions, 'tenant' | 'keepVersions'>>;

/** What a tenant's calls work on. */
interface Scope {
  readonly name: string;
  readonly sessions: SnapshotSessions;
  readonly index: SnapshotIndex;
}

const rememberedTenants = 1_000;

class GenkitFacingStore implements GenkitSessionStore {
  readonly #store: SessionStore;
  readonly #settings: Settings;
  readonly #watchers: SnapshotWatchers;
  readonly #scopes = new LruMap<Scope>(rememberedTenants);
  readonly #handedOut = new HandedOutSnapshots();

  constructor(store: SessionStore, settings: Settings) {
    this.#store = store;
    this.#settings = settings;
    this.#watchers = new SnapshotWatchers(settings.clock, settings.pollMs);
  }

  async getSnapshot(options: Parameters<GenkitSessionStore['getSnapshot']>[0]): Promise<SessionSnapshot | undefined> {
    const asked = askedSnapshot(options);
    const scope = this.#scope(options);
    if ('sessionId' in asked) return scope.sessions.handOut(asked.sessionId);
    return this.#find(scope, asked.snapshotId, 'handOut');
  }

  async saveSnapshot(
    snapshotId: string | undefined,
    mutator: SnapshotMutator,
    options?: SessionStoreOptions,
  ): Promise<string | null> {
    const scope = this.#scope(options);
    const entry = snapshotId === undefined ? undefined : await scope.index.find(snapshotId);
    if (snapshotId !== undefined && entry !== undefined) return this.#change(scope, snapshotId, entry, mutator);
    const first = jsonSnapshot(mutator(undefined));
    if (first === null) return null;
    const id = snapshotId ?? first.snapshotId ?? uuid();
    const sessionId = first.sessionId ?? first.state?.sessionId;
    const own = sessionId ? { sessionId } : { snapshot: { ...first, snapshotId: id } };
    // Of two that make the same snapshot at once, the second finds the first one's.
    const made = await scope.index.update(id, (there) => (there === undefined ? own : undefined));
    if (made === undefined) return this.saveSnapshot(id, mutator, options);
    if ('sessionId' in made) {
      return this.#change(scope, id, made, (current) => (current === undefined ? first : mutator(current)));
    }
    this.#tell(scope, made.snapshot);
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
    if ('sessionId' in entry) {
      const saved = await scope.sessions.save(entry.sessionId, id, mutator, {
        // Before there was a session, who looked for the snapshot may have found the entry to be of no use.
        begun: () => scope.index.update(id, (there) => (there === undefined ? entry : undefined)),
        // One that cannot be forgotten leads nowhere.
        dropped: (old) => Promise.allSettled(old.map((each) => scope.index.forget(each))),
      });
      if (saved === undefined) return null;
      // At once, or the next save would be told before this one.
      this.#tell(scope, saved);
      return id;
    }
    const made = await scope.index.update(id, (there) => {
      const next = jsonSnapshot(mutator(there !== undefined && 'snapshot' in there ? there.snapshot : undefined));
      return next === null ? undefined : { snapshot: { ...next, snapshotId: id } };
    });
    if (made === undefined || !('snapshot' in made)) return null;
    this.#tell(scope, made.snapshot);
    return id;
  }

  async #find(
    { sessions, index }: Scope,
    snapshotId: string,
    how: 'find' | 'handOut' = 'find',
  ): Promise<SessionSnapshot | undefined> {
    const entry = await index.find(snapshotId);
    if (entry === undefined) return undefined;
    if ('snapshot' in entry) return entry.snapshot;
    const found = await sessions[how](entry.sessionId, snapshotId);
    // The session may have been deleted, and then nothing of it may stay.
    const isGone = async () => !(await sessions.exists(entry.sessionId));
    if (found === undefined && (await isGone())) await index.forgetIf(snapshotId, isGone);
    return found;
  }

  #tell(scope: Scope, snapshot: SessionSnapshot): void {
    this.#watchers.tell(watchKey(scope, snapshot.snapshotId), snapshot);
  }

  #scope(options: SessionStoreOptions | undefined): Scope {
    const tenant = this.#settings.tenant?.(options?.context ?? {});
    const name = JSON.stringify([tenant]);
    const known = this.#scopes.get(name);
    if (known !== undefined) return known;
    const { clock, onBranch, keepVersions } = this.#settings;
    const store = tenant === undefined ? this.#store : this.#store.forTenant(tenant);
    const hold = (part: SessionStore, id: string) => this.#hold(part, id);
    const handedOut = this.#handedOut.of(name);
    const mayBranch = onBranch === 'keep';
    const sessions = new SnapshotSessions({ store, hold, clock, handedOut, mayBranch, keepVersions });
    const scope = { name, sessions, index: new SnapshotIndex(store, hold) };
    this.#scopes.set(name, scope);
    return scope;
  }

  #hold(store: SessionStore, id: string): Promise<Hold> {
    const { clock, leaseTtlMs: ttlMs } = this.#settings;
    const { signal } = new AbortController();
    return holdSession(store, id, { policy: 'queue', owner: uuid(), clock, ttlMs, signal, onLost: () => {} });
  }
}

function watchKey({ name }: Scope, snapshotId: string): string {
  return JSON.stringify([name, snapshotId]);
}
