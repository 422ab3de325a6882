import type { Usage } from '../../schemas/index.js';
import type { BackendEvent, Response, ResultEvent } from './backend.js';
import { addUsage } from './usage.js';

/** Puts the events of one turn together. */
export class ResponseBuilder {
  readonly #maxEvents: number;
  readonly #events: BackendEvent[] = [];
  readonly #texts: string[] = [];
  #omitted = 0;
  #usage: Usage | undefined;
  #sessionId: string | undefined;
  #result: ResultEvent | undefined;

  /** @param maxEvents events kept; beyond it texts, usage and the end are still told in full */
  constructor(maxEvents: number) {
    this.#maxEvents = maxEvents;
  }

  get sessionId(): string | undefined {
    return this.#result?.sessionId ?? this.#sessionId;
  }

  add(event: BackendEvent): void {
    if (this.#events.length < this.#maxEvents) this.#events.push(event);
    else this.#omitted += 1;
    if (event.type === 'text') this.#texts.push(event.text);
    if (event.type === 'usage') this.#usage = addUsage(this.#usage, event.usage);
    if (event.type === 'session') this.#sessionId = event.sessionId;
    if (event.type === 'result') this.#result = event;
  }

  build(durationMs: number, isError: boolean): Response {
    const { costUsd = this.#usage?.costUsd, numTurns, stopReason, text = this.#texts.join('') } = this.#result ?? {};
    return {
      text,
      events: this.#events,
      ...(this.#omitted === 0 ? {} : { omittedEvents: this.#omitted }),
      usage: this.#usage,
      durationMs,
      sessionId: this.sessionId,
      ...(costUsd === undefined ? {} : { costUsd }),
      ...(numTurns === undefined ? {} : { numTurns }),
      ...(stopReason === undefined ? {} : { stopReason }),
      isError,
    };
  }
}
