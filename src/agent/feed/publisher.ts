/** Writes what a run says to its store's feed, for watchers in other processes, and tells the run when they ask it to end. */
import {
  advance,
  type ChunkLog,
  type LogEntry,
  type LogFollower,
  type LogPosition,
  TurnStart,
} from '../../connection/chunk-log.js';
import { type AgentFlowError, isAgentFlowError, LeaseLostError } from '../../errors.js';
import type { Clock } from '../../internal/clock.js';
import type { AbortListener, RunFeed, SessionLease } from '../../session/store.js';
import type { AgentDefinition } from '../definition.js';
import { type FeedEntry, type HowItEnded, toEndEntry, toFeedEntry } from './entries.js';

/** How long a feed is kept after the last append of a run that is over, in milliseconds: ten minutes. */
export const feedTtlMs = 600_000;

/** Chunks wait this long for others to go with them, in milliseconds: as little as nobody sees. */
const gatherMs = 10;
/** An append takes no more than this at once, in entries and characters (the last entry may go beyond). */
const maxBatchEntries = 500;
const maxBatchChars = 256_000;
/** How long the store is left alone after a failure, in milliseconds, from the first one in a row on. */
const retriesMs = [100, 500, 2_000];
/** How long the end of a run waits for a store that does not take its last entries, in milliseconds. */
const endPatienceMs = 3_000;

/** The connection of the run that is published. */
export interface PublishedConnection {
  /** Somebody asks the run to end. */
  abort(reason: string): void;
  /** The run has lost its session. */
  fail(error: LeaseLostError): void;
}

/** What a {@link Publisher} needs. */
export interface PublisherParts<Stream> {
  readonly feed: RunFeed;
  readonly lease: SessionLease;
  readonly log: ChunkLog<Stream>;
  /** How many entries the feed keeps, at least. */
  readonly keep: number;
  readonly clock: Clock;
  readonly connection: PublishedConnection;
}

/** Begins to publish a run; `undefined` where nothing of it can be kept: without a store, or without its feed. */
export function publish<Stream>(
  { store, replayChunks, maxBufferedChunks, clock }: AgentDefinition,
  lease: SessionLease | undefined,
  connection: PublishedConnection,
  outbox: { readonly log: ChunkLog<Stream> },
): Publisher<Stream> | undefined {
  if (lease === undefined || store?.feed === undefined) return undefined;
  // As many as a watcher in this process may be behind.
  const keep = replayChunks + maxBufferedChunks;
  return new Publisher({ feed: store.feed, lease, log: outbox.log, keep, clock, connection });
}

interface Batch {
  readonly start: number;
  readonly entries: readonly FeedEntry[];
  /** Where the next batch begins. */
  readonly next: LogPosition;
}

/**
 * Follows the log of one run. It never holds anybody up and keeps nothing itself: what the store has not taken yet stands
 * in the log, and what the log forgets meanwhile is a gap in the feed. Of a store that fails the run does not learn.
 */
export class Publisher<Stream> implements LogFollower, AbortListener {
  readonly #parts: PublisherParts<Stream>;
  #next: LogPosition;
  #failures = 0;
  /** An append is going on or has a time. */
  #isBusy = false;
  #appending: Promise<unknown> | undefined;
  #cancelTimer: (() => void) | undefined;
  #stopListening: () => void = () => {};
  #isOver = false;

