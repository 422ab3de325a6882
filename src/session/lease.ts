/** One writer per session: in this process by a queue, across processes by the store's lease. */
import { AgentFlowError, LeaseLostError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import { KeyedMutex } from '../internal/keyed-mutex.js';
import { inStore } from './in-store.js';
import { ReleaseWatch, type WaitSignal } from './release-watch.js';
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
  readonly signal: WaitSignal;
  /** Told once when the lease is lost: nothing this holder does reaches the session any more. */
  readonly onLost: (error: LeaseLostError) => void;
}

const keepers = new WeakMap<SessionStore, LeaseKeeper>();

/** Takes a session for one run. Throws `SESSION_BUSY` under the policy `reject`, and the signal's reason when it fires. */
export async function holdSession(store: SessionStore, sessionId: string, options: HoldOptions): Promise<Hold> {
  let keeper = keepers.get(store);
  if (keeper === undefined) {
    keeper = new LeaseKeeper(store);
    keepers.set(store, keeper);
  }
  return keeper.take(sessionId, options);
}

/** Somebody who holds a session or waits for it. A class, as an object that is spread together has a shape of its own. */
class Holder implements HoldOptions {
  readonly sessionId: string;
  readonly policy: BusySessionPolicy;
  readonly owner: string;
  readonly clock: Clock;
  readonly ttlMs: number;
  readonly signal: WaitSignal;
  readonly onLost: (error: LeaseLostError) => void;
  lost = false;
  isRenewing = false;
  /** It has put out another holder of this process, whose lease nobody else gives back: it asks, even if it is given up. */
  hasPutOut = false;
  /** Settles when the store has answered whether this holder, or the one it took over from, has the lease. */
  acquiring: Promise<unknown> | undefined;
  /** Set while the holder has only so long to finish. */
  cancelDeadline: (() => void) | undefined;

  constructor(sessionId: string, { policy, owner, clock, ttlMs, signal, onLost }: HoldOptions) {
    this.sessionId = sessionId;
    this.policy = policy;
    this.owner = owner;
    this.clock = clock;
    this.ttlMs = ttlMs;
    this.signal = signal;
    this.onLost = onLost;
  }
}

/** All the sessions of one store that this process holds or waits for; keeps the leases of those that it holds. */
class LeaseKeeper {
  readonly #store: SessionStore;
  readonly #local = new KeyedMutex<Holder>();
  readonly #held = new Map<Holder, SessionLease>();
  readonly #renewing = new Set<number>();

  constructor(store: SessionStore) {
    this.#store = store;
  }

  async take(sessionId: string, options: HoldOptions): Promise<Hold> {
    const holder = new Holder(sessionId, options);
    await this.#enter(holder);
    try {
      const lease = await this.#acquire(holder);
      this.#held.set(holder, lease);
      this.#keepRenewing(holder.clock, holder.ttlMs);
      return new Hold(this, holder, lease);
    } catch (error) {
      this.#local.leave(sessionId, holder);
      throw error;
    }
  }

  async #enter(holder: Holder): Promise<void> {
    holder.signal.throwIfAborted();
    if (holder.policy === 'takeover') {
      const previous = this.#local.takeOver(holder.sessionId, holder);
      if (previous !== undefined) this.lose(previous);
      holder.hasPutOut = previous !== undefined;
      holder.acquiring = previous?.acquiring;
      return;
    }
    if (holder.policy === 'reject' && this.#isTaken(holder.sessionId)) throw busy();
    await this.#local.enter(holder.sessionId, holder, holder.signal);
  }

