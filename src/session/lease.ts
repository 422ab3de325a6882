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
/** The same where the store tells of releases, so that only a holder that has died is found by asking. */
const longestRetryWhenToldMs = 2_000;

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
  isRenewing: boolean;
  /** Settles when the store has answered for this holder, or for the one it took over from. */
  asked: Promise<unknown> | undefined;
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
    const holder: Holder = { ...options, sessionId, lost: false, isRenewing: false, asked: undefined };
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
    holder.signal.throwIfAborted();
    if (holder.policy === 'takeover') {
      const previous = this.#local.takeOver(holder.sessionId, holder);
      if (previous !== undefined) this.#lose(previous);
      holder.asked = previous?.asked;
      return;
    }
    if (holder.policy === 'reject' && this.#local.holder(holder.sessionId) !== undefined) throw busy();
    await this.#local.enter(holder.sessionId, holder, holder.signal);
  }

  async #acquire(holder: Holder): Promise<SessionLease> {
    const takeover = holder.policy === 'takeover';
    const releases = new ReleaseWatch(this.#store, holder.sessionId);
    try {
      for (let retryMs = firstRetryMs; ; retryMs = Math.min(retryMs * 2, releases.longestRetryMs)) {
        holder.signal.throwIfAborted();
        const lease = await this.#ask(holder, takeover);
        if (lease !== undefined) return lease;
        if (holder.policy === 'reject') throw busy();
        await pause(holder.clock, retryMs, holder.signal, releases.next());
      }
    } finally {
      releases.stop();
    }
  }

  /** Of two who ask at once the store might answer the earlier one last, which would then have the session. */
  async #ask(holder: Holder, takeover: boolean): Promise<SessionLease | undefined> {
    if (holder.asked !== undefined) await holder.asked;
    if (holder.lost) throw new LeaseLostError(holder.sessionId);
    const { sessionId, owner, ttlMs } = holder;
    const asking = this.#store.acquire(sessionId, { owner, ttlMs, takeover });
    holder.asked = asking.catch(() => {});
    const lease = await asking;
    holder.asked = undefined;
    if (lease === undefined || !holder.lost) return lease;
    await this.#store.release(lease);
    throw new LeaseLostError(sessionId);
  }

  async #release(holder: Holder, lease: SessionLease): Promise<void> {
    this.#held.delete(holder);
    const wasLost = holder.lost;
    // What is let go can no longer be lost.
    holder.lost = true;
    try {
      if (!wasLost) await this.#store.release(lease);
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
    clock.after(ttlMs / 3, () => {
      this.#renewing.delete(ttlMs);
      const due = [...this.#held].filter(([holder]) => holder.ttlMs === ttlMs);
      if (due.length > 0) this.#keepRenewing(clock, ttlMs);
      // Not waited for: one renewal that hangs must not cost the others their leases.
      for (const [holder, lease] of due) void this.#renew(holder, lease);
    });
  }

  async #renew(holder: Holder, lease: SessionLease): Promise<void> {
    if (holder.isRenewing) return;
    holder.isRenewing = true;
    try {
      const kept = await this.#store.renew(lease, holder.ttlMs);
      if (!kept && this.#held.has(holder)) this.#lose(holder);
    } catch {
      // The store cannot be reached now. The fence protects the session meanwhile, and the next round tries again.
    } finally {
      holder.isRenewing = false;
    }
  }
}

function busy(): AgentFlowError {
  return new AgentFlowError('SESSION_BUSY', 'Another connection holds this session');
}

/** What a store tells of the releases of one session, as long as somebody waits for it. */
class ReleaseWatch {
  readonly #store: SessionStore;
  readonly #sessionId: string;
  readonly #over = new AbortController();
  #next: Promise<void> | undefined;

  constructor(store: SessionStore, sessionId: string) {
    this.#store = store;
    this.#sessionId = sessionId;
  }

  get longestRetryMs(): number {
    return this.#store.whenReleased === undefined ? longestRetryMs : longestRetryWhenToldMs;
  }

  /** The next release; never resolves when the store cannot tell. */
  next(): Promise<void> {
    this.#next ??= new Promise((resolve) => {
      const told = this.#store.whenReleased?.(this.#sessionId, this.#over.signal);
      told?.then(
        () => {
          this.#next = undefined;
          resolve();
        },
        // Then it is left to the timer.
        () => {},
      );
    });
    return this.#next;
  }

  stop(): void {
    this.#over.abort();
  }
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal, released: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const end = () => {
      cancel();
      signal.removeEventListener('abort', end);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    // Somebody waits for the session: a process with nothing else to do must not end meanwhile.
    const cancel = clock.after(delayMs, end, { keepAlive: true });
    signal.addEventListener('abort', end, { once: true });
    void released.then(end);
  });
}
