/** The store behind `fromGenkitStore`. */
import { LeaseLostError, SessionConflictError } from '../../errors.js';
import type { Clock } from '../../internal/clock.js';
import type { KeyedMutex } from '../../internal/keyed-mutex.js';
import type { PatchOperation } from '../../internal/patch.js';
import type {
  AcceptedInput,
  SessionLease,
  SessionParent,
  SessionSave,
  SessionStore,
  SessionSummary,
  StoredSession,
} from '../../session/store.js';
import {
  checkInput,
  checkSave,
  checkText,
  checkTtl,
  cursorAfter,
  isReplacedBy,
  jsonText,
  pageOf,
  tenantText,
} from '../../session/store-checks.js';
import type { LruMap } from '../lru-map.js';
import { documentKey, type GenkitDocuments, versionKey } from './documents.js';
import type { ProcessLeases } from './leases.js';

/** What all users of one Genkit store in this process share. */
export interface SharedInProcess {
  readonly leases: ProcessLeases;
  readonly locks: KeyedMutex<object>;
}

/** What a {@link GenkitBacked} is made of. */
export interface GenkitBackedParts {
  readonly documents: GenkitDocuments;
  readonly clock: Clock;
  readonly here: SharedInProcess;
  /** The tenants of this store, by name. */
  readonly scopes: LruMap<GenkitBacked>;
}

/** One document for each version. */
interface VersionDocument {
  readonly text: string;
  /** The version of the newest whole record at or before this one. */
  readonly checkpoint: number;
}

interface KeptInput extends Omit<AcceptedInput, 'input'> {
  readonly text?: string;
}

/** One document for each session; whatever must change together is in it. */
interface SessionDocument {
  readonly id: string;
  /** Its place in the order of creation; 0 while it has no version yet. */
  readonly place: number;
  readonly head: number;
  /** The oldest version that is kept. */
  readonly first: number;
  readonly parent?: SessionParent;
  readonly createdAt: string;
  readonly updatedAt: string;
  /** In the order they were first accepted. */
  readonly inputs: readonly KeptInput[];
}

const nobody: SessionDocument = { id: '', place: 0, head: 0, first: 1, createdAt: '', updatedAt: '', inputs: [] };

/** Sessions in a Genkit store. Everything that must be one step happens in one document, and one at a time. */
export class GenkitBacked implements SessionStore {
  readonly #parts: GenkitBackedParts;
  readonly #tenants: readonly string[];

  constructor(parts: GenkitBackedParts, tenants: readonly string[]) {
    this.#parts = parts;
    this.#tenants = tenants;
  }

  async acquire(
    sessionId: string,
    options: { owner: string; ttlMs: number; takeover?: boolean },
  ): Promise<SessionLease | undefined> {
    checkText(options.owner);
    checkTtl(options.ttlMs);
    return this.#leases.acquire(this.#key(sessionId), sessionId, options, this.#parts.clock);
  }

  async renew(lease: SessionLease, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    return this.#leases.renew(this.#key(lease.sessionId), lease, this.#parts.clock.now() + ttlMs);
  }

  async release(lease: SessionLease): Promise<void> {
    const key = this.#key(lease.sessionId);
    if (!this.#leases.release(key, lease)) return;
    await this.#alone(key, async () => {
      const session = await this.#parts.documents.get<SessionDocument>(key);
      if (session?.head === 0 && !this.#leases.isTaken(key)) await this.#parts.documents.clear(key);
    });
  }

