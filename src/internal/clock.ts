/** Time as a parameter: the system's by default, a manual one in tests. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls back once after `delayMs`; the answer cancels. A waiting timer never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void;
}

/** The longest wait a timer can hold; more would fire at once. */
const longestTimerMs = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, callback) {
    let timer: ReturnType<typeof setTimeout>;
    const wait = (restMs: number): void => {
      const thisMs = Math.min(restMs, longestTimerMs);
      timer = setTimeout(() => (restMs > thisMs ? wait(restMs - thisMs) : callback()), thisMs);
      if (typeof timer === 'object') timer.unref();
    };
    wait(delayMs);
    return () => clearTimeout(timer);
  },
};
