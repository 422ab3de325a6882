/** Outcomes on their way to those who wait: remembered first, then told. */
import type { AgentParts } from './actor-parts.js';
import type { TurnOutcome } from './behaviour.js';
import { type ResultBook, toKeptOutcome } from './record.js';
import { answer, type Request } from './request.js';

/** Whose outcomes they are. */
export type AnswerParts = Pick<AgentParts, 'name' | 'memory' | 'backlog'> & { readonly book: ResultBook };

/** Outcomes on their way. */
export class Answers {
  readonly #parts: AnswerParts;
  #due: (() => void)[] | undefined;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** The request is done with: nothing of it is remembered but the outcome of a `tell`. */
  keep(request: Request, outcome: TurnOutcome): void {
    const { memory, backlog, book } = this.#parts;
    backlog.forget(request);
    if (request.origin !== 'tell') return;
    const { ref, order } = request;
    memory?.add('results', order, { ref, outcome: toKeptOutcome(outcome) });
    for (const dropped of book.add(ref, outcome, order)) memory?.remove('results', dropped);
  }

  /** Keeps it, and tells it as soon as the store has it. */
  settle(request: Request, outcome: TurnOutcome, onStoreFailure: (cause: unknown) => void): void {
    const { name, memory } = this.#parts;
    this.keep(request, outcome);
    const tell = () => answer(name, request, outcome);
    if (memory === undefined) tell();
    // What was told is never taken back by a crash.
    else memory.flush().then(tell, onStoreFailure);
  }

  /** Is told with the next {@link tellDue}. */
  isDue(request: Request, outcome: TurnOutcome): void {
    this.#due ??= [];
    this.#due.push(() => answer(this.#parts.name, request, outcome));
  }

  tellDue(): void {
    const due = this.#due;
    this.#due = undefined;
    for (const tell of due ?? []) tell();
  }
}
