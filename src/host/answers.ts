/** Outcomes on their way to those who wait: remembered first, then told. */
import type { AgentParts } from './actor-parts.js';
import type { TurnOutcome } from './behaviour.js';
import { terminated } from './host-errors.js';
import { type ResultBook, toKeptOutcome } from './record.js';
import { answer, failed, type Request } from './request.js';

/** Whose outcomes they are. */
export type AnswerParts = Pick<AgentParts, 'name' | 'memory' | 'mailbox'> & { readonly book: ResultBook };

/** Outcomes on their way. */
export class Answers {
  readonly #parts: AnswerParts;
  #deferred: (() => void)[] | undefined;
  /** Requests whose outcomes the store does not have yet, by ref. */
  #unsaved: Map<string, Request> | undefined;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** The request is done with: nothing of it is remembered but the outcome of a `tell`. */
  keep(request: Request, outcome: TurnOutcome): void {
    const { memory, mailbox, book } = this.#parts;
    mailbox.forget(request);
    if (request.origin !== 'tell') return;
    const { ref, order } = request;
    memory?.add('results', order, { ref, outcome: toKeptOutcome(outcome) });
    for (const dropped of book.add(ref, outcome, order)) memory?.remove('results', dropped);
  }

  /** Keeps it, and tells it as soon as the store has it; where the store fails the agent ends, and that is told. */
  settle(request: Request, outcome: TurnOutcome, onStoreFailure: (cause: unknown) => void): void {
    const { name, memory } = this.#parts;
    this.keep(request, outcome);
    const tell = () => {
      this.#unsaved?.delete(request.ref);
      answer(name, request, outcome);
    };
    const fail = (cause: unknown) => {
      this.#unsaved?.delete(request.ref);
      onStoreFailure(cause);
      // It waits nowhere any more, where the end of the agent would find it.
      answer(name, request, failed(terminated(name, 'crashed', cause)));
    };
    if (memory === undefined) {
      tell();
      return;
    }
    // What was told is never taken back by a crash.
    this.#unsaved ??= new Map();
    this.#unsaved.set(request.ref, request);
    memory.flush().then(tell, fail);
  }

  /** A request that is settled, when nobody may know of it yet. */
  findUnsaved(ref: string): Request | undefined {
    return this.#unsaved?.get(ref);
  }

  /** Is told with the next {@link tellDeferred}. */
  defer(request: Request, outcome: TurnOutcome): void {
    this.#deferred ??= [];
    this.#deferred.push(() => answer(this.#parts.name, request, outcome));
  }

  /** The loop calls it when it knows what comes next. */
  tellDeferred(): void {
    const deferred = this.#deferred;
    this.#deferred = undefined;
    for (const tell of deferred ?? []) tell();
  }
}
