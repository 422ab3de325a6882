import type { Clock } from '../../internal/clock.js';
import type { LoopLimit } from './options.js';

/** Why a request was stopped; the reason of its signal. */
export class Stopped {
  readonly limit: LoopLimit;
  readonly detail: unknown;

  constructor(limit: LoopLimit, detail?: unknown) {
    this.limit = limit;
    this.detail = detail;
  }
}

/** What ends one request from outside: its time, its caller, whoever interrupts it. The first one counts. */
export class Limits {
  readonly #controller = new AbortController();
  readonly #cancelTimer: () => void;
  readonly #release: () => void;

  constructor(clock: Clock, timeoutMs: number, signal?: AbortSignal) {
    this.#cancelTimer = clock.after(timeoutMs, () => this.stop(new Stopped('timeout')), { keepAlive: true });
    const interrupt = () => this.stop(new Stopped('interrupted', signal?.reason));
    this.#release = () => signal?.removeEventListener('abort', interrupt);
    if (signal?.aborted) interrupt();
    else signal?.addEventListener('abort', interrupt, { once: true });
  }

  /** Fires when the request is stopped, with a {@link Stopped} as its reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get stopped(): Stopped | undefined {
    return this.signal.aborted ? this.signal.reason : undefined;
  }

  stop(reason: Stopped): void {
    if (!this.signal.aborted) this.#controller.abort(reason);
  }

  /** The request is over. */
  end(): void {
    this.#cancelTimer();
    this.#release();
  }
}
