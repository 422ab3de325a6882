/** What somebody holds who has attached to a run, wherever it runs. */
import type { Cursor } from '../../schemas/index.js';
import type { RunEnd, WatchEvent } from './connection.js';

/** Where an attachment begins. */
export interface AttachOptions {
  /**
   * The last cursor that was seen: it goes on after it. By default it begins with the oldest chunk that is kept of the run
   * that has the session, else of the last one that had it.
   */
  readonly from?: Cursor;
  /** Ends the watching, not the run. */
  readonly signal?: AbortSignal;
}

/** A hold on a run that somebody else has opened, in this process or another. Leaving its loop ends only the watching. */
export interface Attachment<Stream> extends AsyncIterable<WatchEvent<Stream>> {
  readonly sessionId: string;
  /**
   * Every chunk once and in order and the end of every turn, as {@link Connection.watch} has them, until the run's end.
   * Chunks kept before an error are delivered before it is thrown. Throws the run's own error, and:
   *
   * - `SESSION_NOT_RUNNING`: no run is open, and nothing is kept of one; or it may be open in another process, and the store
   *   keeps no feed of it
   * - `CURSOR_EXPIRED`: what comes next is no longer kept, as when another run of the session has begun to speak meanwhile
   * - `LEASE_LOST`: the run was taken over, its process died, or was frozen until its lease expired, without saying how the
   *   run ended
   * - `INVALID_VALUE`: the next chunk is not JSON, so it could not be brought here; `details.cursor` says where it stands
   * - `STORE_FAILED`: the store could not be read; attach again from the last cursor
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<WatchEvent<Stream>>;
  /**
   * Asks the run to end, and resolves when it is certain that it has: it has said so, or its lease has expired and it was
   * fenced off, after which none of its writes arrives. The run's error is then `RUN_ABORTED`, with the reason's text as
   * `cause` where it runs. A run that has ended already is answered as it ended. Rejects with `SESSION_NOT_RUNNING` and
   * `STORE_FAILED`.
   */
  abort(reason?: unknown): Promise<RunEnd>;
}
