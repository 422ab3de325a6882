/** One answer of AgentCore as a stream of events, which has to be whole. */
import { InvalidValueError } from '../../errors.js';
import type { Clock } from '../../internal/clock.js';
import type { RawEvent } from '../raw-event.js';
import { untilIdle } from '../until-idle.js';
import { brokenStream, harnessError, silentStream } from './errors.js';

/** What the SDK answers. */
export interface StreamAnswer {
  /** Absent: it counts as broken. */
  readonly stream?: AsyncIterable<unknown> | undefined;
}

/** How a stream is read. */
export interface StreamOptions {
  readonly signal: AbortSignal;
  /** The longest silence, in milliseconds. */
  readonly idleTimeoutMs: number;
  readonly clock: Clock;
}

/** What an event says of the answer: that it has ended, that it goes on, or nothing. */
export type Ends = (event: RawEvent) => boolean | undefined;

/**
 * Asks once, and answers the events. Throws `BACKEND_FAILED` for a stream that breaks, or falls silent or ends before its
 * end was told; the request is over when the reader is.
 */
export async function* wholeStream(
  ask: (abortSignal: AbortSignal) => PromiseLike<StreamAnswer>,
  ends: Ends,
  { signal, idleTimeoutMs, clock }: StreamOptions,
): AsyncGenerator<RawEvent, void, void> {
  const hangUp = new AbortController();
  const abort = () => hangUp.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    const { stream } = await ask(hangUp.signal);
    const hasEnded = yield* eventsOf(stream ?? nothing(), ends, idleTimeoutMs, clock);
    signal.throwIfAborted();
    if (!hasEnded) throw brokenStream();
  } catch (thrown) {
    signal.throwIfAborted();
    throw harnessError(thrown);
  } finally {
    signal.removeEventListener('abort', abort);
    hangUp.abort();
  }
}

/** Throws `INVALID_VALUE` for a client that repeats what it asks. */
export async function assertAsksOnce({ config }: { readonly config?: { maxAttempts?: unknown } }): Promise<void> {
  const told = config?.maxAttempts;
  const attempts: unknown = typeof told === 'function' ? await told() : told;
  if (attempts === undefined || Number(attempts) === 1) return;
  const expected = 'one made with maxAttempts: 1, so that nothing is run twice';
  throw new InvalidValueError('option', [{ path: 'client', expected, received: `maxAttempts ${attempts}` }]);
}

/** Answers whether the end was told. */
async function* eventsOf(
  stream: AsyncIterable<unknown>,
  ends: Ends,
  idleTimeoutMs: number,
  clock: Clock,
): AsyncGenerator<RawEvent, boolean> {
  const events = untilIdle(stream as AsyncIterable<RawEvent>, idleTimeoutMs, clock);
  let hasEnded = false;
  try {
    for (;;) {
      const { value, done } = await events.next();
      // A connection may stay open when all was said.
      if (done && value === 'idle' && !hasEnded) throw silentStream(idleTimeoutMs);
      if (done) return hasEnded;
      hasEnded = ends(value as RawEvent) ?? hasEnded;
      yield value as RawEvent;
    }
  } finally {
    await events.return('ended');
  }
}

async function* nothing(): AsyncGenerator<never> {}
