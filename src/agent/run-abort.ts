import type { AgentFlowError } from '../errors.js';

/** What the parts of a run ask: is it over before its time, and why? An `AbortSignal` answers it too. */
export type AbortState = Pick<AbortSignal, 'aborted' | 'reason' | 'throwIfAborted'>;

/**
 * The abort of one run or turn. A real `AbortSignal` is made only for who asks for it: with its controller it takes as
 * much memory as half of everything else an idle run holds, and few handlers look at it.
 */
export class RunAbort implements AbortState {
  #reason: AgentFlowError | undefined;
  #controller: AbortController | undefined;
  #onAbort: (() => void) | undefined;

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

  /** Told of an abort that is still to come, after the signal has fired. There is one such listener; the last one counts. */
  onAbort(listener: () => void): void {
    this.#onAbort = listener;
  }

  /** Only the first counts. */
  abort(reason: AgentFlowError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.#onAbort?.();
  }
}

/** Under which an object keeps the abort whose signal it has. */
const ownAbort = Symbol('abort');

/** One for all, as an accessor written out in each object would cost more than a signal does. */
const signalProperty: PropertyDescriptor & ThisType<{ readonly [ownAbort]: RunAbort }> = {
  enumerable: true,
  get() {
    return this[ownAbort].signal;
  },
};

/** The object, with the signal as a property of its own, so that a copy has it too; it is made when it is looked at. */
export function withSignal<Rest extends object>(abort: RunAbort, rest: Rest): Rest & { readonly signal: AbortSignal } {
  const object: Rest & { readonly signal?: AbortSignal } = { ...rest, [ownAbort]: abort };
  return Object.defineProperty(object, 'signal', signalProperty) as Rest & { readonly signal: AbortSignal };
}
