/**
 * Those who wait to be told something of a session (its release, more of its feed, that its run is asked to end), and the
 * subscription that they share; for stores whose database can tell.
 */
import { type Clock, systemClock } from '../internal/clock.js';
import { Deferred } from '../internal/deferred.js';

/** A connection to the database that listens. */
export interface Subscription {
  /** Ends it, once; nobody waits for that, so it must not throw. */
  stop(): void;
}

/**
 * Opens such a connection. It calls `onTold` with every token that is told (`undefined` stands for all there are),
 * and `onEnd` when it is broken. Rejects when nothing can listen.
 */
export type Subscribe = (onTold: (token: string | undefined) => void, onEnd: () => void) => Promise<Subscription>;

const pollEveryMs = 100;
/** How long a connection goes on listening for nobody: those who queue come back within a turn, and then lose no time. */
const lingerMs = 500;

/** Stands in for a subscription where nothing can listen: everybody is told ten times a second, and asks the database. */
export const pollInstead: Subscribe = async (onTold) => {
  const waitAndTell = (): (() => void) =>
    systemClock.after(pollEveryMs, () => {
      cancel = waitAndTell();
      onTold(undefined);
    });
  let cancel = waitAndTell();
  return { stop: () => cancel() };
};

/** Who wants to know of one token. */
export interface Listener {
  /** The token was told. */
  onTold(): void;
  /** The connection that listened is gone; the next one to listen opens another. */
  onBroken(): void;
}

/** The place of a listener among all who want to be told. */
export interface Listening {
  /** From its resolving on everything is heard. Rejects when nothing can listen. */
  readonly ready: Promise<unknown>;
  /** Forgets the listener. */
  stop(): void;
}

/** All who want to be told, on one database: it is listened to as long as there is anybody, and by one connection only. */
export class Notices {
  readonly #subscribe: Subscribe;
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Set<Listener>>();
  #subscription: Promise<Subscription> | undefined;
  #cancelClose = () => {};

  constructor(subscribe: Subscribe, clock: Clock = systemClock) {
    this.#subscribe = subscribe;
    this.#clock = clock;
  }

  /** Listens for a token, until the answer's `stop`. */
  listen(token: string, listener: Listener): Listening {
    const all = this.#listeners.get(token) ?? new Set();
    this.#listeners.set(token, all.add(listener));
    return { ready: this.#listen(), stop: () => this.#remove(token, listener) };
  }

  /**
   * Resolves when the token is told, when the connection that listens is gone, and at once when nothing has to be waited
   * for. Rejects with the signal's reason, and when nothing can listen.
   *
   * @param isToWait takes note of the wait and answers whether there is anything to wait for; called once somebody listens
   */
  async next(token: string, signal: AbortSignal, isToWait: () => Promise<boolean>): Promise<void> {
    signal.throwIfAborted();
    const told = new Deferred<void>();
    const stop = () => told.reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    const wake = () => told.resolve();
    const listening = this.listen(token, { onTold: wake, onBroken: wake });
    try {
      await Promise.race([listening.ready, told.promise]);
      if (await isToWait()) await told.promise;
    } finally {
      signal.removeEventListener('abort', stop);
      listening.stop();
    }
  }

  #remove(token: string, listener: Listener): void {
    const all = this.#listeners.get(token);
    all?.delete(listener);
    if (all?.size === 0) this.#listeners.delete(token);
    if (this.#listeners.size > 0 || this.#subscription === undefined) return;
    this.#cancelClose();
    this.#cancelClose = this.#clock.after(lingerMs, () => this.#close());
  }

  #close(): void {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    // One that could not be opened leaves nothing to stop, and its error is with those who waited.
    subscription?.then(
      (open) => open.stop(),
      () => {},
    );
  }

  #listen(): Promise<Subscription> {
    this.#cancelClose();
    if (this.#subscription !== undefined) return this.#subscription;
    const forget = () => {
      if (this.#subscription === subscription) this.#subscription = undefined;
    };
    const subscription = this.#subscribe(
      (token) => this.#tell(token, (listener) => listener.onTold()),
      () => {
        // Of what is told from now on they would not hear: let them ask.
        forget();
        this.#tell(undefined, (listener) => listener.onBroken());
      },
    );
    subscription.catch(forget);
    this.#subscription = subscription;
    return subscription;
  }

  #tell(token: string | undefined, tell: (listener: Listener) => void): void {
    const meant = token === undefined ? [...this.#listeners.values()] : [this.#listeners.get(token) ?? []];
    for (const listeners of meant) for (const listener of [...listeners]) tell(listener);
  }
}
