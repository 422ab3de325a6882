/**
 * CONTRACT: where sessions are kept. A store knows nothing of agents, schemas or Genkit: it keeps versions of a JSON
 * record, lets one writer at a time hold a session, and refuses every write that is not the next version.
 *
 * Every rule below is a case of the public suite `testSessionStore` in `genkitx-agent/testing`.
 */
import type { PatchOperation } from '../internal/patch.js';
import type { AbortListener, FeedEntries, FeedPage, RunFeed } from './run-feed.js';
import type { SessionLease } from './session-lease.js';

export type { AbortListener, FeedEntries, FeedPage, RunFeed, SessionLease };

/** What one version changed: either the whole record, or the operations (RFC 6902) that lead to it from the one before. */
export type SessionChange =
  | { readonly kind: 'checkpoint'; readonly record: unknown }
  | { readonly kind: 'patch'; readonly patch: readonly PatchOperation[] };

/** Where a forked session came from. */
export interface SessionParent {
  readonly sessionId: string;
  /** The version of that session which became version 1 of this one. */
  readonly version: number;
}

/** An input that was sent with an id: remembered, so that the same id is never run twice. */
export interface AcceptedInput {
  /** As its sender has chosen it; unique in its session. */
  readonly id: string;
  /** The run and turn (from 0) that took it; the cursor of its chunks. */
  readonly run: string;
  readonly turn: number;
  /** 1, and one more each time its turn had to start over because the run that took it died. */
  readonly attempt: number;
  /** False until its turn has ended. */
  readonly done: boolean;
  /** The input itself, kept until `done` so that another process can run it. */
  readonly input?: unknown;
}

/** A session as loaded: enough to rebuild one version of its record. */
export interface StoredSession {
  readonly id: string;
  /** The version asked for, else the newest. Versions start at 1 and have no gaps. */
  readonly version: number;
  /** The newest version: what the next save must name as `expectedVersion`. */
  readonly head: number;
  /** The newest checkpoint at or before `version`, and the patches after it, in order. */
  readonly checkpoint: unknown;
  /** Each leads from one version to the next; none, where `checkpoint` is the version itself. */
  readonly patches: readonly (readonly PatchOperation[])[];
  /** Characters of JSON that checkpoint and patches are kept as: what the next checkpoint is weighed against. */
  readonly size: number;
  /** Where it was forked from; absent when it was not. */
  readonly parent?: SessionParent;
  /** When version 1 was saved; ISO 8601, by the store's clock. */
  readonly createdAt: string;
  /** When the newest version was saved; ISO 8601, by the store's clock. */
  readonly updatedAt: string;
  /** Inputs with an id whose turn has not ended, whatever the version; in the order their ids were first accepted. */
  readonly pending: readonly AcceptedInput[];
}

/** One line of a listing. */
export type SessionSummary = Pick<StoredSession, 'id' | 'version' | 'parent' | 'createdAt' | 'updatedAt'>;

/** One atomic write: the next version. */
export interface SessionSave {
  /** The head this change is based on; 0 (the least) creates the session. */
  readonly expectedVersion: number;
  /** A checkpoint with version 1; either with any other. */
  readonly change: SessionChange;
  /** Only with version 1. */
  readonly parent?: SessionParent;
  /**
   * After this save, drop what is older than the newest `keepVersions` versions (from 1) and not needed to load them. Left
   * out: drop nothing.
   */
  readonly keepVersions?: number;
}

/**
 * Where sessions are kept. Ids are opaque and hostile: they never become a path or part of a query. Any text is one, and
 * what is no text is refused with `INVALID_VALUE`, wherever a session, an owner, an input or a tenant is named; so is a
 * number that is outside of what is said here. In what a store answers, a member without a value is left out.
 */
export interface SessionStore {
  /**
   * Takes the session's lease for `ttlMs` (whole milliseconds, up to 2^31 - 1), whether the session exists yet or not.
   * Answers `undefined` while another owner holds an unexpired one, unless `takeover` is set. The holder itself may
   * acquire again, and loses its older lease by it. Fences only grow, also those of a session that was deleted and made
   * again. Time is the store's own clock. A store that tells of releases may keep a session that was released for those
   * who were waiting, for a second at most; others are then refused, too.
   */
  acquire(
    sessionId: string,
    options: { owner: string; ttlMs: number; takeover?: boolean },
  ): Promise<SessionLease | undefined>;
  /** The lease ends `ttlMs` from now instead of when it would have. False means it is lost; nothing brings it back. */
  renew(lease: SessionLease, ttlMs: number): Promise<boolean>;
  /** Gives the lease up; of a session that was never saved nothing is left, no input either. A lost one: does nothing. */
  release(lease: SessionLease): Promise<void>;
  /**
   * Resolves when a session that is held may have become free, perhaps too early; of an expiry it need not know. Rejects
   * with the signal's reason, and when it cannot tell after all. A store that never can leaves it out, and those who wait
   * ask again and again. Who waits counts as waiting until the signal fires.
   */
  readonly whenReleased?: ((sessionId: string, signal: AbortSignal) => Promise<void>) | undefined;
  /** One version of a session, the newest by default. `undefined`: no such session, or no such version, be it 0 or 1.5. */
  load(sessionId: string, options?: { version?: number }): Promise<StoredSession | undefined>;
  /**
   * Writes version `expectedVersion + 1`; when it resolves the store has it. Throws `INVALID_VALUE` for what makes no
   * version (a first one that is a patch, a later one with a parent, a value that is not JSON), `LeaseLostError` when the
   * lease is not the current one, else `SessionConflictError` when the head is another version, both with the id of the
   * session. Each way nothing is written. Values are taken at the moment of the call, and what `load` hands out is the
   * caller's own.
   */
  save(lease: SessionLease, save: SessionSave): Promise<void>;
  /**
   * Records an input that carries an id, or answers what is already recorded under that id; whether the session was
   * saved yet or not. A record that is not `done` is replaced by one of a higher attempt, or by its own `done`; one that is
   * `done` has no `input`. Throws `INVALID_VALUE` for an input that is not JSON, and `LeaseLostError` like `save`.
   */
  accept(lease: SessionLease, input: AcceptedInput): Promise<AcceptedInput>;
  /**
   * Sessions in the order their first versions were saved, `limit` at a time (from 1; default 100). `cursor` is the `next`
   * of the page before, which the last page lacks; anything else is `INVALID_VALUE`. Whatever comes and goes meanwhile, no
   * session is missed or repeated.
   */
  list(options?: { limit?: number; cursor?: string }): Promise<{ sessions: SessionSummary[]; next?: string }>;
  /** Erases every trace of a session: versions, inputs, lease. False: there was none. A holder's later writes are refused. */
  delete(sessionId: string): Promise<boolean>;
  /**
   * The same store for one tenant: nothing of another, nor of the store as it is without a tenant, can be read, listed,
   * written or deleted through it, not even with a lease of the other's. A tenant of a tenant is within it.
   */
  forTenant(tenant: string): SessionStore;
  /** What runs say, for those who watch from other processes. A store that keeps none leaves it out. */
  readonly feed?: RunFeed;
}
