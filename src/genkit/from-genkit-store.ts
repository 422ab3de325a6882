/** A Genkit session store for agents of ours: `defineAgent(ai, { store: fromGenkitStore(new FileSessionStore(folder)) })`. */
import type { SessionStore as GenkitSessionStore } from 'genkit/beta';
import { assertHas } from '../errors/options.js';
import { type Clock, systemClock } from '../internal/clock.js';
import { KeyedMutex } from '../internal/keyed-mutex.js';
import type { SessionStore } from '../session/store.js';
import { GenkitBacked, type SharedInProcess } from './from-genkit-store/backed.js';
import { GenkitDocuments } from './from-genkit-store/documents.js';
import { ProcessLeases } from './from-genkit-store/leases.js';
import { LruMap } from './lru-map.js';

/** What a {@link SessionStore} over a Genkit store cannot do, for code that wants to refuse it in production. */
export interface GenkitStoreLimits {
  /** Leases are held in memory: two processes over one folder or database, Firestore's too, would write over each other. */
  readonly writers: 'one process';
  /** A lease ends with its process, and so does the count of fences. */
  readonly leases: 'until the process ends';
  /** Genkit's stores erase nothing: deleted sessions and dropped versions leave empty snapshots behind. */
  readonly deletion: 'emptied, not removed';
  /** A resolved save is as durable as the Genkit store makes it: `FileSessionStore` does not wait for the disk. */
  readonly durability: 'that of the Genkit store';
}

/** A {@link SessionStore} with its limits written down. */
export interface GenkitBackedStore extends SessionStore {
  readonly limits: GenkitStoreLimits;
}

/** How a Genkit store is used. */
export interface FromGenkitStoreOptions {
  /** Time, for tests. Default: the machine's. */
  readonly clock?: Clock;
}

const rememberedTenants = 1_000;

const limits: GenkitStoreLimits = {
  writers: 'one process',
  leases: 'until the process ends',
  deletion: 'emptied, not removed',
  durability: 'that of the Genkit store',
};

/**
 * A Genkit store (`InMemorySessionStore`, `FileSessionStore`, `FirestoreSessionStore`) as a `SessionStore`, for one process:
 * see {@link GenkitStoreLimits}. It keeps the public suite `testSessionStore` but for what must outlive the process.
 * Sessions saved through it are not those of Genkit's agents on the same store, and not to be read by them.
 *
 * Throws `InvalidValueError` for what is no store of Genkit's.
 */
export function fromGenkitStore(store: GenkitSessionStore, options: FromGenkitStoreOptions = {}): GenkitBackedStore {
  const { clock = systemClock } = options;
  assertHas(store, 'store', ['getSnapshot', 'saveSnapshot'], "one of Genkit's session stores");
  const here = shared.get(store) ?? { leases: new ProcessLeases(), locks: new KeyedMutex() };
  shared.set(store, here);
  const scopes = new LruMap<GenkitBacked>(rememberedTenants);
  const backed = new GenkitBacked({ documents: new GenkitDocuments(store, clock), clock, here, scopes }, []);
  return Object.assign(backed, { limits });
}

/** By Genkit's store: whoever uses the same one shares its leases. */
const shared = new WeakMap<GenkitSessionStore, SharedInProcess>();