  constructor(parts: PublisherParts<Stream>) {
    this.#parts = parts;
    this.#next = parts.log.start;
    parts.log.follower = this;
    this.#listen();
    if (parts.log.end > this.#next.index) this.logGrew();
  }

  logGrew(): void {
    if (this.#isBusy || this.#isOver) return;
    const { log } = this.#parts;
    // The beginning of a turn says nothing by itself; it goes with what follows.
    if (log.at(log.end - 1) instanceof TurnStart) return;
    this.#appendIn(gatherMs);
  }

  onAbortRequested(reason: string): void {
    if (!this.#isOver) this.#parts.connection.abort(reason);
  }

  onDeaf(): void {
    const [retryMs = gatherMs] = retriesMs.slice(-1);
    this.#stopListening = this.#parts.clock.after(retryMs, () => {
      if (!this.#isOver) this.#listen();
    });
  }

  #listen(): void {
    const { feed, lease } = this.#parts;
    try {
      this.#stopListening = feed.listenForAbort(lease, this);
    } catch {
      this.onDeaf();
    }
  }

  /**
   * The run is over: says all that is left, and how it ended. Resolves when the store has it, or when there is no hope.
   *
   * @param error why, when it did not end well
   */
  async end(error?: AgentFlowError): Promise<void> {
    const { clock, log } = this.#parts;
    const end = endOf(error);
    this.#isOver = true;
    log.follower = undefined;
    this.#stopListening();
    this.#cancelTimer?.();
    let giveUp = () => {};
    const patience = new Promise<void>((resolve) => {
      const cancel = clock.after(endPatienceMs, resolve);
      giveUp = () => {
        cancel();
        resolve();
      };
    });
    await Promise.race([this.#sayLast(end, patience), patience]);
    giveUp();
  }

  async #sayLast(end: HowItEnded, patience: Promise<void>): Promise<void> {
    let isOutOfPatience = false;
    void patience.then(() => {
      isOutOfPatience = true;
    });
    await this.#appending;
    for (let isSaid = false; !isSaid && !isOutOfPatience; ) {
      const batch = this.#nextBatch(end);
      isSaid = batch.next.index > this.#parts.log.end;
      const outcome = await this.#append(batch);
      if (outcome === 'lost') return;
      if (outcome === 'failed') {
        isSaid = false;
        await Promise.race([this.#pause(), patience]);
      }
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#parts.clock.after(this.#retryMs, resolve, { keepAlive: true }));
  }

  get #retryMs(): number {
    return retriesMs[Math.min(this.#failures, retriesMs.length) - 1] ?? gatherMs;
  }

  #appendIn(delayMs: number): void {
    this.#isBusy = true;
    this.#cancelTimer = this.#parts.clock.after(delayMs, () => {
      this.#appending = this.#appendNext();
    });
  }

  async #appendNext(): Promise<void> {
    const outcome = await this.#append(this.#nextBatch());
    if (this.#isOver) return;
    if (outcome === 'lost') {
      this.#isOver = true;
      const { connection, lease } = this.#parts;
      connection.fail(new LeaseLostError(lease.sessionId));
      return;
    }
    this.#isBusy = false;
    const left = this.#parts.log.end - this.#next.index;
    // Where there is more than goes at once, nothing has to be waited for.
    const isBehind = outcome === 'appended' && left >= maxBatchEntries;
    if (left > 0) this.#appendIn(isBehind ? 0 : this.#retryMs);
  }

  /** What comes next, as far as it goes at once; with the end of the run behind it, if that is all there is. */
  #nextBatch(end?: HowItEnded): Batch {
    const { log } = this.#parts;
    let next = this.#next.index < log.start.index ? log.start : this.#next;
    const start = next.index;
    const entries: FeedEntry[] = [];
    let chars = 0;
    while (next.index < log.end && entries.length < maxBatchEntries && chars < maxBatchChars) {
      const logged = log.at(next.index) as LogEntry<Stream>;
      const entry = toFeedEntry(next, logged);
      chars += charsOf(entry);
      entries.push(entry);
      next = advance(next, logged);
    }
    if (end === undefined || next.index < log.end) return { start, entries, next };
    return { start, entries: [...entries, toEndEntry(next, end)], next: { ...next, index: next.index + 1 } };
  }

  async #append({ start, entries, next }: Batch): Promise<'appended' | 'failed' | 'lost'> {
    const { feed, lease, keep } = this.#parts;
    // The log may have forgotten all there was.
    if (entries.length === 0) {
      this.#next = next;
      return 'appended';
    }
    try {
      await feed.append(lease, { start, entries, keep, ttlMs: feedTtlMs });
    } catch (error) {
      if (isAgentFlowError(error) && error.code === 'LEASE_LOST') return 'lost';
      this.#failures += 1;
      // What the store will never take is a gap.
      if (!isAgentFlowError(error) || error.code !== 'INVALID_VALUE') return 'failed';
    }
    this.#failures = 0;
    this.#next = next;
    return 'appended';
  }
}

function endOf(error: AgentFlowError | undefined): HowItEnded {
  if (error === undefined) return { finishReason: 'stop' };
  return { finishReason: error.code === 'RUN_ABORTED' ? 'aborted' : 'failed', error };
}

function charsOf(entry: FeedEntry): number {
  if (!('chunk' in entry)) return 0;
  return typeof entry.chunk === 'string' ? entry.chunk.length : JSON.stringify(entry.chunk).length;
}
