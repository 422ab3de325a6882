/** How far a handler may get ahead of its reader: how much waits to be read, and whether anybody will read it. */
import { AgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';

/** Handlers that never await `send` are stopped at this many times the bound. */
const unawaitedFactor = 1_000;

/** Holds back the handler of one run where its reader is slow, and lets it go where nobody will read. */
export class Backpressure {
  readonly #bound: number;
  #unreadChunks = 0;
  /** Shared by all who wait for room, so that a handler that does not await piles up no promises. */
  #room: Deferred<void> | undefined;
  #liveReaders = 0;
  #wasRead = false;
  #isOutputAwaited = false;
  #isInputClosed = false;

  /** @param bound chunks that may wait for the reader */
  constructor(bound: number) {
    this.#bound = bound;
  }

  get hasRoom(): boolean {
    return this.#unreadChunks < this.#bound;
  }

  /** Is there no room, though the caller only waits for the result and nobody reads? */
  get isForNobody(): boolean {
    if (this.hasRoom || !this.#isOutputAwaited || this.#liveReaders > 0) return false;
    return !this.#wasRead || this.#isInputClosed;
  }

  /** There is one chunk more to read. Throws `CHUNK_BUFFER_FULL` far beyond the bound. */
  add(): void {
    if (this.#unreadChunks >= this.#bound * unawaitedFactor) throw overflow(this.#bound * unawaitedFactor);
    this.#unreadChunks += 1;
  }

  /** There is one less. */
  remove(): void {
    this.#unreadChunks -= 1;
    if (this.#room !== undefined && this.hasRoom) this.release();
  }

  /** There is nothing to read any more. */
  clear(): void {
    this.#unreadChunks = 0;
    this.release();
  }

  /** Resolves when there is room; nothing where there is. */
  whenRoom(): Promise<void> | undefined {
    if (this.hasRoom) return undefined;
    this.#room ??= new Deferred();
    return this.#room.promise;
  }

  /** Lets those go on that wait for room, whether or not there is any. */
  release(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  readerCame(): void {
    this.#liveReaders += 1;
    this.#wasRead = true;
  }

  readerLeft(): void {
    this.#liveReaders -= 1;
  }

  /** The caller waits for the result. Whoever reads now goes on reading; what was read before says nothing of what comes. */
  awaitOutput(): void {
    this.#isOutputAwaited = true;
    if (this.#liveReaders === 0) this.#wasRead = false;
  }

  /** No more input will come: a caller who then only waits for the result reads no more. */
  closeInput(): void {
    this.#isInputClosed = true;
  }
}

function overflow(limit: number): AgentFlowError {
  return new AgentFlowError(
    'CHUNK_BUFFER_FULL',
    `More than ${limit} chunks wait for a reader; await responder.send to be held back`,
  );
}
