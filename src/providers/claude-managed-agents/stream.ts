/** The stream of a managed agent's events, for as long as its connection lives. */
import type { Clock } from '../../internal/clock.js';
import type { RawEvent } from '../raw-event.js';
import { untilIdle } from '../until-idle.js';
import { JsonEventDecoder } from './sse.js';

/** How a stream is read. */
export interface StreamOptions {
  readonly signal: AbortSignal;
  readonly idleTimeoutMs: number;
  readonly maxEventLength: number;
  readonly clock: Clock;
  /** Told every event as it arrives. */
  readonly onEvent: (event: RawEvent) => void;
}

/** The events of a stream until it ends, falls silent or is aborted. */
export async function* eventsOf(
  { body }: Response,
  { signal, idleTimeoutMs, maxEventLength, clock, onEvent }: StreamOptions,
): AsyncGenerator<RawEvent> {
  if (body === null) return;
  const reader = body.getReader();
  const hangUp = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener('abort', hangUp, { once: true });
  const decoder = new JsonEventDecoder(maxEventLength);
  try {
    if (signal.aborted) return;
    for await (const chunk of untilIdle(chunksOf(reader), idleTimeoutMs, clock)) {
      for (const event of decoder.push(chunk)) {
        onEvent(event);
        yield event;
      }
    }
  } finally {
    signal.removeEventListener('abort', hangUp);
    hangUp();
  }
}

async function* chunksOf(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}
