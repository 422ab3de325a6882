/** The sessions of an agent as Genkit's snapshots: what `getSnapshot` answers, and what `abort` does. */
import type { SessionSnapshot, SessionState, SessionStore, SnapshotMutator } from 'genkit/beta';
import { v4 as uuid } from 'uuid';
import type { Artifact } from '../../agent/agent.js';
import type { Attachment } from '../../connection/attachment.js';
import { AgentFlowError, InvalidValueError, isAgentFlowError } from '../../errors.js';
import { isPassingOwner, passingOwner } from '../../session/passing-owner.js';
import type { Sessions } from '../../session/sessions.js';
import type { SessionStore as OwnStore } from '../../session/store.js';
import { askedSnapshot } from '../asked-snapshot.js';
import { turnReason } from './answer.js';
import type { ChatShape } from './shape.js';
import { decodeSnapshotId, encodeSnapshotId, type SnapshotKey } from './snapshot-id.js';
import { type ChatTasks, type KnownTask, probeTtlMs } from './tasks.js';

/** Runs as far as they are ended from outside. */
export interface AbortableRuns {
  /** Is a run open for this session in this process? */
  isRunning(sessionId: string): boolean;
  /** Ends every run that is open for this session in this process. False: there was none. */
  abort(sessionId: string, reason?: unknown): boolean;
  /** Finds the run that has this session, in whatever process. */
  attach(sessionId: string): Pick<Attachment<unknown>, 'abort'>;
}

/** What {@link ChatSnapshots} needs. */
export interface ChatSnapshotsParts {
  readonly shape: ChatShape;
  readonly sessions: Sessions<unknown>;
  readonly store: OwnStore;
  readonly tasks: ChatTasks;
  readonly runs: AbortableRuns;
}

const abortReason = 'aborted through its snapshot';

/** A Genkit session store over an agent's sessions, as far as Genkit's companion actions use one. Nothing is saved through it. */
export class ChatSnapshots implements SessionStore {
  readonly #parts: ChatSnapshotsParts;

  constructor(parts: ChatSnapshotsParts) {
    this.#parts = parts;
  }

  /** The snapshot of an id, or of the newest version of a session. `undefined`: there is none. */
  async getSnapshot(options: { snapshotId?: string; sessionId?: string }): Promise<SessionSnapshot | undefined> {
    const asked = askedSnapshot(options);
    if ('sessionId' in asked) return this.#snapshot(asked);
    const key = decodeSnapshotId(asked.snapshotId);
    if (key === undefined) return undefined;
    return key.task === undefined ? this.#snapshot(key) : this.#taskSnapshot({ ...key, task: key.task });
  }

  /** Where to continue from. Throws `SESSION_NOT_FOUND`, or `INVALID_VALUE` for a task that has come to no good end. */
  async resumable(snapshotId: string): Promise<SnapshotKey> {
    const key = decodeSnapshotId(snapshotId);
    if (key === undefined) throw new AgentFlowError('SESSION_NOT_FOUND', 'There is no such snapshot');
    if (key.task === undefined) return key;
    const task = await this.#parts.tasks.read({ sessionId: key.sessionId, id: key.task });
    if (task === undefined) throw new AgentFlowError('SESSION_NOT_FOUND', 'There is no such snapshot');
    if (task.status === 'completed') return { sessionId: key.sessionId, version: task.version };
    const issue = { path: 'snapshotId', expected: 'a snapshot whose status is completed', received: task.status };
    throw new InvalidValueError('init', [issue]);
  }

  /** The version if it can still be loaded, else the newest one. */
  async kept(sessionId: string, version: number): Promise<number> {
    const { store } = this.#parts;
    if ((await store.load(sessionId, { version })) !== undefined) return version;
    return (await store.load(sessionId))?.head ?? version;
  }

