/** A promise and the two functions that settle it. A rejection nobody waits for stays silent. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T | PromiseLike<T>) => void;
  readonly reject: (reason: unknown) => void;

  constructor() {
    let resolve: (value: T | PromiseLike<T>) => void = ignore;
    let reject: (reason: unknown) => void = ignore;
    this.promise = new Promise<T>((onResolve, onReject) => {
      resolve = onResolve;
      reject = onReject;
    });
    this.resolve = resolve;
    this.reject = (reason) => {
      // Only now: a second promise beside every one that is never rejected is a fifth of the cost of a chunk.
      this.promise.catch(ignore);
      reject(reason);
    };
  }
}

function ignore(): void {}
