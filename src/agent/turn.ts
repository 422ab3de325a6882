import type { SendReceipt } from '../../schemas/index.js';
import type { RunningTurn } from '../connection/inbox.js';
import { AgentFlowError } from '../errors.js';
import type { Turn } from './agent.js';

/** The facts a turn begins with. */
export interface TurnFacts {
  readonly run: string;
  readonly number: number;
  readonly attempt: number;
  /** The id its input was sent with. */
  readonly inputId: string | undefined;
}

/** One turn while it runs. */
export class ActiveTurn<In, Stream> implements Turn<In>, RunningTurn<In> {
  readonly number: number;
  readonly attempt: number;
  readonly inputId: string | undefined;
  /** What it has sent, kept only where somebody wants to know. */
  readonly chunks: Stream[] = [];
  readonly #run: string;
  readonly #onInterrupt: () => void;
  #controller: AbortController | undefined;
  #listener: ((input: In) => void) | undefined;
  #isInterruptible = false;
  #keepsChunks = false;
  #interruption: AgentFlowError | undefined;

  /** @param onInterrupt told when the turn is cut short */
  constructor({ run, number, attempt, inputId }: TurnFacts, onInterrupt: () => void) {
    this.number = number;
    this.attempt = attempt;
    this.inputId = inputId;
    this.#run = run;
    this.#onInterrupt = onInterrupt;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  /** Why the turn was cut short, if it was. */
  get interruption(): AgentFlowError | undefined {
    return this.#interruption;
  }

  /** From here on the turn can be cut short. */
  allowInterrupt(keepChunks: boolean): void {
    this.#isInterruptible = true;
    this.#keepsChunks = keepChunks;
  }

  onSteer(listener: (input: In) => void): void {
    this.#listener = listener;
  }

  steer(input: In): SendReceipt | undefined {
    if (this.#listener === undefined) return undefined;
    this.#listener(input);
    return { run: this.#run, turn: this.number, duplicate: false, steered: true };
  }

  interrupt(): void {
    if (!this.#isInterruptible || this.#interruption !== undefined) return;
    this.#interruption = new AgentFlowError('TURN_INTERRUPTED', 'The turn was cut short by another input');
    this.abort(this.#interruption);
    this.#onInterrupt();
  }

  /** The turn's function has returned: what is sent from here on is said about the turn, not by it. */
  finishWork(): boolean {
    this.#isInterruptible = false;
    this.#listener = undefined;
    return this.#interruption !== undefined;
  }

  /** Throws while a turn that was cut short still works. */
  assertMaySend(): void {
    if (this.#interruption !== undefined && this.#isInterruptible) throw this.#interruption;
  }

  record(chunk: Stream): void {
    if (this.#keepsChunks) this.chunks.push(chunk);
  }

  abort(reason: AgentFlowError): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
  }
}
