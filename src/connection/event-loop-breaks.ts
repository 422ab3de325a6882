/** Breaks in which timers and sockets have their turn while an agent and its callers only wait for each other. */
import { systemClock } from '../internal/clock.js';

/** How long they may go on without a break, in milliseconds. */
const longestRunMs = 10;
/** How many steps are made between two looks at the clock. */
const stepsPerLook = 128;

/**
 * A handler and a caller that only wait for each other never leave the microtask queue: without a break no timer would
 * fire, no socket would be read, and so no abort could come.
 */
export class EventLoopBreaks {
  #steps = 0;
  #lastBreakAt = systemClock.now();

  /** Counts so many steps more, each as long as sending a chunk. Answers the end of the break, when it is time for one. */
  after(steps: number): Promise<void> | undefined {
    this.#steps += steps;
    if (this.#steps < stepsPerLook) return undefined;
    this.#steps = 0;
    // A clock that was set back says nothing either.
    const sinceLastBreakMs = Math.abs(systemClock.now() - this.#lastBreakAt);
    return sinceLastBreakMs < longestRunMs ? undefined : this.#break();
  }

  #break(): Promise<void> {
    return new Promise((resolve) => {
      const goOn = () => {
        this.#lastBreakAt = systemClock.now();
        resolve();
      };
      systemClock.after(0, goOn, { keepAlive: true });
    });
  }
}
