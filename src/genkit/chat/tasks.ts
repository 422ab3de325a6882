/** Chats that were sent to the background: what becomes of each is written down, where any process can look. */
import { createHash } from 'node:crypto';
import type { AgentOutput } from 'genkit/beta';
import { v4 as uuid } from 'uuid';
import type { Clock } from '../../internal/clock.js';
import { Deferred } from '../../internal/deferred.js';
import { type Hold, holdSession } from '../../session/lease.js';
import type { SessionLease, SessionStore } from '../../session/store.js';

/** What has become of a task. */
export interface TaskRecord {
  readonly status: 'pending' | 'completed' | 'failed' | 'aborted';
  /** The version of the session to look at: where the task began until it has ended, then what it led to. */
  readonly version: number;
  readonly finishReason?: AgentOutput['finishReason'];
  readonly error?: AgentOutput['error'];
}

/** A record as it is read: `expired` says that the process that ran the task has died. */
export type KnownTask = Omit<TaskRecord, 'status'> & { readonly status: TaskRecord['status'] | 'expired' };

/** A task and the session it works on. */
export interface TaskName {
  readonly sessionId: string;
  readonly id: string;
}

/** What {@link ChatTasks} needs. */
export interface ChatTasksParts {
  readonly store: SessionStore;
  readonly clock: Clock;
  /** How long a task whose process has died still counts as running, in milliseconds. */
  readonly leaseTtlMs: number;
}

/** A task that runs in this process. */
export interface RunningTask {
  readonly id: string;
  end(record: TaskRecord): Promise<void>;
}

/** How long one look at a lease may take, in milliseconds; a looker that dies keeps it no longer. */
export const probeTtlMs = 1_000;

/** The tasks of one agent. Who runs a task holds its lease, so that one whose process has died can be told. */
export class ChatTasks {
  readonly #parts: ChatTasksParts;
  /** Apart from the sessions, and within no tenant of the application's. */
  readonly #store: SessionStore;
  readonly #running = new Map<string, { readonly sessionId: string; readonly ended: Promise<void> }>();

  constructor(parts: ChatTasksParts) {
    this.#parts = parts;
    this.#store = parts.store.forTenant('genkitx-agent').forTenant('chat-tasks');
  }

  /** Writes down that a task runs from here. `onAbort` is told when another process has ended it. */
  async begin(sessionId: string, version: number, onAbort: () => void): Promise<RunningTask> {
    const task = { sessionId, id: uuid() };
    const key = keyOf(task);
    const { clock, leaseTtlMs: ttlMs } = this.#parts;
    const { signal } = new AbortController();
    const asOwner = { policy: 'reject', owner: task.id, clock, ttlMs, signal, onLost: onAbort } as const;
    const hold = await holdSession(this.#store, key, asOwner);
    try {
      await this.#write(hold.lease, 0, { status: 'pending', version });
    } catch (error) {
      await hold.release();
      throw error;
    }
    const ended = new Deferred<void>();
    this.#running.set(key, { sessionId, ended: ended.promise });
    const end = async (record: TaskRecord) => {
      await this.#end(hold, record);
      this.#running.delete(key);
      ended.resolve();
    };
    return { id: task.id, end };
  }

  /** What is known of a task; `expired` when it was left by a process that died. `undefined`: there is no such task. */
  async read(task: TaskName): Promise<KnownTask | undefined> {
    const key = keyOf(task);
    const record = await this.#load(key);
    if (record?.status !== 'pending' || this.#running.has(key)) return record;
    const lease = await this.#store.acquire(key, { owner: uuid(), ttlMs: probeTtlMs });
    if (lease === undefined) return record;
    // It may have ended between the two looks.
    const last = await this.#load(key);
    await this.#store.release(lease);
    return last?.status === 'pending' ? { ...last, status: 'expired' } : last;
  }

  /** Ends a task that runs in another process. */
  async abort(task: TaskName): Promise<void> {
    const key = keyOf(task);
    const lease = await this.#store.acquire(key, { owner: uuid(), ttlMs: probeTtlMs, takeover: true });
    if (lease === undefined) return;
    const record = await this.#load(key);
    if (record?.status === 'pending') await this.#write(lease, 1, { ...record, status: 'aborted' });
    await this.#store.release(lease);
  }

  /** Erases what was written down. */
  async forget(task: TaskName): Promise<void> {
    await this.#store.delete(keyOf(task));
  }

  /** Resolves when no task of the session runs in this process any more. */
  async ended(sessionId: string): Promise<void> {
    const tasks = [...this.#running.values()].filter((task) => task.sessionId === sessionId);
    await Promise.all(tasks.map((task) => task.ended));
  }

  /** Whatever happens to the record, the run is over; one that nobody could write down becomes `expired`. */
  async #end(hold: Hold, record: TaskRecord): Promise<void> {
    await this.#write(hold.lease, 1, record).catch(() => {});
    await hold.release().catch(() => {});
  }

  async #load(key: string): Promise<TaskRecord | undefined> {
    return (await this.#store.load(key))?.checkpoint as TaskRecord | undefined;
  }

  #write(lease: SessionLease, expectedVersion: number, record: TaskRecord): Promise<void> {
    return this.#store.save(lease, { expectedVersion, change: { kind: 'checkpoint', record }, keepVersions: 1 });
  }
}

/** Says neither the session nor the task, so that a record betrays nothing of a session that was deleted. */
function keyOf({ sessionId, id }: TaskName): string {
  return createHash('sha256')
    .update(JSON.stringify([sessionId, id]))
    .digest('hex');
}
