/** What a caller's input stream brings while a run lasts. */

/**
 * Everything the source brings until it, or the run, ends. Whoever leaves the loop, and the end of the run, closes the
 * source; what it thinks of that changes nothing. Throws only what the source throws when it is read.
 *
 * @param ended settles when the run has ended; must not reject
 */
export async function* inputsUntil<In>(ended: Promise<unknown>, source: AsyncIterable<In>): AsyncGenerator<In, void> {
  const inputs = source[Symbol.asyncIterator]();
  let isOver = false;
  let stopWaiting = () => {};
  void ended.then(() => {
    isOver = true;
    stopWaiting();
  });
  try {
    while (!isOver) {
      // Not raced with `ended`, which would hold every input that has won until the run is over.
      const next = await new Promise<IteratorResult<In, undefined>>((resolve, reject) => {
        stopWaiting = () => resolve({ value: undefined, done: true });
        Promise.resolve(inputs.next()).then(resolve, reject);
      });
      if (next.done) return;
      yield next.value;
    }
  } finally {
    close(inputs);
  }
}

/** Nobody waits for it: a source that never closes would hold up what comes after. */
function close(inputs: AsyncIterator<unknown>): void {
  try {
    void Promise.resolve(inputs.return?.()).catch(() => {});
  } catch {
    // One that throws instead of rejecting.
  }
}
