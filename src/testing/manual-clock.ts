/** A clock that moves only when it is told to. */
import { InvalidValueError } from '../errors.js';
import type { Clock } from '../internal/clock.js';

interface Timer {
  readonly dueAt: number;
  readonly callback: () => void;
}

/** A {@link Clock} for tests: it stands still until {@link ManualClock.advance}, so nothing has to be waited for. */
export class ManualClock implements Clock {
  #now: number;
  /** In the order they were set. */
  readonly #timers = new Set<Timer>();

  /** @param now where the clock starts, in milliseconds since the Unix epoch */
  constructor(now = 0) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    // As the system's timers do: less than a millisecond is one, so a callback that sets itself again cannot stop time.
    const timer = { dueAt: this.#now + Math.max(1, delayMs), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /**
   * Moves the clock on and calls back every timer that falls due, in the order of time, then of setting; each sees its
   * own moment as `now()`. Timers set meanwhile count too. A callback that throws stops the clock at its moment.
   *
   * What a callback starts but does not finish at once goes on when the caller next awaits.
   *
   * @param ms how far; throws `INVALID_VALUE` for a negative or infinite time
   */
  advance(ms: number): void {
    if (!Number.isFinite(ms) || ms < 0) {
      throw new InvalidValueError('option', [{ path: 'ms', expected: 'a time from 0', received: String(ms) }]);
    }
    const end = this.#now + ms;
    for (let timer = this.#nextDue(end); timer !== undefined; timer = this.#nextDue(end)) {
      this.#timers.delete(timer);
      this.#now = timer.dueAt;
      timer.callback();
    }
    this.#now = end;
  }

  #nextDue(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueAt <= end && (next === undefined || timer.dueAt < next.dueAt)) next = timer;
    }
    return next;
  }
}
