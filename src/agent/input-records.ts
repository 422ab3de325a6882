/** What a session is told of inputs that carry an id: that a turn takes one, before it does, and that the turn has ended. */
import type { AcceptedInput } from '../session/store.js';
import type { TurnFacts } from './active-turn.js';

/** The run whose inputs are recorded. */
export interface InputRecordsParts {
  readonly id: string;
  /** Records an input that carries an id; answers what is recorded. */
  record(input: AcceptedInput): Promise<AcceptedInput>;
}

/** A turn whose inputs are answered. */
type EndedTurn = TurnFacts & { readonly steeredIds: readonly string[] };

/** The records of one run that has inputs with ids. */
export class InputRecords {
  readonly #run: InputRecordsParts;
  readonly #beginnings = new Set<Promise<unknown>>();
  #endings: Promise<void> | undefined;

  constructor(run: InputRecordsParts) {
    this.#run = run;
  }

  /** While it is being recorded that turns have ended. Rejects when that fails, for those who wait by then. */
  get endings(): Promise<void> | undefined {
    return this.#endings;
  }

  /** Records that a turn takes an input. Answers that, or what was recorded when the input was taken before. */
  async begin({ id, turn, attempt, input }: Omit<AcceptedInput, 'run' | 'done'>): Promise<AcceptedInput> {
    const beginning = this.#run.record({ id, run: this.#run.id, turn, attempt, done: false, input });
    this.#beginnings.add(beginning);
    try {
      return await beginning;
    } finally {
      this.#beginnings.delete(beginning);
    }
  }

  /** Records that a turn has ended, for its own input and for those that steered it; after the turns before it. */
  end(turn: EndedTurn): void {
    const endings = this.#endTurn(turn, this.#endings);
    this.#endings = endings;
    const forget = () => {
      if (this.#endings === endings) this.#endings = undefined;
    };
    endings.then(forget, forget);
  }

  /** Waits until it is known of every input that was taken whether it is recorded. */
  async begun(): Promise<void> {
    await Promise.allSettled(this.#beginnings);
  }

  async #endTurn(turn: EndedTurn, before: Promise<void> | undefined): Promise<void> {
    const { inputId, steeredIds, number, attempt } = turn;
    const done = { run: this.#run.id, turn: number, done: true };
    await before?.catch(() => {});
    if (inputId !== undefined) await this.#run.record({ id: inputId, ...done, attempt });
    for (const id of steeredIds) await this.#run.record({ id, ...done, attempt: 1 });
  }
}
