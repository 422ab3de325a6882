/** Waiting until there is more of a run to see. */
import type { Clock } from '../../internal/clock.js';
import { inStore } from '../../session/in-store.js';
import type { RunFeed } from '../../session/store.js';

/** What is waited for. */
export interface GrowthParts {
  readonly feed: RunFeed;
  readonly sessionId: string;
  readonly run: string;
  readonly clock: Clock;
  /** How long the store keeps the session of a process that has died; of that it tells nobody. */
  readonly leaseTtlMs: number;
}

/** How long a feed is left alone at most, in milliseconds: where the store tells of its growth, and where it cannot. */
const longestRetryWhenToldMs = 2_000;
const longestRetryMs = 500;
const firstRetryMs = 20;

/** The growth of one feed. */
export class Growth {
  readonly #parts: GrowthParts;
  #retryMs = firstRetryMs;

  constructor(parts: GrowthParts) {
    this.#parts = parts;
  }

  /** Resolves when the feed may reach beyond `end`, when its run may be over, and when the signal fires; never rejects. */
  beyond(end: number, signal: AbortSignal): Promise<void> {
    const { feed, sessionId, run, clock, leaseTtlMs } = this.#parts;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const waiting = new AbortController();
      const goOn = () => {
        cancel();
        waiting.abort();
        signal.removeEventListener('abort', goOn);
        resolve();
      };
      const goOnAfter = (delayMs: number) => clock.after(delayMs, goOn, { keepAlive: true });
      let cancel = goOnAfter(Math.min(longestRetryWhenToldMs, leaseTtlMs));
      signal.addEventListener('abort', goOn, { once: true });
      const told = inStore(() => feed.whenGrown(sessionId, run, end, waiting.signal));
      told.then(
        () => {
          this.#retryMs = firstRetryMs;
          goOn();
        },
        () => {
          if (waiting.signal.aborted) return;
          cancel();
          cancel = goOnAfter(this.#retryMs);
          this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
        },
      );
    });
  }
}
