/** What callbacks say, as an iterator: everything that was pushed, then the end or the error. One reader, no bound. */
export class EventQueue<Event> implements AsyncIterableIterator<Event, undefined> {
  #arrived: Event[] = [];
  /** What had arrived when it was looked last; the reader takes that first. */
  #batch: Iterator<Event> = [].values();
  #end: { readonly error?: unknown } | undefined;
  #wake: () => void = () => {};

  push(event: Event): void {
    if (this.#end !== undefined) return;
    this.#arrived.push(event);
    this.#wake();
  }

  /** Nothing more will be pushed. Only the first end counts. */
  end(failure: { readonly error?: unknown } = {}): void {
    this.#end ??= failure;
    this.#wake();
  }

  async next(): Promise<IteratorResult<Event, undefined>> {
    for (;;) {
      const next = this.#batch.next();
      if (!next.done) return next;
      if (this.#arrived.length > 0) {
        this.#batch = this.#arrived.values();
        this.#arrived = [];
      } else if (this.#end === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else {
        if ('error' in this.#end) throw this.#end.error;
        return { value: undefined, done: true };
      }
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
