/** Sessions from outside a run: look, list, fork, delete. */
import type { Artifact } from '../../schemas/index.js';
import { assertOptions } from '../errors/options.js';
import { AgentFlowError, InvalidValueError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import { inStore } from './in-store.js';
import { holdSession } from './lease.js';
import { frozenState, loadVersion, noSuchSession, type StateRules } from './open-session.js';
import { passingOwner } from './passing-owner.js';
import { rebuildRecord } from './record.js';
import type { SessionParent, SessionStore, SessionSummary } from './store.js';

/** A session as it was at one version. */
export interface SessionSnapshot<State> {
  readonly id: string;
  /** The version asked for, else the newest; from 1. */
  readonly version: number;
  /** As `stateSchema` reads it, migrated where that was needed; frozen. */
  readonly state: Readonly<State>;
  /** Each as it was at this version, in the order the names first appeared. */
  readonly artifacts: readonly Artifact[];
  /** The session and version it was forked from; `undefined`: it was not. */
  readonly parent: SessionParent | undefined;
  /** ISO 8601. */
  readonly createdAt: string;
  /** When the newest version was saved; ISO 8601. */
  readonly updatedAt: string;
}

/** Which version, and under which id. */
export interface ForkOptions {
  /** The version to branch from; the newest by default. */
  readonly version?: number;
  /** Id of the new session; a new UUID by default. */
  readonly sessionId?: string;
}

/** What the sessions of an agent need. */
export interface SessionsParts {
  readonly store: SessionStore | undefined;
  readonly rules: StateRules;
  readonly clock: Clock;
  readonly leaseTtlMs: number;
  readonly newId: () => string;
}

/** The stored sessions of one agent. Every method throws `NO_STORE` for an agent without a store. */
export class Sessions<State> {
  readonly #parts: SessionsParts;

  constructor(parts: SessionsParts) {
    this.#parts = parts;
  }

  /**
   * One version of a session, the newest by default; `undefined` when there is no such session. With a `version` throws
   * `SESSION_NOT_FOUND` then, and `VERSION_NOT_FOUND` where it is only that which is missing; `INVALID_VALUE` for one that
   * is no number. A state that cannot be read any more is `STORED_STATE_INVALID`.
   */
  async get(sessionId: string, options: { version?: number } = {}): Promise<SessionSnapshot<State> | undefined> {
    assertOptions(options);
    const stored = await loadVersion(this.#store, sessionId, options.version);
    if (stored === undefined) return undefined;
    const { id, version, parent, createdAt, updatedAt } = stored;
    const record = rebuildRecord(stored);
    const state = frozenState(await this.#parts.rules.read(record.state, sessionId), sessionId) as State;
    const artifacts = record.artifacts.flatMap(({ name, versions }) =>
      versions.slice(-1).map((last) => ({ name, ...last })),
    );
    return { id, version, state, artifacts, parent, createdAt, updatedAt };
  }

  /** Sessions in the order they were created, `limit` (default 100) at a time. Pass the page's `next` as `cursor` for the next one. */
  async list(
    options: { limit?: number; cursor?: string } = {},
  ): Promise<{ sessions: SessionSummary[]; next?: string }> {
    assertOptions(options);
    const store = this.#store;
    return inStore(() => store.list(options));
  }

  /**
   * Makes a new session from a version of another one, and answers its id. The new one remembers its parent; the old one
   * is not touched. Throws `SESSION_NOT_FOUND`, `VERSION_NOT_FOUND`, or `SESSION_EXISTS` for a `sessionId` that is taken.
   */
  async fork(sessionId: string, options: ForkOptions = {}): Promise<string> {
    assertOptions(options);
    const store = this.#store;
    const stored = await loadVersion(store, sessionId, options.version);
    if (stored === undefined) throw noSuchSession();
    const record = rebuildRecord(stored);
    const id = options.sessionId ?? this.#parts.newId();
    // Asked before it is held, too: a taken id is taken whether or not somebody works with it.
    await assertFree(store, id);
    const hold = await holdSession(store, id, {
      policy: 'reject',
      owner: passingOwner(this.#parts.newId()),
      clock: this.#parts.clock,
      ttlMs: this.#parts.leaseTtlMs,
      signal: new AbortController().signal,
      onLost: () => {},
    });
    try {
      await assertFree(store, id);
      const parent = { sessionId, version: stored.version };
      const first = { expectedVersion: 0, change: { kind: 'checkpoint', record }, parent } as const;
      await inStore(() => store.save(hold.lease, first));
    } finally {
      await hold.release().catch(() => {});
    }
    return id;
  }

  /** Erases every trace of a session. A run that has it open loses it. False: there was none. */
  async delete(sessionId: string): Promise<boolean> {
    const store = this.#store;
    return inStore(() => store.delete(sessionId));
  }

  get #store(): SessionStore {
    if (this.#parts.store === undefined) throw new AgentFlowError('NO_STORE', 'This agent has no session store');
    return this.#parts.store;
  }
}

async function assertFree(store: SessionStore, id: unknown): Promise<void> {
  if (typeof id !== 'string' || id === '') {
    throw new InvalidValueError('id', [{ path: 'sessionId', expected: 'a non-empty string', received: typeof id }]);
  }
  if ((await loadVersion(store, id, undefined)) === undefined) return;
  throw new AgentFlowError('SESSION_EXISTS', 'The id for the new session is already taken');
}
