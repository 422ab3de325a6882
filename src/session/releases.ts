/** Those who wait for the release of a session, and whatever listens for them; for stores that can be told of releases. */
import { Deferred } from '../internal/deferred.js';

/** A connection that listens. */
export interface Ear {
  /** Ends it, once; nobody waits for that, so it must not throw. */
  stop(): void;
}

/**
 * Opens a connection that listens. It calls `onRelease` with the token of every session that is released, and `onEnd` when
 * it is broken. Rejects when nothing can listen.
 */
export type OpenEar = (onRelease: (token: string) => void, onEnd: () => void) => Promise<Ear>;

/** The waits on one database: it is listened to as long as somebody waits, and by one connection only. */
export class Releases {
  readonly #open: OpenEar;
  readonly #waiting = new Map<string, Set<Deferred<void>>>();
  #ear: Promise<Ear> | undefined;

  constructor(open: OpenEar) {
    this.#open = open;
  }

  /**
   * Resolves when a session was released or was free at the start, and when the connection that listens is gone. Rejects
   * with the signal's reason, and when nothing can listen.
   *
   * @param token what is told when this session is released
   * @param isHeld marks the session as awaited and answers whether it is held; called once somebody listens
   */
  async next(token: string, signal: AbortSignal, isHeld: () => Promise<boolean>): Promise<void> {
    signal.throwIfAborted();
    const released = new Deferred<void>();
    const stop = () => released.reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    this.#add(token, released);
    try {
      await Promise.race([this.#listen(), released.promise]);
      if (await isHeld()) await released.promise;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#remove(token, released);
    }
  }

  #add(token: string, released: Deferred<void>): void {
    const all = this.#waiting.get(token) ?? new Set();
    this.#waiting.set(token, all.add(released));
  }

  #remove(token: string, released: Deferred<void>): void {
    const all = this.#waiting.get(token);
    all?.delete(released);
    if (all?.size === 0) this.#waiting.delete(token);
    if (this.#waiting.size > 0) return;
    const ear = this.#ear;
    this.#ear = undefined;
    // One that could not be opened leaves nothing to stop, and its error is with those who waited.
    ear?.then(
      (open) => open.stop(),
      () => {},
    );
  }

  #listen(): Promise<Ear> {
    if (this.#ear !== undefined) return this.#ear;
    const forget = () => {
      if (this.#ear === ear) this.#ear = undefined;
    };
    const ear = this.#open(
      (token) => this.#wake(token),
      () => {
        // Of what is released from now on nobody would be told: let them ask.
        forget();
        for (const token of this.#waiting.keys()) this.#wake(token);
      },
    );
    ear.catch(forget);
    this.#ear = ear;
    return ear;
  }

  #wake(token: string): void {
    for (const released of this.#waiting.get(token) ?? []) released.resolve();
  }
}
