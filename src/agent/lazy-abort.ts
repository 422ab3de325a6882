/** The abort of a run or a turn, whose `AbortSignal` is made when somebody asks for it. */
import type { AgentFlowError } from '../errors.js';
import type { WaitSignal } from '../session/release-watch.js';

/** What the parts of a run ask: is it over before its time, and why? An `AbortSignal` answers it too. */
export type AbortState = Pick<AbortSignal, 'aborted' | 'reason' | 'throwIfAborted'>;

/**
 * The abort of one run or turn. A real `AbortSignal` is made only for who asks for it: with its controller it takes as
 * much memory as half of everything else an idle run holds, and few handlers look at it.
 */
export class LazyAbort implements AbortState, WaitSignal {
  #reason: AgentFlowError | undefined;
  #controller: AbortController | undefined;

  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  get reason(): AgentFlowError | undefined {
    return this.#reason;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  throwIfAborted(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Who listens must wait for something, and so needs the signal. */
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once?: boolean }): void {
    this.signal.addEventListener(type, listener, options);
  }

  removeEventListener(type: 'abort', listener: () => void): void {
    this.#controller?.signal.removeEventListener(type, listener);
  }

  /** Only the first counts. */
  abort(reason: AgentFlowError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

/** Under which an object keeps the abort whose signal it has. */
const ownAbort = Symbol('abort');

/** One for all, as an accessor written out in each object would cost more than a signal does. */
const signalProperty: PropertyDescriptor & ThisType<{ readonly [ownAbort]: LazyAbort }> = {
  enumerable: true,
  get() {
    return this[ownAbort].signal;
  },
};

/**
 * The rest, with the signal as a property of its own, so that a copy has it too; it is made when it is looked at. It comes
 * first: an accessor behind other properties would give every object a shape of its own, four times its size.
 */
export function withSignal<Rest extends object>(abort: LazyAbort, rest: Rest): Rest & { readonly signal: AbortSignal } {
  const object: object = Object.defineProperty({ [ownAbort]: abort }, 'signal', signalProperty);
  return Object.assign(object as { readonly signal: AbortSignal }, rest);
}
