/** One writer per session: in this process by a queue, across processes by the store's lease. */
import { AgentFlowError, LeaseLostError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import { KeyedMutex } from '../internal/keyed-mutex.js';
import type { SessionLease, SessionStore } from './store.js';

/** What a connection does when another one holds its session. */
export type BusySessionPolicy = 'queue' | 'reject' | 'takeover';

/** How a session is held. */
export interface HoldOptions {
  readonly policy: BusySessionPolicy;
  /** Names this holder in the store; unique to one run. */
  readonly owner: string;
  readonly clock: Clock;
  /** How long the store keeps the session for a holder that has died, in milliseconds. */
  readonly ttlMs: number;
  /** Ends the wait for the session. */
  readonly signal: AbortSignal;
  /** Told once when the lease is lost: nothing this holder does reaches the session any more. */
  readonly onLost: (error: LeaseLostError) => void;
}

/** A session that is held. */
export interface Hold {
  readonly lease: SessionLease;
  /** The store refused this holder's write: stop renewing and tell `onLost`. */
  lose(): void;
  release(): Promise<void>;
}

/** How long a waiting connection leaves the store alone between two tries: from the first to the longest. */
const firstRetryMs = 20;
const longestRetryMs = 500;

const desks = new WeakMap<SessionStore, LeaseDesk>();

/** Takes a session for one run. Throws `SESSION_BUSY` under the policy `reject`, and the signal's reason when it fires. */
export async function holdSession(store: SessionStore, sessionId: string, options: HoldOptions): Promise<Hold> {
  let desk = desks.get(store);
  if (desk === undefined) {
    desk = new LeaseDesk(store);
    desks.set(store, desk);
  }
  return desk.take(sessionId, options);
}

interface Holder extends HoldOptions {
  readonly sessionId: string;
  lost: boolean;
}

/** All the sessions of one store that this process holds or waits for. */
class LeaseDesk {
  readonly #store: SessionStore;
  readonly #local = new KeyedMutex<Holder>();
  readonly #held = new Map<Holder, SessionLease>();
  readonly #renewing = new Set<number>();

  constructor(store: SessionStore) {
    this.#store = store;
  }

  async take(sessionId: string, options: HoldOptions): Promise<Hold> {
    const holder: Holder = { ...options, sessionId, lost: false };
    await this.#enter(holder);
    try {
      const lease = await this.#acquire(holder);
      this.#held.set(holder, lease);
      this.#keepRenewing(holder.clock, holder.ttlMs);
      return { lease, lose: () => this.#lose(holder), release: () => this.#release(holder, lease) };
    } catch (error) {
      this.#local.leave(sessionId, holder);
      throw error;
    }
  }

  async #enter(holder: Holder): Promise<void> {
    if (holder.policy === 'takeover') {
      const previous = this.#local.takeOver(holder.sessionId, holder);
      if (previous !== undefined) this.#lose(previous);
      return;
    }
    if (holder.policy === 'reject' && this.#local.holder(holder.sessionId) !== undefined) throw busy();
    await this.#local.enter(holder.sessionId, holder, holder.signal);
  }

  async #acquire(holder: Holder): Promise<SessionLease> {
    const takeover = holder.policy === 'takeover';
    for (let retryMs = firstRetryMs; ; retryMs = Math.min(retryMs * 2, longestRetryMs)) {
      holder.signal.throwIfAborted();
      const lease = await this.#store.acquire(holder.sessionId, { owner: holder.owner, ttlMs: holder.ttlMs, takeover });
      if (lease !== undefined) return lease;
      if (holder.policy === 'reject') throw busy();
      await pause(holder.clock, retryMs, holder.signal);
    }
  }

  async #release(holder: Holder, lease: SessionLease): Promise<void> {
    this.#held.delete(holder);
    try {
      if (!holder.lost) await this.#store.release(lease);
    } finally {
      this.#local.leave(holder.sessionId, holder);
    }
  }

  #lose(holder: Holder): void {
    if (holder.lost) return;
    holder.lost = true;
    this.#held.delete(holder);
    holder.onLost(new LeaseLostError(holder.sessionId));
  }

  /** One timer for all leases of one length, so that ten thousand idle connections do not own ten thousand timers. */
  #keepRenewing(clock: Clock, ttlMs: number): void {
    if (this.#renewing.has(ttlMs)) return;
    this.#renewing.add(ttlMs);
    clock.after(ttlMs / 3, () => void this.#renewAll(clock, ttlMs));
  }

  async #renewAll(clock: Clock, ttlMs: number): Promise<void> {
    const due = [...this.#held].filter(([holder]) => holder.ttlMs === ttlMs);
    await Promise.all(due.map(([holder, lease]) => this.#renew(holder, lease)));
    this.#renewing.delete(ttlMs);
    if ([...this.#held.keys()].some((holder) => holder.ttlMs === ttlMs)) this.#keepRenewing(clock, ttlMs);
  }

  async #renew(holder: Holder, lease: SessionLease): Promise<void> {
    try {
      const kept = await this.#store.renew(lease, holder.ttlMs);
      if (!kept && this.#held.has(holder)) this.#lose(holder);
    } catch {
      // The store cannot be reached now. The fence protects the session meanwhile, and the next round tries again.
    }
  }
}

function busy(): AgentFlowError {
  return new AgentFlowError('SESSION_BUSY', 'Another connection holds this session');
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(delayMs, () => {
      signal.removeEventListener('abort', stop);
      resolve();
    });
    signal.addEventListener('abort', stop, { once: true });
  });
}