  /** Genkit's `abort` marks a snapshot as aborted: here that ends whatever runs on its session, wherever it runs. */
  async saveSnapshot(snapshotId: string | undefined, mutator: SnapshotMutator): Promise<string | null> {
    const snapshot = snapshotId === undefined ? undefined : await this.getSnapshot({ snapshotId });
    const key = snapshotId === undefined ? undefined : decodeSnapshotId(snapshotId);
    const isVersion = snapshot !== undefined && key !== undefined && key.task === undefined;
    const isRunning = isVersion && (await this.#isRunning(key.sessionId));
    const next = mutator(isRunning ? { ...snapshot, status: 'pending' } : snapshot);
    if (next === null) return null;
    if (snapshotId === undefined || key === undefined || next.status !== 'aborted') {
      const expected = 'nothing but an abort: snapshots are made by runs';
      throw new InvalidValueError('option', [{ path: 'snapshot', expected, received: String(next.status) }]);
    }
    await this.#abort(key);
    return snapshotId;
  }

  /** Tells Genkit that runs can be aborted; it asks for no more, because no run goes through its own machinery. */
  onSnapshotStateChange(): () => void {
    return () => {};
  }

  async #snapshot(key: { sessionId: string; version?: number }): Promise<SessionSnapshot | undefined> {
    const { sessionId } = key;
    const found = await this.#parts.sessions.get(sessionId, key).catch(undefinedIfMissing);
    if (found === undefined) return undefined;
    const { version, parent, createdAt, updatedAt, artifacts, state } = found;
    const before = version > 1 ? { sessionId, version: version - 1 } : parent;
    const exposed = exposedState(this.#parts.shape, { sessionId, state, artifacts });
    const last = exposed.messages?.at(-1);
    return {
      snapshotId: encodeSnapshotId({ sessionId, version }),
      sessionId,
      ...(before === undefined ? {} : { parentId: encodeSnapshotId(before) }),
      createdAt,
      updatedAt,
      status: 'completed',
      // Whoever comes back to it sees that a tool waits for a human.
      ...(last?.role === 'model' ? { finishReason: turnReason(undefined, last) } : {}),
      state: exposed,
    };
  }

  async #taskSnapshot(key: Required<SnapshotKey>): Promise<SessionSnapshot | undefined> {
    const name = { sessionId: key.sessionId, id: key.task };
    const task: KnownTask | undefined = await this.#parts.tasks.read(name);
    if (task === undefined) return undefined;
    const version = await this.kept(key.sessionId, task.version);
    const snapshot = await this.#snapshot({ sessionId: key.sessionId, version });
    if (snapshot === undefined) {
      // The session was deleted, so nothing of it may stay.
      await this.#parts.tasks.forget(name);
      return undefined;
    }
    // How the version it stands at came about says nothing about the task.
    const { finishReason: _, ...found } = snapshot;
    const { status, finishReason, error } = task;
    const parentId = encodeSnapshotId({ sessionId: key.sessionId, version: key.version });
    return {
      ...{ ...found, snapshotId: encodeSnapshotId(key), parentId, status },
      ...(finishReason === undefined ? {} : { finishReason }),
      ...(error === undefined ? {} : { error }),
    };
  }

  /** Does anything run on this session, here or in another process? */
  async #isRunning(sessionId: string): Promise<boolean> {
    const { runs, store } = this.#parts;
    if (runs.isRunning(sessionId)) return true;
    const seen = await store.feed?.read(sessionId, { from: 0, limit: 1 });
    if (store.feed !== undefined) return seen?.isHeld === true && !isPassingOwner(seen.run);
    const lease = await store.acquire(sessionId, { owner: passingOwner(uuid()), ttlMs: probeTtlMs });
    if (lease !== undefined) await store.release(lease);
    return lease === undefined;
  }

  async #abort({ sessionId, task }: SnapshotKey): Promise<void> {
    const { runs, tasks } = this.#parts;
    if (runs.abort(sessionId, abortReason)) return tasks.ended(sessionId);
    await this.#abortElsewhere(sessionId);
    if (task !== undefined) await tasks.abort({ sessionId, id: task });
  }

  /** Asks a run of another process to end, and waits until it has. One that cannot be asked is fenced off. */
  async #abortElsewhere(sessionId: string): Promise<void> {
    const { runs, store } = this.#parts;
    const end = await runs.attach(sessionId).abort(abortReason).catch(undefinedIfNotRunning);
    if (end !== undefined) return;
    // It can save nothing more, and learns so at its next renewal or save.
    const owner = passingOwner(uuid());
    const lease = await store.acquire(sessionId, { owner, ttlMs: probeTtlMs, takeover: true });
    if (lease !== undefined) await store.release(lease);
  }
}

/** A session's memory as Genkit's, and nobody else's to change. */
export function exposedState(
  shape: ChatShape,
  { sessionId, state, artifacts }: { sessionId: string; state: unknown; artifacts: readonly Artifact[] },
): SessionState {
  return structuredClone({ sessionId, ...shape.expose(state), artifacts: [...artifacts] }) as SessionState;
}

function undefinedIfMissing(error: unknown): undefined {
  const isMissing =
    isAgentFlowError(error) && (error.code === 'SESSION_NOT_FOUND' || error.code === 'VERSION_NOT_FOUND');
  if (!isMissing) throw error;
}

function undefinedIfNotRunning(error: unknown): undefined {
  if (!isAgentFlowError(error) || error.code !== 'SESSION_NOT_RUNNING') throw error;
}
