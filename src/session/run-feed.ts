/**
 * CONTRACT: what a run says while it runs, kept for those who watch it from another process, and the way back to it: the
 * wish that it end. An optional part of a `SessionStore`; entries are JSON whose meaning the store does not know.
 *
 * A run is known by the owner of its lease. Every rule below is a case of the public suite `testSessionStore`.
 */
import type { SessionLease } from './session-lease.js';

/** A stretch of what one run has said. */
export interface FeedPage {
  /** The run that said it: the one asked for, else the one that holds the session, else the newest that has said anything. */
  readonly run: string;
  /** Where the oldest entry that is kept stands. Entries of a run are numbered from 0. */
  readonly first: number;
  /** Where the next entry will stand. */
  readonly end: number;
  /** Where the first entry of this page stands: at what was asked for, or at `first` if that is later. */
  readonly start: number;
  /** In order and without a gap; none, where the page lies beyond the end. */
  readonly entries: readonly unknown[];
  /**
   * Does the run hold the session now? By the store's clock. Once it does not it says no more, unless its lease expired
   * and nobody has taken it.
   */
  readonly isHeld: boolean;
}

/** What a run adds to its feed. */
export interface FeedEntries {
  /** Where the first of them stands, from 0. What is there already is left as it is, so an append may be repeated. */
  readonly start: number;
  /** One at least. */
  readonly entries: readonly unknown[];
  /**
   * How many entries are kept, at least, from 1; older ones go, though not at once. A gap before `start` makes all older
   * ones go.
   */
  readonly keep: number;
  /**
   * How long the feed is kept after this append, in whole milliseconds up to 2^31 - 1, by the store's clock. While its run
   * holds the session it is kept anyway.
   */
  readonly ttlMs: number;
}

/** A run that wants to know when it is asked to end. */
export interface AbortListener {
  /** Somebody asks for it, or has asked before it listened. Called once at most. */
  onAbortRequested(reason: string): void;
  /** The store cannot tell any more, and has forgotten the listener: it may listen again after a while. */
  onDeaf(error: unknown): void;
}

/** The feeds of the sessions of one store. */
export interface RunFeed {
  /**
   * Adds entries to the feed of the lease's run; they are taken at the moment of the call. The first of a run ends what
   * was kept of the session's earlier ones. Throws `LeaseLostError` when the lease is not the current one, and
   * `INVALID_VALUE` for what is not JSON and for numbers out of range; then nothing is added.
   */
  append(lease: SessionLease, entries: FeedEntries): Promise<void>;
  /**
   * Up to `limit` entries from `from` on. A run that holds the session and has said nothing has an empty page, which ends
   * at 0. `undefined`: nothing is kept of such a run and it does not hold the session, or there is no run. Throws
   * `INVALID_VALUE` for numbers out of range.
   */
  read(
    sessionId: string,
    options: { readonly run?: string; readonly from: number; readonly limit: number },
  ): Promise<FeedPage | undefined>;
  /**
   * Resolves when the feed may reach beyond `end`, or the run may have let the session go (released, taken over, deleted;
   * of an expiry the store need not know); perhaps too early. Rejects with the signal's reason, and when the store cannot
   * tell after all: then it is asked again and again.
   */
  whenGrown(sessionId: string, run: string, end: number, signal: AbortSignal): Promise<void>;
  /** Asks a run to end. False: it does not hold the session now, so there is nothing to end. The first reason counts. */
  requestAbort(sessionId: string, run: string, reason: string): Promise<boolean>;
  /**
   * Tells the run of this lease when it is asked to end, until the answer is called. Not a promise, so that ten thousand
   * idle runs cost a store no more than ten thousand entries of a map.
   */
  listenForAbort(lease: SessionLease, listener: AbortListener): () => void;
}
