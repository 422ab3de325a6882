/** Time as a parameter: the system's by default, a manual one in tests. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /**
   * Calls back once after `delayMs`; the answer cancels. A waiting timer keeps the process alive only with `keepAlive`,
   * for when somebody waits for what it will do.
   */
  after(delayMs: number, callback: () => void, options?: { readonly keepAlive?: boolean }): () => void;
}

/** The longest wait a timer can hold; more would fire at once. */
const longestTimerMs = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, callback, { keepAlive = false } = {}) {
    let timer: ReturnType<typeof setTimeout>;
    const wait = (restMs: number): void => {
      const thisMs = Math.min(restMs, longestTimerMs);
      timer = setTimeout(() => (restMs > thisMs ? wait(restMs - thisMs) : callback()), thisMs);
      if (!keepAlive && typeof timer === 'object') timer.unref();
    };
    wait(delayMs);
    return () => clearTimeout(timer);
  },
};
