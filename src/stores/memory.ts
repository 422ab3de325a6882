/** Sessions in memory: for tests, for development and for what may be forgotten. Runs in a browser too. */
import { LeaseLostError, SessionConflictError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import type { PatchOperation } from '../internal/patch.js';
import type {
  AcceptedInput,
  SessionLease,
  SessionParent,
  SessionSave,
  SessionStore,
  SessionSummary,
  StoredSession,
} from '../session/store.js';
import {
  checkInput,
  checkSave,
  checkText,
  checkTtl,
  cursorAfter,
  isReplacedBy,
  jsonText,
  pageOf,
} from '../session/store-checks.js';

/** Options of {@link MemorySessionStore}. */
export interface MemorySessionStoreOptions {
  /** Tells the time for leases and for `createdAt` and `updatedAt`. The system's clock by default; a manual one in tests. */
  readonly clock?: Clock;
}

/** Values are kept as JSON text: what goes in and what comes out shares nothing, and costs what the change costs. */
interface KeptVersion {
  readonly text: string;
  /** The version of the newest whole record at or before this one. */
  readonly checkpoint: number;
}

interface KeptInput extends Omit<AcceptedInput, 'input'> {
  readonly text: string | undefined;
}

interface KeptSession {
  readonly id: string;
  /** Its place in the order of creation; 0 while it is held but has no version yet. */
  place: number;
  head: number;
  /** Versions without a gap; the last one is the head. */
  readonly versions: KeptVersion[];
  /** Made for the first one, as most sessions record none. */
  inputs: Map<string, KeptInput> | undefined;
  parent: SessionParent | undefined;
  createdAt: string;
  updatedAt: string;
  owner: string | undefined;
  fence: number;
  leaseUntil: number;
}

/** A {@link SessionStore} that lives as long as this object. */
export class MemorySessionStore implements SessionStore {
  readonly #clock: Clock;
  readonly #sessions = new Map<string, KeptSession>();
  /** The sessions that have a version, in the order they were created. */
  readonly #created: KeptSession[] = [];
  readonly #tenants = new Map<string, MemorySessionStore>();
  /**
   * Fences and places are drawn from one count, so neither ever repeats, not even for an id that was deleted. All stores
   * draw from the same, so a lease of one, or of one tenant, fits no other.
   */
  static #lastDrawn = 0;

  constructor({ clock = systemClock }: MemorySessionStoreOptions = {}) {
    this.#clock = clock;
  }

  async acquire(
    sessionId: string,
    options: { owner: string; ttlMs: number; takeover?: boolean },
  ): Promise<SessionLease | undefined> {
    const { owner, ttlMs, takeover = false } = options;
    checkText(sessionId);
    checkText(owner);
    checkTtl(ttlMs);
    const now = this.#clock.now();
    const session = this.#sessions.get(sessionId) ?? newSession(sessionId);
    const isHeldByAnother = session.owner !== undefined && session.owner !== owner && session.leaseUntil > now;
    if (isHeldByAnother && !takeover) return undefined;
    this.#sessions.set(sessionId, session);
    session.owner = owner;
    session.fence = this.#draw();
    session.leaseUntil = now + ttlMs;
    return { sessionId, owner, fence: session.fence };
  }

  async renew(lease: SessionLease, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    const session = this.#heldBy(lease);
    if (session !== undefined) session.leaseUntil = this.#clock.now() + ttlMs;
    return session !== undefined;
  }

  async release(lease: SessionLease): Promise<void> {
    const session = this.#heldBy(lease);
    if (session === undefined) return;
    session.owner = undefined;
    if (session.head === 0) this.#sessions.delete(session.id);
  }

  async load(sessionId: string, options: { version?: number } = {}): Promise<StoredSession | undefined> {
    checkText(sessionId);
    const session = this.#sessions.get(sessionId);
    if (session === undefined || session.head === 0) return undefined;
    const { version = session.head } = options;
    const last = version - firstVersion(session);
    const checkpoint = session.versions[last]?.checkpoint;
    if (checkpoint === undefined) return undefined;
    const texts = session.versions.slice(checkpoint - firstVersion(session), last + 1).map(({ text }) => text);
    const [record, ...patches]: unknown[] = JSON.parse(`[${texts.join(',')}]`);
    const pending = [...(session.inputs?.values() ?? [])].filter(({ done }) => !done).map(toInput);
    return {
      ...summary(session),
      version,
      head: session.head,
      checkpoint: record,
      patches: patches as PatchOperation[][],
      size: texts.reduce((size, text) => size + text.length, 0),
      pending,
    };
  }

  async save(lease: SessionLease, save: SessionSave): Promise<void> {
    checkSave(save);
    const { expectedVersion, change, parent, keepVersions } = save;
    const isCheckpoint = change.kind === 'checkpoint';
    const text = isCheckpoint ? jsonText(change.record, 'change.record') : jsonText(change.patch, 'change.patch');
    const session = this.#mustBeHeldBy(lease);
    if (session.head !== expectedVersion)
      throw new SessionConflictError(lease.sessionId, expectedVersion, session.head);
    const now = new Date(this.#clock.now()).toISOString();
    if (session.head === 0) this.#create(session, parent, now);
    session.head += 1;
    session.updatedAt = now;
    session.versions.push({
      text,
      checkpoint: isCheckpoint ? session.head : (session.versions.at(-1)?.checkpoint ?? session.head),
    });
    if (keepVersions !== undefined) dropOldVersions(session, keepVersions);
  }

  async accept(lease: SessionLease, input: AcceptedInput): Promise<AcceptedInput> {
    checkInput(input);
    const session = this.#mustBeHeldBy(lease);
    const recorded = session.inputs?.get(input.id);
    if (recorded !== undefined && !isReplacedBy(recorded, input)) return toInput(recorded);
    const { id, run, turn, attempt, done } = input;
    const text = done || input.input === undefined ? undefined : jsonText(input.input, 'input');
    const next = { id, run, turn, attempt, done, text };
    session.inputs ??= new Map();
    session.inputs.set(id, next);
    return toInput(next);
  }

  async list(
    options: { limit?: number; cursor?: string } = {},
  ): Promise<{ sessions: SessionSummary[]; next?: string }> {
    const { limit, after } = pageOf(options);
    const start = this.#firstCreatedAfter(after);
    const page = this.#created.slice(start, start + limit);
    const last = page.at(-1);
    const sessions = page.map(summary);
    return last === undefined || start + limit >= this.#created.length
      ? { sessions }
      : { sessions, next: cursorAfter(last.place) };
  }

  async delete(sessionId: string): Promise<boolean> {
    checkText(sessionId);
    const session = this.#sessions.get(sessionId);
    this.#sessions.delete(sessionId);
    if (session === undefined || session.place === 0) return false;
    this.#created.splice(this.#firstCreatedAfter(session.place - 1), 1);
    return true;
  }

  forTenant(tenant: string): SessionStore {
    checkText(tenant);
    const scope = this.#tenants.get(tenant) ?? new MemorySessionStore({ clock: this.#clock });
    this.#tenants.set(tenant, scope);
    return scope;
  }

  #draw(): number {
    MemorySessionStore.#lastDrawn += 1;
    return MemorySessionStore.#lastDrawn;
  }

  #heldBy({ sessionId, owner, fence }: SessionLease): KeptSession | undefined {
    const session = this.#sessions.get(sessionId);
    return session?.owner === owner && session.fence === fence ? session : undefined;
  }

  #mustBeHeldBy(lease: SessionLease): KeptSession {
    const session = this.#heldBy(lease);
    if (session === undefined) throw new LeaseLostError(lease.sessionId);
    return session;
  }

  #create(session: KeptSession, parent: SessionParent | undefined, now: string): void {
    session.place = this.#draw();
    session.parent = parent && { ...parent };
    session.createdAt = now;
    this.#created.push(session);
  }

  /** By bisection, so that walking through all pages costs what they hold. */
  #firstCreatedAfter(place: number): number {
    let low = 0;
    let high = this.#created.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#created[middle]?.place ?? 0) > place) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function newSession(id: string): KeptSession {
  const nothingYet = { parent: undefined, createdAt: '', updatedAt: '', owner: undefined };
  return { id, place: 0, head: 0, versions: [], inputs: undefined, ...nothingYet, fence: 0, leaseUntil: 0 };
}

function firstVersion({ head, versions }: KeptSession): number {
  return head - versions.length + 1;
}

/** The oldest version to be kept may need older ones: everything from its checkpoint on stays. */
function dropOldVersions(session: KeptSession, keepVersions: number): void {
  const oldestKept = session.versions.at(-keepVersions);
  if (oldestKept !== undefined) session.versions.splice(0, oldestKept.checkpoint - firstVersion(session));
}

function summary({ id, head, parent, createdAt, updatedAt }: KeptSession): SessionSummary {
  return { id, version: head, ...(parent === undefined ? {} : { parent: { ...parent } }), createdAt, updatedAt };
}

function toInput({ text, ...input }: KeptInput): AcceptedInput {
  return text === undefined ? input : { ...input, input: JSON.parse(text) };
}
