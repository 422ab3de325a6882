/** Which session a run gets: a new one or a known one, kept by a store or by nobody, at its newest version or an older one. */
import { AgentFlowError, InvalidValueError, type LeaseLostError, StoredStateError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import { diff } from '../internal/diff.js';
import { deepFreeze } from '../internal/freeze.js';
import { frozenJson } from '../internal/json.js';
import { inStore } from './in-store.js';
import { type BusySessionPolicy, type Hold, holdSession } from './lease.js';
import { ownJson } from './own-values.js';
import { rebuildRecord, type SessionRecord } from './record.js';
import type { WaitSignal } from './release-watch.js';
import { SavedSession } from './saved-session.js';
import { OpenSession, type StateChecker } from './session.js';
import type { AcceptedInput, SessionLease, SessionStore, StoredSession } from './store.js';

/** What an agent says about its state. */
export interface StateRules extends StateChecker {
  /** The state of a new session: `init` when it is not `undefined`, else the agent's default. Throws `INVALID_VALUE` or `NO_INITIAL_STATE`. */
  create(init: unknown): unknown;
  /** A stored state as the schema reads it today, migrated if the agent does. Throws `STORED_STATE_INVALID`. */
  read(stored: unknown, sessionId: string): unknown | Promise<unknown>;
}

/** How a session is opened. */
export interface OpenSessionOptions {
  readonly sessionId: string;
  readonly store: SessionStore | undefined;
  readonly rules: StateRules;
  /** Initial state for a new session; ignored when the session is known. */
  readonly init: unknown;
  /** Continue from this version as a new head. */
  readonly version: number | undefined;
  readonly policy: BusySessionPolicy;
  readonly owner: string;
  readonly clock: Clock;
  readonly leaseTtlMs: number;
  readonly keepVersions: number | undefined;
  readonly signal: WaitSignal;
  readonly onLost: (error: LeaseLostError) => void;
}

/** A session that is open, and the inputs an earlier run accepted but did not live to answer. */
export interface Opened<State> {
  readonly session: OpenSession<State>;
  /** By which the store knows the run; none without a store. */
  readonly lease?: SessionLease;
  readonly pending: readonly AcceptedInput[];
}

/** Opens the session of a run: a known id is loaded, an unknown one created. Nothing stays held when it throws. */
export async function openSession<State>(options: OpenSessionOptions): Promise<Opened<State>> {
  const { store } = options;
  if (store === undefined) return { session: openUnsaved(options), pending: [] };
  const hold = await holdSession(store, options.sessionId, {
    policy: options.policy,
    owner: options.owner,
    clock: options.clock,
    ttlMs: options.leaseTtlMs,
    signal: options.signal,
    onLost: options.onLost,
  });
  try {
    return await openSaved(store, hold, options);
  } catch (error) {
    await hold.release().catch(() => {});
    throw error;
  }
}

function openUnsaved<State>(options: OpenSessionOptions): OpenSession<State> {
  const { sessionId: id, rules, version } = options;
  if (version !== undefined) throw new AgentFlowError('NO_STORE', 'Going back to a version needs a session store');
  return new OpenSession<State>({ id, version: 1, record: newRecord(rules.create(options.init)), checker: rules });
}

async function openSaved<State>(store: SessionStore, hold: Hold, options: OpenSessionOptions): Promise<Opened<State>> {
  const { sessionId: id, rules, version, keepVersions } = options;
  const stored = await loadVersion(store, id, version);
  if (stored === undefined) {
    const record = newRecord(rules.create(options.init));
    const first = { expectedVersion: 0, change: { kind: 'checkpoint', record } } as const;
    await inStore(() => store.save(hold.lease, first));
    const loadCost = JSON.stringify(record).length;
    const saved = new SavedSession({ store, hold, loadCost, needsCheckpoint: false, keepVersions });
    const session = new OpenSession<State>({ id, version: 1, record, checker: rules, saved });
    return { session, lease: hold.lease, pending: [] };
  }
  const { version: loaded, head, size, parent, pending } = stored;
  const found = rebuildRecord(stored);
  const state = await rules.read(found.state, id);
  const isUnchanged = diff(found.state, state).length === 0;
  const record = deepFreeze(isUnchanged ? found : { ...found, state: frozenState(state, id) });
  const needsCheckpoint = !isUnchanged || loaded !== head;
  const saved = new SavedSession({ store, hold, loadCost: size, needsCheckpoint, keepVersions });
  const session = new OpenSession<State>({ id, version: head, record, checker: rules, parent, saved });
  return { session, lease: hold.lease, pending };
}

/** The state as frozen JSON. Throws `STORED_STATE_INVALID` for what a schema or `migrate` has turned into something else. */
export function frozenState(state: unknown, sessionId: string): unknown {
  return ownJson(state, (issues) => new StoredStateError(sessionId, issues));
}

/** The version asked for; `undefined` only for a session that does not exist and was asked for without a version. */
export async function loadVersion(
  store: SessionStore,
  sessionId: string,
  version: number | undefined,
): Promise<StoredSession | undefined> {
  if (version === undefined) return inStore(() => store.load(sessionId));
  if (typeof version !== 'number')
    throw new InvalidValueError('option', [{ path: 'version', expected: 'a number', received: typeof version }]);
  const stored = await inStore(() => store.load(sessionId, { version }));
  if (stored !== undefined) return stored;
  if ((await inStore(() => store.load(sessionId))) === undefined) throw noSuchSession();
  throw new AgentFlowError('VERSION_NOT_FOUND', `The session has no version ${version}, or retention has dropped it`, {
    details: { version },
  });
}

/** The error for an id this store does not know. */
export function noSuchSession(): AgentFlowError {
  return new AgentFlowError('SESSION_NOT_FOUND', 'There is no such session in this store');
}

/** One for all sessions that have none yet. */
const noArtifacts: SessionRecord['artifacts'] = Object.freeze([]);

function newRecord(state: unknown): SessionRecord {
  return Object.freeze({ state: frozenJson(state, () => {}), artifacts: noArtifacts });
}
