/**
 * The least an async queue can be: an array with a head index and one consumer that waits on a promise. It checks
 * nothing, bounds nothing and knows no turns; what a chunk costs beyond this is the price of being an agent.
 */
export class BareQueue<T> implements AsyncIterable<T> {
  #items: (T | typeof end)[] = [];
  #head = 0;
  #wake: (() => void) | undefined;

  /** Resolves at once: there is always room. */
  send(item: T): Promise<void> {
    this.#push(item);
    return ready;
  }

  close(): void {
    this.#push(end);
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return { next: () => this.#next() };
  }

  #push(item: T | typeof end): void {
    this.#items.push(item);
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  async #next(): Promise<IteratorResult<T, undefined>> {
    if (this.#head === this.#items.length) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const item = this.#items[this.#head] as T | typeof end;
    this.#head += 1;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    }
    return item === end ? { value: undefined, done: true } : { value: item, done: false };
  }
}

const end = Symbol('end');
const ready = Promise.resolve();
