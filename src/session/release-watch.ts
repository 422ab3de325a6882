/** How a connection waits for a session that another one holds: told by the store where it can tell, else asking again. */
import type { Clock } from '../internal/clock.js';
import type { SessionStore } from './store.js';

/** What ends a wait. An `AbortSignal` does; so does what makes one only when somebody has to wait. */
export type WaitSignal = Pick<
  AbortSignal,
  'aborted' | 'reason' | 'throwIfAborted' | 'addEventListener' | 'removeEventListener'
>;

/** How long a waiting connection leaves the store alone between two tries: from the first to the longest. */
const firstRetryMs = 20;
const longestRetryMs = 500;
/** The same where the store tells of releases, so that only a holder that has died is found by asking. */
const longestRetryWhenToldMs = 2_000;

/** What a store tells of the releases of one session, as long as somebody waits for it. */
export class ReleaseWatch {
  readonly #store: SessionStore;
  readonly #sessionId: string;
  #over: AbortController | undefined;
  #isListening = false;
  /** The store was asked last in vain. */
  #isDeaf = false;
  #retryMs = firstRetryMs;
  /** Ends the wait that is under way. */
  #wake = () => {};

  constructor(store: SessionStore, sessionId: string) {
    this.#store = store;
    this.#sessionId = sessionId;
  }

  /** Waits until the session is released or it is time to ask again; rejects with the signal's reason. */
  async wait(clock: Clock, signal: WaitSignal): Promise<void> {
    const waited = this.#pause(clock, signal);
    if (!this.#isListening) void this.#listen();
    await waited;
    const isTold = this.#store.whenReleased !== undefined && !this.#isDeaf;
    this.#retryMs = Math.min(this.#retryMs * 2, isTold ? longestRetryWhenToldMs : longestRetryMs);
  }

  /** Nobody waits any more. */
  stop(): void {
    this.#over?.abort();
  }

  /** Never rejects. */
  async #listen(): Promise<void> {
    if (this.#store.whenReleased === undefined) return;
    this.#over ??= new AbortController();
    this.#isListening = true;
    this.#isDeaf = false;
    try {
      await this.#store.whenReleased(this.#sessionId, this.#over.signal);
      this.#wake();
    } catch {
      // This wait is left to the timer, the next is not: others who are told would have the session every time.
      this.#isDeaf = true;
    }
    this.#isListening = false;
  }

  #pause(clock: Clock, signal: WaitSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const end = () => {
        cancel();
        signal.removeEventListener('abort', end);
        if (signal.aborted) reject(signal.reason);
        else resolve();
      };
      // Somebody waits for the session: a process with nothing else to do must not end meanwhile.
      const cancel = clock.after(this.#retryMs, end, { keepAlive: true });
      signal.addEventListener('abort', end, { once: true });
      this.#wake = end;
    });
  }
}
