/** How long a caller waits. */
import type { Response } from '../backends/backend.js';
import { AgentFlowError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import type { Following } from './request.js';

/** How long a caller waits. The agent works on whatever happens to its caller. */
export interface Waiting {
  /** Milliseconds; then the wait rejects with `WAIT_TIMEOUT`. @default for ever */
  readonly timeoutMs?: number;
  /** Ends the wait; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How something is asked. */
export interface Asking extends Following, Waiting {}

/** Waits as long as the caller wants to. `onGivingUp` is called when that is not long enough. */
export function patiently<T = Response>(
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
