/** The agent's side of the talk: chunks and turn ends on their way to whoever reads. */
import type { AgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import { Backpressure } from './backpressure.js';
import { ChunkLog, TurnEnd, TurnStart } from './chunk-log.js';
import type { WatchEvent, WatchOptions } from './connection.js';
import { EventLoopBreaks } from './event-loop-breaks.js';
import { type RunEnding, watchLog } from './watching.js';

/** Bounds of an {@link Outbox}, in chunks. */
export interface OutboxBounds {
  /** Chunks that may wait for the reader before `send` makes the handler wait. */
  readonly maxBufferedChunks: number;
  /** Chunks that are kept for watchers after the reader has had them. */
  readonly replayChunks: number;
}

/** What taking an input and ending its turn comes to, in chunks. */
const chunksPerInput = 8;

const noWait = Promise.resolve();
const nothing = Symbol('nothing to read yet');
const finished = { value: undefined, done: true } as const;
const left = new TurnEnd(false);

/** A turn as its readers share it: it ends for all of them when one comes to its end. */
interface ReadTurn {
  end: TurnEnd | undefined;
}

/** One iterator of `receive`. */
interface Reader {
  readonly acrossTurns: boolean;
  /** Set by its first read. */
  turn: ReadTurn | undefined;
  isDone: boolean;
}

/** A read that waits for the next chunk. In line without a list: there is hardly ever more than one. */
interface WaitingRead<Stream> {
  readonly reader: Reader;
  readonly read: Deferred<IteratorResult<Stream, undefined>>;
  behind: WaitingRead<Stream> | undefined;
}

/** Chunks on their way to one reader and any number of watchers. */
export class Outbox<Stream> {
  /** The run, for cursors. */
  readonly run: string;
  readonly #replayChunks: number;
  readonly #pressure: Backpressure;
  /** Made when somebody asks: a run that has said nothing needs none. */
  #log: ChunkLog<Stream> | undefined;
  #read = 0;
  /** The turn whose end is read next, if anybody reads it. */
  #turn: ReadTurn | undefined;
  #firstWaiting: WaitingRead<Stream> | undefined;
  #isDeliveryDue = false;
  #breaks: EventLoopBreaks | undefined;
  #end: RunEnding | undefined;

  /** @param run its id */
  constructor(run: string, { maxBufferedChunks, replayChunks }: OutboxBounds) {
    this.run = run;
    this.#replayChunks = replayChunks;
    this.#pressure = new Backpressure(maxBufferedChunks);
  }

  /** All that was sent, for those who follow the run. */
  get log(): ChunkLog<Stream> {
    // The last entry at least: it says whether the turn has ended.
    this.#log ??= new ChunkLog(Math.max(1, this.#replayChunks));
    return this.#log;
  }

  /** Adds a chunk; resolves when there is room for the next one. Throws `CHUNK_BUFFER_FULL` far beyond the bound. */
  send(chunk: Stream): Promise<void> {
    if (this.#end !== undefined) return noWait;
    this.#pressure.add();
    this.log.append(chunk);
    if (this.#pressure.hasRoom) {
      this.#deliverSoon();
    } else {
      this.#deliver();
      this.#discardIfForNobody();
    }
    return this.#pressure.whenRoom() ?? this.#breakAfter(1) ?? noWait;
  }

  /** Between two inputs: where many wait, it is now and then time for a break. Answers its end. */
  breakAfterInput(): Promise<void> | undefined {
    return this.#breakAfter(chunksPerInput);
  }

  startTurn(turn: number, attempt: number): void {
    this.#mark(new TurnStart(turn, attempt));
  }

  /** Ends the reader's loop; with an error, by throwing it there. What has just ended is not ended again. */
  endTurn(interrupted: boolean, error?: AgentFlowError): void {
    if (this.log.at(this.log.end - 1) instanceof TurnEnd) return;
    this.#mark(new TurnEnd(interrupted, error));
  }

  /** The run is over: readers get what is buffered, then the error if there is one. */
  end(error?: AgentFlowError): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.log.wake();
    this.#deliver();
    this.#pressure.release();
  }

  /** Lets a handler go on that waits for room, because its turn was cut short. */
  unblock(): void {
    this.#pressure.release();
  }

  /** The caller waits for the result, so what nobody reads must not hold up the run. */
  awaitOutput(): void {
    this.#pressure.awaitOutput();
    this.#discardIfForNobody();
  }

  /** No more input will come. */
  closeInput(): void {
    this.#pressure.closeInput();
    this.#discardIfForNobody();
  }

  /** @param acrossTurns do not end at a turn's end, but at the run's */
  receive(acrossTurns = false): AsyncIterableIterator<Stream> {
    const reader: Reader = { acrossTurns, turn: undefined, isDone: false };
    const next = () => this.#next(reader);
    const close = (): Promise<IteratorResult<Stream, undefined>> => {
      this.#leave(reader);
      this.#deliver();
      return Promise.resolve(finished);
    };
    const iterator: AsyncIterableIterator<Stream> = { next, return: close, [Symbol.asyncIterator]: () => iterator };
    return iterator;
  }

  watch(options: WatchOptions = {}): AsyncIterableIterator<WatchEvent<Stream>> {
    return watchLog({ run: this.run, log: this.log, end: () => this.#end }, options);
  }

  #breakAfter(chunks: number): Promise<void> | undefined {
    this.#breaks ??= new EventLoopBreaks();
    return this.#breaks.after(chunks);
  }

  #mark(mark: TurnStart | TurnEnd): void {
    if (this.#end !== undefined) return;
    this.log.append(mark);
    this.#deliver();
  }

  #next(reader: Reader): Promise<IteratorResult<Stream, undefined>> {
    if (reader.isDone) return Promise.resolve(finished);
    if (reader.turn === undefined) {
      this.#turn ??= { end: undefined };
      reader.turn = this.#turn;
      this.#pressure.readerCame();
    }
    const isFirst = this.#firstWaiting === undefined;
    const entry = isFirst ? this.#takeNow(reader) : nothing;
    if (entry !== nothing && !(entry instanceof TurnEnd)) return Promise.resolve({ value: entry, done: false });
    const waiting = { reader, read: new Deferred<IteratorResult<Stream, undefined>>(), behind: undefined };
    if (entry === nothing) this.#wait(waiting);
    else this.#answer(waiting, entry);
    if (!isFirst) this.#deliver();
    return waiting.read.promise;
  }

  #wait(waiting: WaitingRead<Stream>): void {
    let last = this.#firstWaiting;
    while (last?.behind !== undefined) last = last.behind;
    if (last === undefined) this.#firstWaiting = waiting;
    else last.behind = waiting;
  }

  /**
   * A reader that is told at once is back before the next chunk is there, and waits for every single one. Told a step
   * later it finds the next one waiting, which costs half as much.
   */
  #deliverSoon(): void {
    if (this.#firstWaiting === undefined || this.#isDeliveryDue) return;
    this.#isDeliveryDue = true;
    void noWait.then(() => {
      this.#isDeliveryDue = false;
      this.#deliver();
    });
  }

  /** Gives what there is to those who wait for it, in the order they came. */
  #deliver(): void {
    let before: WaitingRead<Stream> | undefined;
    for (let waiting = this.#firstWaiting; waiting !== undefined; waiting = waiting.behind) {
      const entry = waiting.reader.isDone ? left : this.#takeNow(waiting.reader);
      if (entry === nothing) {
        before = waiting;
        continue;
      }
      if (before === undefined) this.#firstWaiting = waiting.behind;
      else before.behind = waiting.behind;
      this.#answer(waiting, entry);
    }
  }

  #answer({ reader, read }: WaitingRead<Stream>, entry: Stream | TurnEnd): void {
    if (!(entry instanceof TurnEnd)) {
      read.resolve({ value: entry, done: false });
      return;
    }
    this.#leave(reader);
    if (entry.error === undefined) read.resolve(finished);
    else read.reject(entry.error);
  }

  #leave(reader: Reader): void {
    if (reader.isDone) return;
    reader.isDone = true;
    if (reader.turn !== undefined) this.#pressure.readerLeft();
    this.#discardIfForNobody();
  }

  /** What the reader gets next, if it is there already. */
  #takeNow(reader: Reader): Stream | TurnEnd | typeof nothing {
    // Another reader of the same turn has come to its end.
    if (reader.turn?.end !== undefined && !reader.acrossTurns) return reader.turn.end;
    while (this.#read < this.log.end) {
      const entry = this.log.at(this.#read) as Stream | TurnStart | TurnEnd;
      this.#read += 1;
      if (entry instanceof TurnEnd) this.#endReadTurn(entry);
      else if (!(entry instanceof TurnStart)) this.#pressure.remove();
      this.log.forget(this.#read);
      const isForReader = entry instanceof TurnEnd ? !reader.acrossTurns : !(entry instanceof TurnStart);
      if (isForReader) return entry as Stream | TurnEnd;
    }
    return this.#end === undefined ? nothing : new TurnEnd(false, this.#end.error);
  }

  #endReadTurn(end: TurnEnd): void {
    if (this.#turn !== undefined) this.#turn.end = end;
    this.#turn = undefined;
  }

  #discardIfForNobody(): void {
    if (!this.#pressure.isForNobody) return;
    this.#read = this.log.end;
    this.log.forget(this.#read);
    this.#pressure.clear();
  }
}
