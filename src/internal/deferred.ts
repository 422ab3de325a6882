/** A promise and the two functions that settle it. A rejection nobody waits for stays silent. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  #resolve: (value: T | PromiseLike<T>) => void = ignore;
  #reject: (reason: unknown) => void = ignore;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get resolve(): (value: T | PromiseLike<T>) => void {
    return this.#resolve;
  }

  // Made when it is asked for: what makes it silent would be a third of the cost of a chunk, and most are never rejected.
  get reject(): (reason: unknown) => void {
    return (reason) => {
      this.promise.catch(ignore);
      this.#reject(reason);
    };
  }
}

function ignore(): void {}
