/** The agent's side of the talk: chunks and turn ends on their way to whoever reads. */
import type { Cursor } from '../../schemas/index.js';
import { AgentFlowError } from '../errors.js';
import { advance, ChunkLog, type Place, TurnEnd, TurnStart } from './chunk-log.js';
import type { WatchEvent, WatchOptions } from './connection.js';

/** Bounds of an {@link Outbox}, in chunks. */
export interface OutboxOptions {
  /** The run, for cursors. */
  readonly run: string;
  /** Chunks that may wait for the reader before `send` makes the handler wait. */
  readonly maxBufferedChunks: number;
  /** Chunks that are kept for watchers after the reader has had them. */
  readonly replayChunks: number;
}

/** Handlers that never await `send` are stopped at this many times the bound. */
const unawaitedFactor = 1_000;

const noWait = Promise.resolve();
const nothing = Symbol('nothing to read yet');
const finished = { value: undefined, done: true } as const;

/** Chunks on their way to one reader and any number of watchers. */
export class Outbox<Stream> {
  readonly #options: OutboxOptions;
  readonly #log: ChunkLog<Stream>;
  #read = 0;
  #unreadChunks = 0;
  #waitingReaders: (() => void)[] = [];
  #waitingSenders: (() => void)[] = [];
  #liveReaders = 0;
  #wasRead = false;
  #isOutputAwaited = false;
  #isInputClosed = false;
  #end: { readonly error: AgentFlowError | undefined } | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#log = new ChunkLog(options.replayChunks);
  }

  /** Adds a chunk; resolves when there is room for the next one. Throws `CHUNK_BUFFER_FULL` far beyond the bound. */
  send(chunk: Stream): Promise<void> {
    if (this.#end !== undefined) return noWait;
    if (this.#unreadChunks >= this.#options.maxBufferedChunks * unawaitedFactor) throw this.#overflow();
    this.#log.append(chunk);
    this.#unreadChunks += 1;
    if (this.#waitingReaders.length > 0) this.#wakeReader();
    if (this.#hasRoom) return noWait;
    this.#discardIfUnread();
    if (this.#hasRoom) return noWait;
    return new Promise((resolve) => this.#waitingSenders.push(resolve));
  }

  startTurn(turn: number, attempt: number): void {
    this.#mark(new TurnStart(turn, attempt));
  }

  /** Ends the reader's loop; with an error, by throwing it there. */
  endTurn(interrupted: boolean, error?: AgentFlowError): void {
    this.#mark(new TurnEnd(interrupted, error));
  }

  /** The run is over: readers get what is buffered, then the error if there is one. */
  end(error?: AgentFlowError): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#log.wake();
    this.#wakeReaders();
    this.#releaseSenders();
  }

  /** Lets a handler go on that waits for room, because its turn was cut short. */
  unblock(): void {
    this.#releaseSenders();
  }

  /** The caller waits for the result, so what nobody reads must not hold up the run. */
  awaitOutput(): void {
    this.#isOutputAwaited = true;
    this.#discardIfUnread();
  }

  /** No more input will come: a caller who then only waits for the result reads no more. */
  closeInput(): void {
    this.#isInputClosed = true;
    this.#discardIfUnread();
  }

  /** @param acrossTurns do not end at a turn's end, but at the run's */
  receive(acrossTurns = false): AsyncIterableIterator<Stream> {
    let isDone = false;
    let isLive = false;
    const leave = () => {
      isDone = true;
      if (isLive) this.#liveReaders -= 1;
      isLive = false;
      this.#discardIfUnread();
    };
    const settle = (entry: Stream | TurnEnd): Promise<IteratorResult<Stream, undefined>> => {
      if (!(entry instanceof TurnEnd)) return Promise.resolve({ value: entry, done: false });
      if (acrossTurns && !entry.isRunEnd) return next();
      leave();
      return entry.error === undefined ? Promise.resolve(finished) : Promise.reject(entry.error);
    };
    const next = (): Promise<IteratorResult<Stream, undefined>> => {
      if (isDone) return Promise.resolve(finished);
      if (!isLive) {
        isLive = true;
        this.#liveReaders += 1;
        this.#wasRead = true;
      }
      const entry = this.#takeNow();
      return entry === nothing ? this.#take().then(settle) : settle(entry);
    };
    const close = (): Promise<IteratorResult<Stream, undefined>> => {
      if (!isDone) leave();
      return Promise.resolve(finished);
    };
    const iterator: AsyncIterableIterator<Stream> = { next, return: close, [Symbol.asyncIterator]: () => iterator };
    return iterator;
  }

  async *watch({ after, signal }: WatchOptions = {}): AsyncIterableIterator<WatchEvent<Stream>> {
    const wake = () => this.#log.wake();
    signal?.addEventListener('abort', wake, { once: true });
    try {
      let place = this.#log.start;
      if (isGapAfter(after, place, this.#options.run)) throw expired(place);
      for (;;) {
        if (signal?.aborted) return;
        if (place.index < this.#log.start.index) throw expired(place);
        if (place.index === this.#log.end) {
          if (this.#end !== undefined) break;
          await this.#log.grown();
          continue;
        }
        const entry = this.#log.at(place.index);
        const event = this.#event(place, entry as Stream | TurnStart | TurnEnd);
        if (event !== undefined && isAfter(event.cursor, after)) yield event;
        place = advance(place, entry);
      }
      if (this.#end.error !== undefined) throw this.#end.error;
    } finally {
      signal?.removeEventListener('abort', wake);
    }
  }

  #event(place: Place, entry: Stream | TurnStart | TurnEnd): WatchEvent<Stream> | undefined {
    if (entry instanceof TurnStart) return undefined;
    const { turn, seq, attempt } = place;
    const cursor = { run: this.#options.run, turn, seq, attempt };
    if (!(entry instanceof TurnEnd)) return { type: 'chunk', cursor, chunk: entry };
    const error = entry.error as AgentFlowError | undefined;
    return { type: 'turnEnd', cursor, interrupted: entry.interrupted, ...(error === undefined ? {} : { error }) };
  }

  get #hasRoom(): boolean {
    return this.#unreadChunks < this.#options.maxBufferedChunks;
  }

  #mark(mark: TurnStart | TurnEnd): void {
    if (this.#end !== undefined) return;
    this.#log.append(mark);
    this.#wakeReader();
  }

  /** What the reader gets next, if it is there already. */
  #takeNow(): Stream | TurnEnd | typeof nothing {
    while (this.#read < this.#log.end) {
      const entry = this.#log.at(this.#read) as Stream | TurnStart | TurnEnd;
      this.#read += 1;
      if (!(entry instanceof TurnStart || entry instanceof TurnEnd)) this.#unreadChunks -= 1;
      this.#log.forget(this.#read);
      if (this.#waitingSenders.length > 0 && this.#hasRoom) this.#releaseSenders();
      if (!(entry instanceof TurnStart)) return entry;
    }
    return this.#end === undefined ? nothing : new TurnEnd(false, this.#end.error, true);
  }

  async #take(): Promise<Stream | TurnEnd> {
    for (;;) {
      await new Promise<void>((resolve) => this.#waitingReaders.push(resolve));
      const entry = this.#takeNow();
      if (entry !== nothing) return entry;
    }
  }

  #wakeReader(): void {
    this.#waitingReaders.shift()?.();
  }

  #wakeReaders(): void {
    const readers = this.#waitingReaders;
    this.#waitingReaders = [];
    for (const wake of readers) wake();
  }

  #releaseSenders(): void {
    const senders = this.#waitingSenders;
    this.#waitingSenders = [];
    for (const release of senders) release();
  }

  #discardIfUnread(): void {
    const isUnread = this.#isOutputAwaited && this.#liveReaders === 0 && (!this.#wasRead || this.#isInputClosed);
    if (!isUnread || this.#hasRoom) return;
    this.#read = this.#log.end;
    this.#unreadChunks = 0;
    this.#log.forget(this.#read);
    this.#releaseSenders();
  }

  #overflow(): AgentFlowError {
    const limit = this.#options.maxBufferedChunks * unawaitedFactor;
    return new AgentFlowError('CHUNK_BUFFER_FULL', `More than ${limit} chunks wait for a reader; await responder.send to be held back`);
  }
}

function isAfter(cursor: Cursor, after: Cursor | undefined): boolean {
  if (after === undefined || after.run !== cursor.run) return true;
  if (cursor.turn !== after.turn) return cursor.turn > after.turn;
  if (cursor.attempt !== after.attempt) return cursor.attempt > after.attempt;
  return cursor.seq > after.seq;
}

/** Would a watcher that has seen `after` miss something, when `oldest` is the oldest entry that is kept? */
function isGapAfter(after: Cursor | undefined, oldest: Place, run: string): boolean {
  if (after === undefined || after.run !== run || oldest.index === 0) return false;
  if (after.turn !== oldest.turn) return after.turn < oldest.turn;
  return after.seq + 1 < oldest.seq;
}

function expired(place: Place): AgentFlowError {
  return new AgentFlowError('CURSOR_EXPIRED', 'The next chunk for this watcher is no longer kept', { details: { turn: place.turn, seq: place.seq } });
}
