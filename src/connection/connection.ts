/** CONTRACT: a caller's hold on one running agent. In process, over a socket and in a browser it is the same interface. */
import type { Cursor, FinishReason, SendReceipt } from '../../schemas/index.js';
import type { AgentFlowError } from '../errors.js';

/** What happens to an input that is sent while the agent is answering another one. */
export type SendPolicy =
  /** Wait in line. The default. */
  | 'queue'
  /** Hand it to the running turn if that listens for it, else wait in line. Needs `turns()`. */
  | 'steer'
  /** Cut the running turn short and run this one before all that wait in line. Needs `turns()`; elsewhere it only goes ahead. */
  | 'interrupt'
  /** Refuse it with `TURN_BUSY`. */
  | 'reject';

/** How one input is sent. */
export interface SendOptions {
  /**
   * Makes the input idempotent: in one session the same id is never run twice, also after a crash or from another machine
   * (with a store; without one, in one connection). The second time the receipt says `duplicate`.
   */
  readonly id?: string;
  /** What to do while the agent is answering; the connection's policy by default. */
  readonly policy?: SendPolicy;
}

/** How a run ended. */
export interface RunEnd {
  /** To go on with the session, where there is a store. */
  readonly sessionId: string;
  readonly finishReason: FinishReason;
  /** Why, when it did not end with `stop`. */
  readonly error?: AgentFlowError;
}

/** What a watcher sees: every chunk once and in order, and the end of every turn. */
export type WatchEvent<Stream> =
  /** Its cursor, handed back as `after` or `from`, has a watcher go on behind it. */
  | { readonly type: 'chunk'; readonly cursor: Cursor; readonly chunk: Stream }
  | {
      readonly type: 'turnEnd';
      /** As that of a chunk: a watcher can go on behind it. */
      readonly cursor: Cursor;
      /** The turn was cut short, by `interrupt` or by an input with that policy. */
      readonly interrupted: boolean;
      /** Why the turn failed; absent when it did not. */
      readonly error?: AgentFlowError;
    };

/** Where a watcher begins. */
export interface WatchOptions {
  /** The last cursor this watcher has seen: it goes on after it. By default it begins with the oldest chunk that is kept. */
  readonly after?: Cursor;
  /** Ends the watching, not the run. */
  readonly signal?: AbortSignal;
}

/** A caller's hold on one running agent. */
export interface Connection<In, Stream, Output> extends AsyncDisposable {
  /** Known from the start; keep it to resume the session later. */
  readonly sessionId: string;
  /**
   * Sends one input. Throws at once: `InvalidValueError` when it does not fit the input schema (the session and other
   * inputs are untouched), `CONNECTION_CLOSED` after `close` or the run's end. The promise resolves when the agent takes
   * the input, and rejects with `TURN_BUSY`, `INPUT_QUEUE_FULL` or the run's error when it never will. Ignoring it is safe.
   */
  send(input: In, options?: SendOptions): Promise<SendReceipt>;
  /**
   * The chunks of the turn that is being answered, as a fresh iterator that ends at the turn's end. `break` hangs up
   * nothing: the next `receive()` goes on with what is left. Chunks produced before an error are delivered before it.
   *
   * Who has begun to read is waited for: once `maxBufferedChunks` wait for it, `responder.send` does not resolve before it
   * reads on. Who calls `next()` itself and wants no more must call `return()`, as `break` does; what comes then is kept for
   * the next `receive()`, and does not hold up who asks for `output()`.
   */
  receive(): AsyncIterableIterator<Stream>;
  /** No more input. What was sent is still answered; then the handler's loop ends and the result follows. */
  close(): void;
  /** The result, when the run has ended. Closes nothing by itself; what nobody reads does not hold it up. */
  output(): Promise<Output>;
  /**
   * Cuts short the turn that is being answered, as an input with the policy `interrupt` does, but with no other input: the
   * run goes on, and so does whatever waits. Resolves to false where no turn is being answered, or none that can be cut
   * short: that needs `turns()`.
   */
  interrupt(reason?: unknown): Promise<boolean>;
  /** Ends the work now: reaches the handler's `signal` at once, and the run ends `aborted`. */
  abort(reason?: unknown): void;
  /**
   * Settles when the run has ended, however it did; never rejects. After an abort the handler may be saving still: who opens
   * the session next, also with the policy `reject`, has it when that is over (`abortGraceMs`).
   */
  readonly done: Promise<RunEnd>;
  /**
   * Sees what the reader sees, without taking it away. Throws `CURSOR_EXPIRED` when what comes next is no longer kept, and
   * at once `InvalidValueError` for a cursor that is none.
   */
  watch(options?: WatchOptions): AsyncIterableIterator<WatchEvent<Stream>>;
}
