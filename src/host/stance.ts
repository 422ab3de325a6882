/** Where one agent stands in the machine of `machine.ts`, and what has been asked of it that must wait. */
import type { EndReason } from './behaviour.js';
import type { Observers } from './events.js';
import { type Happening, type Phase, transition } from './machine.js';

/** Whose stance it is, and who is told. */
export interface StanceParts {
  readonly name: string;
  readonly observers: Observers;
}

/** Where one agent stands. */
export class Stance {
  readonly #parts: StanceParts;
  #phase: Phase;
  #wantsHalt = false;
  #isHalting = false;
  #wantsResume = false;
  #wantsEnd: EndReason | undefined;

  constructor(phase: Phase, parts: StanceParts) {
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

  /** A halt waits for what goes on. */
  get wantsHalt(): boolean {
    return this.#wantsHalt;
  }

  /** Takes nothing new; why. */
  get wantsEnd(): EndReason | undefined {
    return this.#wantsEnd;
  }

  /** Goes where the machine leads; false where it leads nowhere. */
  step(on: Happening): boolean {
    const from = this.#phase;
    const next = transition(from, on);
    if (next === undefined) return false;
    this.#phase = next.to;
    const [was, is] = [from, next.to].map((phase) => (phase === 'processing' ? 'processing' : 'idle')) as [
      'idle',
      'idle',
    ];
    if (was !== is && this.isAlive)
      this.#parts.observers.tell(this.#parts.name, { type: 'state.changed', from: was, to: is });
    return true;
  }

  /** Asks for a halt; one that is halted already has it. */
  askHalt(): void {
    if (this.#phase !== 'halted' && this.isAlive) this.#wantsHalt = true;
  }

  /** A callback of the turn in flight decided to halt: nothing takes that back. */
  decideHalt(): void {
    this.#isHalting = true;
  }

  askEnd(reason: EndReason): void {
    this.#wantsEnd ??= reason;
  }

  /** Takes back a halt that has not happened; answers whether one that has is over. */
  resume(): boolean {
    this.#wantsHalt = false;
    if (this.#phase === 'processing' && this.#isHalting) this.#wantsResume = true;
    return this.#phase === 'halted' && this.step('resume');
  }

  /** An idle agent halts. */
  haltNow(): void {
    this.#wantsHalt = false;
    this.step('halt');
  }

  /** The turn's callbacks are through: whether it ends in a halt. From here on only `resume` afterwards helps. */
  sealTurn(): boolean {
    this.#isHalting ||= this.#wantsHalt;
    this.#wantsHalt = false;
    return this.#isHalting;
  }

  /** The turn is over; answers whether a resume came too late to prevent its halt. */
  endTurn(): boolean {
    this.step(this.#isHalting ? 'the turn ends in a halt' : 'the turn ends');
    const wantsResume = this.#wantsResume;
    this.#isHalting = false;
    this.#wantsResume = false;
    return wantsResume;
  }
}