  async load(sessionId: string, options: { version?: number } = {}): Promise<StoredSession | undefined> {
    const key = this.#key(sessionId);
    return this.#alone(key, async () => {
      const { documents } = this.#parts;
      const session = await documents.get<SessionDocument>(key);
      if (session === undefined || session.head === 0) return undefined;
      const { version = session.head } = options;
      const isKept = version >= session.first && version <= session.head;
      const last = isKept ? await documents.get<VersionDocument>(versionKey(key, version)) : undefined;
      if (last === undefined) return undefined;
      const versions = Array.from({ length: version - last.checkpoint }, (_, index) => last.checkpoint + index);
      const before = await Promise.all(versions.map((each) => documents.get<VersionDocument>(versionKey(key, each))));
      const texts = [...before, last].map((each) => each?.text ?? 'null');
      const [checkpoint, ...patches]: unknown[] = JSON.parse(`[${texts.join(',')}]`);
      const pending = session.inputs.filter(({ done }) => !done).map(toInput);
      const size = texts.reduce((sum, text) => sum + text.length, 0);
      const line = { ...summary(session), version, head: session.head, size };
      return { ...line, checkpoint, patches: patches as PatchOperation[][], pending };
    });
  }

  async save(lease: SessionLease, save: SessionSave): Promise<void> {
    checkSave(save);
    this.#assertHeld(lease);
    const { expectedVersion, change, keepVersions } = save;
    const isWhole = change.kind === 'checkpoint';
    // Taken now: whatever is done to the values later is not seen.
    const text = isWhole ? jsonText(change.record, 'change.record') : jsonText(change.patch, 'change.patch');
    const parent = save.parent && { ...save.parent };
    const key = this.#key(lease.sessionId);
    const { documents, clock } = this.#parts;
    const id = lease.sessionId;
    const assertHeld = () => this.#assertHeld({ ...lease, sessionId: id });
    await this.#alone(key, async () => {
      const session = (await documents.get<SessionDocument>(key)) ?? { ...nobody, id };
      assertHeld();
      if (session.head !== expectedVersion) throw new SessionConflictError(id, expectedVersion, session.head);
      const head = session.head + 1;
      const before = isWhole ? undefined : await documents.get<VersionDocument>(versionKey(key, session.head));
      await documents.put(versionKey(key, head), { text, checkpoint: before?.checkpoint ?? head });
      const first = await this.#firstKept(key, { ...session, head }, keepVersions);
      const now = new Date(clock.now()).toISOString();
      const place = session.place || (await this.#draw(id));
      const isNew = session.head === 0;
      const made = isNew ? { createdAt: now, ...(parent === undefined ? {} : { parent }) } : {};
      await documents.put(key, { ...session, ...made, place, head, first, updatedAt: now }, assertHeld);
      for (let version = session.first; version < first; version++) await documents.clear(versionKey(key, version));
    });
  }

  async accept(lease: SessionLease, given: AcceptedInput): Promise<AcceptedInput> {
    checkInput(given);
    const { id, run, turn, attempt, done } = given;
    const text = done || given.input === undefined ? {} : { text: jsonText(given.input, 'input') };
    const input: KeptInput = { id, run, turn, attempt, done, ...text };
    const { sessionId } = lease;
    const assertHeld = () => this.#assertHeld({ ...lease, sessionId });
    const key = this.#key(sessionId);
    return this.#alone(key, async () => {
      const { documents } = this.#parts;
      const session = (await documents.get<SessionDocument>(key)) ?? { ...nobody, id: sessionId };
      assertHeld();
      const recorded = session.inputs.find((each) => each.id === id);
      if (recorded !== undefined && !isReplacedBy(recorded, toInput(input))) return toInput(recorded);
      const others = session.inputs.map((each) => (each === recorded ? input : each));
      const inputs = recorded === undefined ? [...session.inputs, input] : others;
      await documents.put(key, { ...session, inputs }, assertHeld);
      return toInput(input);
    });
  }

  async list(
    options: { limit?: number; cursor?: string } = {},
  ): Promise<{ sessions: SessionSummary[]; next?: string }> {
    const { limit, after } = pageOf(options);
    const { documents } = this.#parts;
    const last = (await documents.get<{ last: number }>(this.#placesKey()))?.last ?? 0;
    const sessions: SessionSummary[] = [];
    let end = 0;
    for (let place = after + 1; place <= last; place++) {
      const at = await documents.get<{ id: string }>(versionKey(this.#placesKey(), place));
      const session = at && (await documents.get<SessionDocument>(this.#key(at.id)));
      // A session that was made again has another place.
      if (session?.place !== place || session.head === 0) continue;
      if (sessions.length === limit) return { sessions, next: cursorAfter(end) };
      sessions.push(summary(session));
      end = place;
    }
    return { sessions };
  }

  async delete(sessionId: string): Promise<boolean> {
    const key = this.#key(sessionId);
    this.#leases.drop(key);
    return this.#alone(key, async () => {
      const { documents } = this.#parts;
      const session = await documents.get<SessionDocument>(key);
      if (session === undefined) return false;
      await documents.clear(key);
      for (let version = session.first; version <= session.head; version++)
        await documents.clear(versionKey(key, version));
      if (session.place > 0) await documents.clear(versionKey(this.#placesKey(), session.place));
      return session.head > 0;
    });
  }

  forTenant(tenant: string): GenkitBacked {
    const { scopes } = this.#parts;
    const tenants = [...this.#tenants, tenant];
    const name = tenantText(tenants);
    const scope = scopes.get(name) ?? new GenkitBacked(this.#parts, tenants);
    scopes.set(name, scope);
    return scope;
  }

  /** The oldest version to be kept may need older ones: everything from its whole record on stays. */
  async #firstKept(key: string, { first, head }: SessionDocument, keepVersions: number | undefined): Promise<number> {
    const oldest = keepVersions === undefined ? 0 : head - keepVersions + 1;
    if (oldest <= first) return first;
    return (await this.#parts.documents.get<VersionDocument>(versionKey(key, oldest)))?.checkpoint ?? first;
  }

  /** The next place in the order of creation. */
  #draw(id: string): Promise<number> {
    const key = this.#placesKey();
    return this.#alone(key, async () => {
      const { documents } = this.#parts;
      const place = ((await documents.get<{ last: number }>(key))?.last ?? 0) + 1;
      await documents.put(versionKey(key, place), { id });
      await documents.put(key, { last: place });
      return place;
    });
  }

  get #leases(): ProcessLeases {
    return this.#parts.here.leases;
  }

  #assertHeld(lease: SessionLease): void {
    if (!this.#leases.isHeld(this.#key(lease.sessionId), lease)) throw new LeaseLostError(lease.sessionId);
  }

  /** One piece of work at a time on one document and those that hang by it. */
  async #alone<T>(key: string, work: () => Promise<T>): Promise<T> {
    const { locks } = this.#parts.here;
    const worker = {};
    await locks.enter(key, worker, new AbortController().signal);
    try {
      return await work();
    } finally {
      locks.leave(key, worker);
    }
  }

  #key(sessionId: string): string {
    checkText(sessionId);
    return documentKey('session', this.#tenants, sessionId);
  }

  #placesKey(): string {
    return documentKey('places', this.#tenants);
  }
}

function summary({ id, head, parent, createdAt, updatedAt }: SessionDocument): SessionSummary {
  return { id, version: head, ...(parent === undefined ? {} : { parent: { ...parent } }), createdAt, updatedAt };
}

function toInput({ text, ...input }: KeptInput): AcceptedInput {
  return text === undefined ? input : { ...input, input: JSON.parse(text) };
}
