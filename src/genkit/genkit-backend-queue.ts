/** What callbacks say, as an iterator: everything that was pushed, then the end or the error. One reader. */
export class EventQueue<Event> implements AsyncIterableIterator<Event, undefined> {
  #waiting: Event[] = [];
  #next = 0;
  #end: { readonly error?: unknown } | undefined;
  #wake: () => void = () => {};

  push(event: Event): void {
    if (this.#end !== undefined) return;
    this.#waiting.push(event);
    this.#wake();
  }

  /** Nothing more will be pushed. Only the first end counts. */
  end(failure: { readonly error?: unknown } = {}): void {
    this.#end ??= failure;
    this.#wake();
  }

  async next(): Promise<IteratorResult<Event, undefined>> {
    for (;;) {
      const value = this.#waiting[this.#next];
      if (this.#next < this.#waiting.length) {
        this.#next += 1;
        return { value: value as Event, done: false };
      }
      this.#waiting = [];
      this.#next = 0;
      if (this.#end !== undefined) {
        if ('error' in this.#end) throw this.#end.error;
        return { value: undefined, done: true };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
