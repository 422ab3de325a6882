/** The waits for releases of sessions, for stores that are told of them. */
import type { Notices } from './notices.js';

/**
 * The waits for releases in one store, and since which lease each session is waited for: a session that is released while
 * others wait is theirs for a moment, so that whoever has just had it cannot have it again and again.
 */
export class Releases {
  readonly #notices: Notices;
  readonly #since = new Map<string, number>();

  constructor(notices: Notices) {
    this.#notices = notices;
  }

  /** The fence of the first lease that somebody here has waited for the end of; nothing when nobody waits. */
  since(token: string): number | undefined {
    return this.#since.get(token);
  }

  /**
   * Resolves like `Notices.next`. Who waits counts as waiting until the signal fires, also between two calls.
   *
   * @param waitsFrom marks the session as awaited and answers the fence of the lease that is waited for, or the first that
   *   the next lease can have; nothing when the session is free for those who wait `since` then
   */
  async next(
    token: string,
    signal: AbortSignal,
    waitsFrom: (since: number | undefined) => Promise<number | undefined>,
  ): Promise<void> {
    await this.#notices.next(token, signal, async () => {
      const fence = await waitsFrom(this.since(token));
      if (fence === undefined) return false;
      this.#note(token, fence, signal);
      return true;
    });
  }

  #note(token: string, fence: number, signal: AbortSignal): void {
    if (signal.aborted || this.#since.has(token)) return;
    this.#since.set(token, fence);
    signal.addEventListener('abort', () => this.#since.delete(token), { once: true });
  }
}
