/** Where one agent stands in the machine of `machine.ts`, and whether it is to end. */
import type { EndReason } from './behaviour.js';
import type { Observers } from './events.js';
import { type Consequence, type Happening, isProcessing, type Phase, transition } from './machine.js';

/** Whose lifecycle it is, and who is told. */
export interface LifecycleParts {
  readonly name: string;
  readonly observers: Observers;
}

/** Where one agent stands. */
export class Lifecycle {
  readonly #parts: LifecycleParts;
  #phase: Phase;
  #endsAs: 'drained' | 'closed' | undefined;
  #endReason: EndReason | undefined;

  constructor(phase: Phase, parts: LifecycleParts) {
    this.#phase = phase;
    this.#parts = parts;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Callbacks are async: the agent may have ended during one. */
  get isAlive(): boolean {
    return this.#phase !== 'ended';
  }

  get isProcessing(): boolean {
    return isProcessing(this.#phase);
  }

  get isHalted(): boolean {
    return this.#phase === 'halted';
  }

  /** It halts when what goes on is over. */
  get isToHalt(): boolean {
    return this.#phase === 'idle, to halt' || this.#phase === 'processing, to halt';
  }

  /** It is halted, or is when the turn ends, and nobody has resumed it. */
  get staysHalted(): boolean {
    return this.#phase === 'halted' || this.#phase === 'processing, halting';
  }

  /** It halts, and takes prompts again at once. */
  get isToResume(): boolean {
    return this.#phase === 'processing, halting, to resume';
  }

  /** Why the agent ended; `undefined` while it lives. */
  get endReason(): EndReason | undefined {
    return this.#endReason;
  }

  /** Takes nothing new, and ends when what goes on is over; as what. */
  get endsAs(): 'drained' | 'closed' | undefined {
    return this.#endsAs;
  }

  /** What waits is kept for whoever comes next, so prompts of the agent's own still join it. */
  get keepsWhatWaits(): boolean {
    return this.#endsAs !== 'drained';
  }

  /** Goes where the machine leads; answers what follows, `undefined` where nothing has changed. */
  step(on: Happening): Consequence | undefined {
    const from = this.#phase;
    const next = transition(from, on);
    if (next === undefined) return undefined;
    this.#phase = next.to;
    if (this.isAlive && isProcessing(from) !== this.isProcessing) this.#tellChange();
    return next.then;
  }

  askEnd(reason: 'drained' | 'closed'): void {
    this.#endsAs ??= reason;
  }

  /** False when it had ended before. */
  end(reason: EndReason): boolean {
    if (this.step('end') === undefined) return false;
    this.#endReason = reason;
    return true;
  }

  #tellChange(): void {
    const [from, to] = this.isProcessing ? (['idle', 'processing'] as const) : (['processing', 'idle'] as const);
    this.#parts.observers.tell(this.#parts.name, { type: 'state.changed', from, to });
  }
}
