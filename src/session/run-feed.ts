/**
 * CONTRACT: what a run says while it runs, kept for those who watch it from another process, and the way back to it: the
 * wish that it end. An optional part of a `SessionStore`; entries are JSON whose meaning the store does not know.
 *
 * A run is known by the owner of its lease. Every rule below is a case of the public suite `testSessionStore`.
 */
import type { SessionLease } from './session-lease.js';

/** A stretch of what one run has said. */
export interface FeedPage {
  /** The run that said it: the one asked for, else the newest of the session that has said anything. */
  readonly run: string;
  /** Where the oldest entry that is kept stands. Entries of a run are numbered from 0. */
  readonly first: number;
  /** Where the next entry will stand. */
  readonly end: number;
  /** Where the first entry of this page stands: at what was asked for, or at `first` if that is later. */
  readonly start: number;
  readonly entries: readonly unknown[];
  /** Does the run hold the session now? By the store's clock. Once it does not, it says no more. */
  readonly isHeld: boolean;
}

/** What a run adds to its feed. */
export interface FeedEntries {
  /** Where the first of them stands. What is there already is left as it is, so an append may be repeated. */
  readonly start: number;
  readonly entries: readonly unknown[];
  /** How many entries are kept, at least; older ones may go. A gap before `start` makes all older ones go. */
  readonly keep: number;
  /** How long the feed is kept after this append, in milliseconds, by the store's clock. */
  readonly ttlMs: number;
}

/** The feeds of the sessions of one store. */
export interface RunFeed {
  /**
   * Adds entries to the feed of the lease's run. The first of a run ends what was kept of the session's earlier ones.
   * Throws `LeaseLostError` when the lease is not the current one, and `INVALID_VALUE` for what is not JSON; then nothing
   * is added.
   */
  append(lease: SessionLease, entries: FeedEntries): Promise<void>;
  /** Up to `limit` entries from `from` on. `undefined`: nothing is kept of such a run, or it has expired. */
  read(
    sessionId: string,
    options: { readonly run?: string; readonly from: number; readonly limit: number },
  ): Promise<FeedPage | undefined>;
  /**
   * Resolves when the feed may reach beyond `end`, or its run may have let the session go; perhaps too early. Rejects with
   * the signal's reason, and when the store cannot tell after all: then it is asked again and again.
   */
  whenGrown(sessionId: string, run: string, end: number, signal: AbortSignal): Promise<void>;
  /** Asks a run to end. False: it does not hold the session now, so there is nothing to end. */
  requestAbort(sessionId: string, run: string, reason: string): Promise<boolean>;
  /** Resolves with the reason when somebody asks this run to end. Rejects like `whenGrown`. */
  whenAbortRequested(lease: SessionLease, signal: AbortSignal): Promise<string>;
}
