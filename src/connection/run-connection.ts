/** The connection to a run of this process: joins the inbox, the outbox and the run's end. */
import { CursorSchema, type SendReceipt } from '../../schemas/index.js';
import { assertOptions, assertSignal } from '../errors/options.js';
import { AgentFlowError, InvalidValueError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import { valueIssues } from '../internal/value-issues.js';
import type { Connection, RunEnd, SendOptions, SendPolicy, WatchEvent, WatchOptions } from './connection.js';
import type { Inbox } from './inbox.js';
import type { Outbox } from './outbox.js';

/** What a {@link RunConnection} joins together. */
export interface RunConnectionParts<In, Stream> {
  readonly sessionId: string;
  readonly policy: SendPolicy;
  readonly inbox: Pick<Inbox<unknown>, 'closedBy' | 'close' | 'end' | 'interrupt' | 'isClosed' | 'send'>;
  readonly outbox: Outbox<Stream>;
  /** The input as the agent will see it. Throws `InvalidValueError`. */
  checkInput(input: In): unknown;
  /** Called once, when the run ends before its time, before anybody is told. */
  onAbort(error: AgentFlowError): void;
  /** Called once, when the run is over, before anybody is told. */
  onEnded?(): void;
}

/** A connection to an agent that runs in this process. */
export class RunConnection<In, Stream, Output> implements Connection<In, Stream, Output> {
  readonly sessionId: string;
  /** Has the run got the session, or does it still wait for it? */
  hasSession = false;
  readonly #parts: RunConnectionParts<In, Stream>;
  /** Made for those who ask, as most never do while the run idles. */
  #output: Deferred<Output> | undefined;
  #done: Deferred<RunEnd> | undefined;
  #end: { readonly run: RunEnd; readonly output?: Output } | undefined;

  constructor(parts: RunConnectionParts<In, Stream>) {
    this.#parts = parts;
    this.sessionId = parts.sessionId;
  }

  get done(): Promise<RunEnd> {
    this.#done ??= new Deferred();
    this.#tell();
    return this.#done.promise;
  }

  send(input: In, options: SendOptions = {}): Promise<SendReceipt> {
    const { inbox, policy } = this.#parts;
    if (inbox.isClosed) {
      const why = inbox.closedBy === undefined ? 'the connection was closed' : 'the run has ended';
      throw new AgentFlowError('CONNECTION_CLOSED', `Cannot send: ${why}`, { cause: inbox.closedBy });
    }
    assertSendOptions(options);
    return inbox.send(this.#parts.checkInput(input), options.id, options.policy ?? policy);
  }

  /** The run, as in its cursors. */
  get run(): string {
    return this.#parts.outbox.run;
  }

  receive(): AsyncIterableIterator<Stream> {
    return this.#parts.outbox.receive();
  }

  /** Every chunk until the run ends, whatever turn it belongs to. */
  receiveAll(): AsyncIterableIterator<Stream> {
    return this.#parts.outbox.receive(true);
  }

  watch(options?: WatchOptions): AsyncIterableIterator<WatchEvent<Stream>> {
    assertOptions(options);
    assertCursor(options?.after, 'after');
    assertSignal(options?.signal, 'signal');
    return this.#parts.outbox.watch(options);
  }

  close(): void {
    this.#parts.inbox.close();
    this.#parts.outbox.closeInput();
  }

  output(): Promise<Output> {
    this.#parts.outbox.awaitOutput();
    this.#output ??= new Deferred();
    this.#tell();
    return this.#output.promise;
  }

  async interrupt(reason?: unknown): Promise<boolean> {
    return this.#parts.inbox.interrupt(reason);
  }

  abort(reason?: unknown): void {
    this.fail(new AgentFlowError('RUN_ABORTED', 'The run was aborted', { cause: reason }), 'aborted');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    this.#parts.outbox.awaitOutput();
    await this.done;
  }

  /** The run has its result. */
  succeed(output: Output): void {
    if (this.#end !== undefined) return;
    this.#end = { run: { sessionId: this.sessionId, finishReason: 'stop' }, output };
    this.#parts.inbox.end(new AgentFlowError('CONNECTION_CLOSED', 'The agent ended the run before it took this input'));
    this.#parts.outbox.end();
    this.#parts.onEnded?.();
    this.#tell();
  }

  /** The run ends without a result. Only the first end counts. */
  fail(error: AgentFlowError, finishReason: 'aborted' | 'failed' = 'failed'): void {
    if (this.#end !== undefined) return;
    this.#end = { run: { sessionId: this.sessionId, finishReason, error } };
    this.#parts.onAbort(error);
    this.#parts.inbox.end(error);
    this.#parts.outbox.end(error);
    this.#parts.onEnded?.();
    this.#tell();
  }

  /** Tells whoever has asked how the run has ended, if it has. */
  #tell(): void {
    if (this.#end === undefined) return;
    const { run, output } = this.#end;
    if (run.error === undefined) this.#output?.resolve(output as Output);
    else this.#output?.reject(run.error);
    this.#done?.resolve(run);
  }
}

/** Every policy a sender may name. */
export const sendPolicies: readonly SendPolicy[] = ['queue', 'steer', 'interrupt', 'reject'];

/** Throws `InvalidValueError` unless the option is absent or a cursor. */
export function assertCursor(cursor: unknown, option: string): void {
  if (cursor === undefined) return;
  const { error } = CursorSchema.safeParse(cursor);
  if (error !== undefined) throw new InvalidValueError('option', valueIssues(error.issues, cursor, option));
}

function assertSendOptions(options: { readonly id?: unknown; readonly policy?: unknown }): void {
  assertOptions(options);
  const { id, policy } = options;
  if (id !== undefined && typeof id !== 'string') {
    throw new InvalidValueError('id', [{ path: 'id', expected: 'string', received: typeof id }]);
  }
  if (policy === undefined || (sendPolicies as readonly unknown[]).includes(policy)) return;
  const expected = `one of ${sendPolicies.join(', ')}`;
  const received = typeof policy === 'string' || policy === null ? JSON.stringify(policy) : typeof policy;
  throw new InvalidValueError('option', [{ path: 'policy', expected, received }]);
}
