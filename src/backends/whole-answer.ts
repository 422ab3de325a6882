/** An answer that is streamed, up to its end; the connection may outlive it, and keeps nobody waiting. */
import type { Clock } from '../internal/clock.js';

/** How long a connection may take to end when the answer has, in milliseconds: one that does is used again. */
const closingMs = 1_000;

/** How an answer is read. */
export interface AnswerParts<Event> {
  /** Asks; the signal ends the request. */
  readonly ask: (signal: AbortSignal) => PromiseLike<AsyncIterable<unknown>>;
  /** After this one the answer is whole, and what becomes of its connection changes nothing. */
  readonly isEnd: (event: Event) => boolean;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** Asks, and answers the events. The request is over when the reader is. */
export async function* wholeAnswer<Event>({
  ask,
  isEnd,
  signal,
  clock,
}: AnswerParts<Event>): AsyncGenerator<Event, void, undefined> {
  const over = new AbortController();
  const iterator = (await ask(AbortSignal.any([signal, over.signal])))[Symbol.asyncIterator]();
  let isWhole = false;
  let closed: Promise<IteratorResult<unknown>> | undefined;
  let cancel = () => {};
  try {
    for (;;) {
      const next = await (closed === undefined ? iterator.next() : Promise.race([iterator.next(), closed]));
      if (next.done) return;
      const event = next.value as Event;
      yield event;
      if (isWhole || !isEnd(event)) continue;
      isWhole = true;
      closed = new Promise((resolve) => {
        cancel = clock.after(closingMs, () => resolve({ done: true, value: undefined }));
      });
    }
  } catch (error) {
    if (!isWhole || signal.aborted) throw error;
  } finally {
    cancel();
    // Both: a source that waits for the connection hears of nothing else, and one that was left hears of its reader.
    over.abort();
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
