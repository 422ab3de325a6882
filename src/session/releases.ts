/**
 * Those who wait to be told something of a session (its release, more of its feed, a wish), and whatever listens for them;
 * for stores that can be told.
 */
import { type Clock, systemClock } from '../internal/clock.js';
import { Deferred } from '../internal/deferred.js';

/** A connection that listens. */
export interface Ear {
  /** Ends it, once; nobody waits for that, so it must not throw. */
  stop(): void;
}

/**
 * Opens a connection that listens. It calls `onTold` with every token that is told (`undefined` stands for all there are),
 * and `onEnd` when it is broken. Rejects when nothing can listen.
 */
export type OpenEar = (onTold: (token: string | undefined) => void, onEnd: () => void) => Promise<Ear>;

const askEveryMs = 100;
/** How long a connection goes on listening for nobody: those who queue come back within a turn, and then lose no time. */
const lingerMs = 500;

/** Stands in for an ear where nothing can listen: everybody is told ten times a second, and asks. */
export const openAsking: OpenEar = async (onTold) => {
  const waitAndTell = (): (() => void) =>
    systemClock.after(askEveryMs, () => {
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

/** A listener that is listened for. */
export interface Listening {
  /** From its resolving on everything is heard. Rejects when nothing can listen. */
  readonly ready: Promise<unknown>;
  /** Forgets the listener. */
  stop(): void;
}

/** All who want to be told, on one database: it is listened to as long as there is anybody, and by one connection only. */
export class Notices {
  readonly #open: OpenEar;
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Set<Listener>>();
  #ear: Promise<Ear> | undefined;
  #stayOpen = () => {};

  constructor(open: OpenEar, clock: Clock = systemClock) {
    this.#open = open;
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
    if (this.#listeners.size > 0 || this.#ear === undefined) return;
    this.#stayOpen();
    this.#stayOpen = this.#clock.after(lingerMs, () => this.#close());
  }

  #close(): void {
    const ear = this.#ear;
    this.#ear = undefined;
    // One that could not be opened leaves nothing to stop, and its error is with those who waited.
    ear?.then(
      (open) => open.stop(),
      () => {},
    );
  }

  #listen(): Promise<Ear> {
    this.#stayOpen();
    if (this.#ear !== undefined) return this.#ear;
    const forget = () => {
      if (this.#ear === ear) this.#ear = undefined;
    };
    const ear = this.#open(
      (token) => this.#tell(token, (listener) => listener.onTold()),
      () => {
        // Of what is told from now on nobody would hear: let them ask.
        forget();
        this.#tell(undefined, (listener) => listener.onBroken());
      },
    );
    ear.catch(forget);
    this.#ear = ear;
    return ear;
  }

  #tell(token: string | undefined, tell: (listener: Listener) => void): void {
    const meant = token === undefined ? [...this.#listeners.values()] : [this.#listeners.get(token) ?? []];
    for (const listeners of meant) for (const listener of [...listeners]) tell(listener);
  }
}

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
