/** How long somebody waits. */
import { AgentFlowError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import type { Waiting } from './request.js';

/** Waits as long as the caller wants to. `onGivingUp` is called when that is not long enough. */
export function withTimeout<T>(
  work: Promise<T>,
  { timeoutMs = Infinity, signal }: Waiting,
  clock: Clock,
  onGivingUp: () => void = () => {},
): Promise<T> {
  if (timeoutMs === Infinity && signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const giveUp = (reason: unknown) => {
      settle();
      onGivingUp();
      reject(reason);
    };
    const stop = () => giveUp(signal?.reason);
    const tooLong = () => giveUp(new AgentFlowError('WAIT_TIMEOUT', `There was no answer within ${timeoutMs} ms`));
    const cancel = timeoutMs === Infinity ? () => {} : clock.after(timeoutMs, tooLong, { keepAlive: true });
    const settle = () => {
      cancel();
      signal?.removeEventListener('abort', stop);
    };
    work.then(resolve, reject).then(settle);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Waits for work, at most so many milliseconds; never rejects. */
export function settledWithin(ms: number, work: Promise<unknown>, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, resolve, { keepAlive: true });
    const done = () => {
      cancel();
      resolve();
    };
    work.then(done, done);
  });
}

/** Whatever goes wrong is a rejection, and one that nobody looks at stays silent. */
export function silent<T>(work: () => T | Promise<T>): Promise<T> {
  const promise = new Promise<T>((resolve) => resolve(work()));
  promise.catch(() => {});
  return promise;
}
