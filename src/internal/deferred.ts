/** A promise and the two functions that settle it. A rejection nobody waits for stays silent. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T | PromiseLike<T>) => void;
  readonly reject: (reason: unknown) => void;

  constructor() {
    let resolve: (value: T | PromiseLike<T>) => void = () => {};
    let reject: (reason: unknown) => void = () => {};
    this.promise = new Promise<T>((onResolve, onReject) => {
      resolve = onResolve;
      reject = onReject;
    });
    this.promise.catch(() => {});
    this.resolve = resolve;
    this.reject = reject;
  }
}
