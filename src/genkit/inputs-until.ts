/** What a caller's input stream brings while a run lasts. */

/**
 * Everything the source brings until it, or the run, ends. Whoever leaves the loop, and the end of the run, closes the
 * source; what it thinks of that changes nothing. Throws only what the source throws when it is read.
 *
 * @param ended settles when the run has ended; must not reject
 */
export async function* inputsUntil<In>(ended: Promise<unknown>, source: AsyncIterable<In>): AsyncGenerator<In, void> {
  const inputs = source[Symbol.asyncIterator]();
  const over = ended.then((): IteratorResult<In, undefined> => ({ value: undefined, done: true }));
  try {
    for (;;) {
      const next = await Promise.race([inputs.next(), over]);
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
