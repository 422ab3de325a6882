/** A run of this process, as somebody holds it who has attached to it. */
import type { RunEnd, WatchEvent, WatchOptions } from '../../connection/connection.js';

/** A run that can be watched and ended, wherever it runs. */
export interface AttachedRun<Stream> {
  watch(options: WatchOptions): AsyncIterableIterator<WatchEvent<Stream>>;
  /** Resolves when the run has certainly ended. */
  abort(reason: unknown): Promise<RunEnd>;
}

/** The connection to a run of this process, as far as somebody else may use it. */
export interface LocalRun<Stream> {
  /** The run, as in its cursors. */
  readonly run: string;
  /** False while it waits for its session. */
  readonly hasSession: boolean;
  readonly done: Promise<RunEnd>;
  watch(options: WatchOptions): AsyncIterableIterator<WatchEvent<Stream>>;
  abort(reason: unknown): void;
}

/** Runs of this process, under their sessions. */
export interface LocalRuns<Stream> {
  runsOf(sessionId: string): Iterable<LocalRun<Stream>>;
}

/** Watched and ended directly, without the store. */
export function asAttached<Stream>(connection: LocalRun<Stream>): AttachedRun<Stream> {
  return {
    watch: (options) => connection.watch(options),
    abort(reason) {
      connection.abort(reason);
      return connection.done;
    },
  };
}
