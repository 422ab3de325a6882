import type { Clock } from '../../internal/clock.js';
import type { SessionLease } from '../../session/store.js';

interface Held {
  readonly owner: string;
  readonly fence: number;
  until: number;
}

/** Leases that live as long as this process, for stores that have none of their own. */
export class ProcessLeases {
  readonly #leases = new Map<string, Held>();
  #lastFence = 0;

  /** @param key stands for the session, in whatever scope it is */
  acquire(
    key: string,
    sessionId: string,
    { owner, ttlMs, takeover = false }: { owner: string; ttlMs: number; takeover?: boolean },
    clock: Clock,
  ): SessionLease | undefined {
    const held = this.#leases.get(key);
    const isHeldByAnother = held !== undefined && held.owner !== owner && held.until > clock.now();
    if (isHeldByAnother && !takeover) return undefined;
    this.#lastFence += 1;
    this.#leases.set(key, { owner, fence: this.#lastFence, until: clock.now() + ttlMs });
    return { sessionId, owner, fence: this.#lastFence };
  }

  renew(key: string, lease: SessionLease, until: number): boolean {
    const held = this.#held(key, lease);
    if (held !== undefined) held.until = until;
    return held !== undefined;
  }

  /** False: it was lost before. */
  release(key: string, lease: SessionLease): boolean {
    return this.isHeld(key, lease) && this.#leases.delete(key);
  }

  isHeld(key: string, lease: SessionLease): boolean {
    return this.#held(key, lease) !== undefined;
  }

  /** Has somebody taken it, who has not given it up? */
  isTaken(key: string): boolean {
    return this.#leases.has(key);
  }

  /** Whoever holds it has lost it. */
  drop(key: string): void {
    this.#leases.delete(key);
  }

  #held(key: string, { owner, fence }: SessionLease): Held | undefined {
    const held = this.#leases.get(key);
    return held?.owner === owner && held.fence === fence ? held : undefined;
  }
}
