/** Time as a parameter: the system's by default, a manual one in tests. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls back once after `delayMs`; the answer cancels. A waiting timer never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    if (typeof timer === 'object') timer.unref();
    return () => clearTimeout(timer);
  },
};