  /** Not by a run that has ended: it only gives the session back, and who has seen its end may have the session next. */
  #isTaken(sessionId: string): boolean {
    const current = this.#local.holder(sessionId);
    if (current === undefined) return false;
    return !current.signal.aborted || this.#local.isAwaited(sessionId);
  }

  async #acquire(holder: Holder): Promise<SessionLease> {
    const takeover = holder.policy === 'takeover';
    const releases = new ReleaseWatch(this.#store, holder.sessionId);
    try {
      if (!holder.hasPutOut) holder.signal.throwIfAborted();
      for (;;) {
        const lease = await this.#ask(holder, takeover);
        if (lease !== undefined) return lease;
        if (holder.policy === 'reject') throw busy();
        await releases.wait(holder.clock, holder.signal);
      }
    } finally {
      releases.stop();
    }
  }

  /** Of two who ask at once the store might answer the earlier one last, which would then have the session. */
  async #ask(holder: Holder, takeover: boolean): Promise<SessionLease | undefined> {
    if (holder.acquiring !== undefined) await holder.acquiring;
    if (holder.lost) throw new LeaseLostError(holder.sessionId);
    const { sessionId, owner, ttlMs } = holder;
    const acquiring = inStore(() => this.#store.acquire(sessionId, { owner, ttlMs, takeover }));
    holder.acquiring = acquiring.catch(() => {});
    const lease = await acquiring;
    holder.acquiring = undefined;
    if (lease === undefined || !holder.lost) return lease;
    await inStore(() => this.#store.release(lease));
    throw new LeaseLostError(sessionId);
  }

  async confirm(holder: Holder, lease: SessionLease): Promise<boolean> {
    const isCurrent = await inStore(() => this.#store.renew(lease, holder.ttlMs));
    if (!isCurrent) this.lose(holder);
    return isCurrent;
  }

  /** A store that renews the lease and never answers a write would keep the session from everybody for ever. */
  finish(holder: Holder): void {
    const { clock, ttlMs, sessionId } = holder;
    if (holder.cancelDeadline !== undefined && !this.#held.has(holder)) return;
    holder.cancelDeadline?.();
    holder.cancelDeadline = clock.after(ttlMs, () => {
      this.#held.delete(holder);
      holder.cancelDeadline = clock.after(ttlMs, () => this.#local.leave(sessionId, holder));
    });
  }

  async release(holder: Holder, lease: SessionLease): Promise<void> {
    this.finish(holder);
    this.#held.delete(holder);
    const wasLost = holder.lost;
    // What is let go can no longer be lost.
    holder.lost = true;
    try {
      if (!wasLost) await this.#store.release(lease);
    } finally {
      holder.cancelDeadline?.();
      this.#local.leave(holder.sessionId, holder);
    }
  }

  lose(holder: Holder): void {
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
      if (!kept && this.#held.has(holder)) this.lose(holder);
    } catch {
      // The store cannot be reached now. The fence protects the session meanwhile, and the next round tries again.
    } finally {
      holder.isRenewing = false;
    }
  }
}

/** A session that is held. A class, as thousands are at once. */
export class Hold {
  readonly lease: SessionLease;
  readonly #keeper: LeaseKeeper;
  readonly #holder: Holder;

  constructor(keeper: LeaseKeeper, holder: Holder, lease: SessionLease) {
    this.lease = lease;
    this.#keeper = keeper;
    this.#holder = holder;
  }

  /** The store refused this holder's write: stops renewing and tells `onLost`. */
  lose(): void {
    this.#keeper.lose(this.#holder);
  }

  /** Asks the store whether the lease is still the current one. When it is not, it is lost. */
  confirm(): Promise<boolean> {
    return this.#keeper.confirm(this.#holder, this.lease);
  }

  /**
   * Only the holder's last writes are waited for. Called again whenever the store has answered one: when it answers none
   * for as long as two leases last, the session goes to the next one.
   */
  finish(): void {
    this.#keeper.finish(this.#holder);
  }

  /** Lets the next one have the session. */
  release(): Promise<void> {
    return this.#keeper.release(this.#holder, this.lease);
  }
}

function busy(): AgentFlowError {
  return new AgentFlowError('SESSION_BUSY', 'Another connection holds this session');
}
