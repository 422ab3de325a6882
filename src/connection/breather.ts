/** Lets timers and sockets have a turn while an agent and its callers only wait for each other. */
import { systemClock } from '../internal/clock.js';

/** How long a run may go on without a break, in milliseconds. */
const longestHogMs = 10;
/** How many steps are made between two looks at the clock. */
const stepsPerLook = 128;

/**
 * A handler and a caller that only wait for each other never leave the microtask queue: without a break no timer would
 * fire, no socket would be read, and so no abort could come.
 */
export class Breather {
  #steps = 0;
  #lastBreathAt = systemClock.now();

  /** Takes note of so many steps, each as long as sending a chunk. When it is time for a break, it answers its end. */
  breath(steps: number): Promise<void> | undefined {
    this.#steps += steps;
    if (this.#steps < stepsPerLook) return undefined;
    this.#steps = 0;
    // A clock that was set back says nothing either.
    const sinceLastBreathMs = Math.abs(systemClock.now() - this.#lastBreathAt);
    return sinceLastBreathMs < longestHogMs ? undefined : this.#break();
  }

  #break(): Promise<void> {
    return new Promise((resolve) => {
      const goOn = () => {
        this.#lastBreathAt = systemClock.now();
        resolve();
      };
      systemClock.after(0, goOn, { keepAlive: true });
    });
  }
}
