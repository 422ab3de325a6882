/** What a watcher sees of a run: everything its readers see, taking nothing away, from any point that is still kept. */
import type { Cursor } from '../../schemas/index.js';
import { AgentFlowError } from '../errors.js';
import { advance, type ChunkLog, type LogEntry, type LogPosition, TurnEnd, TurnStart } from './chunk-log.js';
import type { WatchEvent, WatchOptions } from './connection.js';

/** That a run has ended, and why if it did not end well. */
export interface RunEnding {
  readonly error: AgentFlowError | undefined;
}

/** A run as far as it is watched. */
export interface WatchedRun<Stream> {
  /** Its id, for cursors. */
  readonly run: string;
  readonly log: ChunkLog<Stream>;
  end(): RunEnding | undefined;
}

/** Walks the log at the watcher's own pace. Throws `CURSOR_EXPIRED` when what comes next is no longer kept. */
export function watchLog<Stream>(
  run: WatchedRun<Stream>,
  options: WatchOptions,
): AsyncIterableIterator<WatchEvent<Stream>> {
  const leaving = new AbortController();
  return leftAtOnce(walk(run, options, leaving.signal), () => {
    leaving.abort();
    run.log.wake();
  });
}

/**
 * The events of a generator, for a loop that may be left at any time: a generator alone would be left only after the event
 * it waits for. No promise of it has to be waited for.
 *
 * @param leave makes the generator return instead of waiting
 */
export function leftAtOnce<Event>(
  events: AsyncGenerator<Event, undefined>,
  leave: () => void,
): AsyncIterableIterator<Event> {
  const iterator: AsyncIterableIterator<Event> = {
    next: () => silent(events.next()),
    return: () => {
      leave();
      return silent(events.return(undefined));
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

async function* walk<Stream>(
  { run, log, end }: WatchedRun<Stream>,
  { after, signal }: WatchOptions,
  leaving: AbortSignal,
): AsyncGenerator<WatchEvent<Stream>, undefined> {
  const wake = () => log.wake();
  signal?.addEventListener('abort', wake, { once: true });
  try {
    let position = log.start;
    if (isGapAfter(after, position, run)) throw expired(position);
    for (;;) {
      if (leaving.aborted || signal?.aborted) return;
      if (position.index < log.start.index) throw expired(position);
      if (position.index === log.end) {
        const ending = end();
        if (ending?.error !== undefined) throw ending.error;
        if (ending !== undefined) return;
        await log.grown();
        continue;
      }
      const entry = log.at(position.index) as LogEntry<Stream>;
      const event = eventAt({ ...position, run }, entry);
      if (event !== undefined && isAfter(event.cursor, after)) yield event;
      position = advance(position, entry);
    }
  } finally {
    signal?.removeEventListener('abort', wake);
  }
}

function eventAt<Stream>({ run, turn, seq, attempt }: Cursor, entry: LogEntry<Stream>): WatchEvent<Stream> | undefined {
  if (entry instanceof TurnStart) return undefined;
  const cursor = { run, turn, seq, attempt };
  if (!(entry instanceof TurnEnd)) return { type: 'chunk', cursor, chunk: entry };
  const error = entry.error as AgentFlowError | undefined;
  return { type: 'turnEnd', cursor, interrupted: entry.interrupted, ...(error === undefined ? {} : { error }) };
}

/** Does an event at `cursor` come after what a watcher has seen? */
export function isAfter(cursor: Cursor, after: Cursor | undefined): boolean {
  if (after === undefined || after.run !== cursor.run) return true;
  if (cursor.turn !== after.turn) return cursor.turn > after.turn;
  if (cursor.attempt !== after.attempt) return cursor.attempt > after.attempt;
  return cursor.seq > after.seq;
}

/** Would a watcher that has seen `after` miss something, when `oldest` is the oldest entry that is kept? */
export function isGapAfter(after: Cursor | undefined, oldest: LogPosition, run: string): boolean {
  if (after === undefined || oldest.index === 0) return false;
  if (after.run !== run) return true;
  if (after.turn !== oldest.turn) return after.turn < oldest.turn;
  return after.seq + 1 < oldest.seq;
}

/** The error for a watcher that would miss something. */
export function expired(oldest: LogPosition): AgentFlowError {
  return new AgentFlowError('CURSOR_EXPIRED', 'The next chunk for this watcher is no longer kept', {
    details: { turn: oldest.turn, seq: oldest.seq },
  });
}

/** A rejection nobody waits for stays silent. */
export function silent<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
