import type { Clock } from '../internal/clock.js';

/**
 * Waits. Rejects with the signal's reason when that fires first.
 *
 * @param ms how long, in milliseconds
 */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(
      ms,
      () => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      },
      { keepAlive: true },
    );
    signal.addEventListener('abort', giveUp, { once: true });
  });
}
