import type { Clock } from '../internal/clock.js';

/**
 * A stream as long as it says something: a connection that is half dead says nothing for ever. Answers how it ended; of one
 * that fell silent the caller ends the request.
 *
 * @param idleTimeoutMs the longest silence, in milliseconds
 */
export async function* untilIdle<T>(
  source: AsyncIterable<T>,
  idleTimeoutMs: number,
  clock: Clock,
): AsyncGenerator<T, 'ended' | 'idle'> {
  const iterator = source[Symbol.asyncIterator]();
  let isOver = false;
  try {
    for (;;) {
      let cancel = () => {};
      const silence = new Promise<'idle'>((resolve) => {
        cancel = clock.after(idleTimeoutMs, () => resolve('idle'));
      });
      const next = iterator.next();
      const step = await Promise.race([next, silence]).finally(cancel);
      if (step === 'idle') {
        // The step may still come, or fail, when the request is ended.
        next.catch(() => {});
        isOver = true;
        return 'idle';
      }
      isOver = step.done === true;
      if (step.done) return 'ended';
      yield step.value;
    }
  } catch (error) {
    isOver = true;
    throw error;
  } finally {
    if (!isOver) await iterator.return?.();
  }
}
