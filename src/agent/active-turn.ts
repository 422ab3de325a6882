/** The turn that is being answered: what its handler sees of it, and how it is steered and cut short. */
import { AgentFlowError, toAgentFlowError } from '../errors.js';
import type { Turn } from './agent.js';
import { LazyAbort } from './lazy-abort.js';

/** The facts a turn begins with. */
export interface TurnFacts {
  readonly number: number;
  readonly attempt: number;
  /** The id its input was sent with. */
  readonly inputId: string | undefined;
}

/** One turn while it runs. */
export class ActiveTurn<In, Stream> implements Turn<In> {
  readonly number: number;
  readonly attempt: number;
  readonly inputId: string | undefined;
  /** What it has sent, kept only where somebody wants to know. */
  readonly chunks: Stream[] = [];
  /** The ids of the inputs that steered it. */
  readonly steeredIds: string[] = [];
  /** Until it has ended. Its function may still be at work then. */
  isOpen = true;
  readonly #onInterrupt: () => void;
  readonly #abort = new LazyAbort();
  #listener: ((input: In) => unknown) | undefined;
  /** Until the listener is done with all it was given. Never rejects. */
  #steering: Promise<void> | undefined;
  #canBeSteered = true;
  /** The first thing that went wrong, in its function or in its listener. */
  #firstFailure: AgentFlowError | undefined;
  #phase: 'begun' | 'working' | 'finished' = 'begun';
  #wantedInterrupt: { readonly reason: unknown } | undefined;
  #keepsChunks = false;
  #interruption: AgentFlowError | undefined;

  /** @param onInterrupt told when the turn is cut short */
  constructor({ number, attempt, inputId }: TurnFacts, onInterrupt: () => void) {
    this.number = number;
    this.attempt = attempt;
    this.inputId = inputId;
    this.#onInterrupt = onInterrupt;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Why the turn was cut short, if it was. */
  get interruption(): AgentFlowError | undefined {
    return this.#interruption;
  }

  /** Is its function still at work? */
  get isWorking(): boolean {
    return this.#phase === 'working';
  }

  /** From here on the turn can be cut short; it is at once, if that was wanted before. */
  startWork(keepChunks: boolean): void {
    this.#phase = 'working';
    this.#keepsChunks = keepChunks;
    if (this.#wantedInterrupt !== undefined) this.interrupt(this.#wantedInterrupt.reason);
  }

  /** Not a method: handlers take their turn apart, `(input, { signal, onSteer })`. */
  readonly onSteer = (listener: (input: In) => unknown): void => {
    this.#listener = listener;
  };

  get isListening(): boolean {
    return this.#activeListener !== undefined;
  }

  /** Hands over an input; false when nobody listens. */
  steer(input: In, id: string | undefined): boolean {
    const listener = this.#activeListener;
    if (listener === undefined) return false;
    if (id !== undefined) this.steeredIds.push(id);
    const told = this.#tell(listener, input);
    this.#steering = this.#steering?.then(() => told) ?? told;
    return true;
  }

  /** The one that is asked, while it is: a turn may have ended while its function still works. */
  get #activeListener(): ((input: In) => unknown) | undefined {
    return this.#canBeSteered && this.isOpen ? this.#listener : undefined;
  }

  /** A listener that fails fails the turn: its work is told, and what else is sent waits for the next one. */
  async #tell(listener: (input: In) => unknown, input: In): Promise<void> {
    try {
      await listener(input);
    } catch (error) {
      this.#canBeSteered = false;
      this.#firstFailure ??= toAgentFlowError(error);
      this.abort(this.#firstFailure);
    }
  }

  /**
   * Its function is through: from here on nothing steers the turn. Answers what has gone wrong first, when its listener is
   * through as well.
   *
   * @param failure what its function has failed with
   */
  endSteering(failure?: AgentFlowError): Promise<AgentFlowError | undefined> | AgentFlowError | undefined {
    this.#canBeSteered = false;
    this.#firstFailure ??= failure;
    return this.#steering?.then(() => this.#firstFailure) ?? failure;
  }

  /** Cuts the turn short, now or as soon as it works; false when it has done its work uncut. */
  interrupt(reason?: unknown): boolean {
    this.#wantedInterrupt ??= { reason };
    if (this.#phase === 'working' && this.#interruption === undefined) {
      this.#interruption = new AgentFlowError('TURN_INTERRUPTED', 'The turn was cut short', { cause: reason });
      this.abort(this.#interruption);
      this.#onInterrupt();
    }
    return this.#phase !== 'finished' || this.#interruption !== undefined;
  }

  /** The turn's function has returned: what is sent from here on is said about the turn, not by it. */
  finishWork(): boolean {
    this.#phase = 'finished';
    return this.#interruption !== undefined;
  }

  /** Throws while a turn that was cut short still works. */
  assertMaySend(): void {
    if (this.#interruption !== undefined && this.#phase === 'working') throw this.#interruption;
  }

  keep(chunk: Stream): void {
    if (this.#keepsChunks && this.#phase === 'working') this.chunks.push(chunk);
  }

  abort(reason: AgentFlowError): void {
    this.#abort.abort(reason);
  }
}
