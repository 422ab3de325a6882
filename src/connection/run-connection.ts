import type { SendReceipt } from '../../schemas/index.js';
import { AgentFlowError, InvalidValueError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { Connection, RunEnd, SendOptions, SendPolicy, WatchEvent, WatchOptions } from './connection.js';
import type { Inbox } from './inbox.js';
import type { Outbox } from './outbox.js';

/** What a {@link RunConnection} joins together. */
export interface RunConnectionParts<In, Stream> {
  readonly sessionId: string;
  readonly policy: SendPolicy;
  readonly inbox: Inbox<unknown>;
  readonly outbox: Outbox<Stream>;
  /** The input as the agent will see it. Throws `InvalidValueError`. */
  readonly checkInput: (input: In) => unknown;
  /** Called once, at the first `abort`, before anybody is told. */
  readonly onAbort: (error: AgentFlowError) => void;
}

/** A connection to an agent that runs in this process. */
export class RunConnection<In, Stream, Output> implements Connection<In, Stream, Output> {
  readonly sessionId: string;
  readonly done: Promise<RunEnd>;
  readonly #parts: RunConnectionParts<In, Stream>;
  readonly #output = new Deferred<Output>();
  readonly #done = new Deferred<RunEnd>();
  #hasEnded = false;

  constructor(parts: RunConnectionParts<In, Stream>) {
    this.#parts = parts;
    this.sessionId = parts.sessionId;
    this.done = this.#done.promise;
  }

  send(input: In, options: SendOptions = {}): Promise<SendReceipt> {
    const { inbox, checkInput, policy } = this.#parts;
    if (inbox.isClosed) {
      const why = inbox.closedBy === undefined ? 'the connection was closed' : 'the run has ended';
      throw new AgentFlowError('CONNECTION_CLOSED', `Cannot send: ${why}`, { cause: inbox.closedBy });
    }
    assertSendOptions(options);
    return inbox.send(checkInput(input), options.id, options.policy ?? policy);
  }

  receive(): AsyncIterableIterator<Stream> {
    return this.#parts.outbox.receive();
  }

  /** Every chunk until the run ends, whatever turn it belongs to. */
  receiveAll(): AsyncIterableIterator<Stream> {
    return this.#parts.outbox.receive(true);
  }

  watch(options?: WatchOptions): AsyncIterableIterator<WatchEvent<Stream>> {
    return this.#parts.outbox.watch(options);
  }

  close(): void {
    this.#parts.inbox.close();
    this.#parts.outbox.closeInput();
  }

  output(): Promise<Output> {
    this.#parts.outbox.awaitOutput();
    return this.#output.promise;
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
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#parts.inbox.end(new AgentFlowError('CONNECTION_CLOSED', 'The agent ended the run before it took this input'));
    this.#parts.outbox.end();
    this.#output.resolve(output);
    this.#done.resolve({ sessionId: this.sessionId, finishReason: 'stop' });
  }

  /** The run ends without a result. Only the first end counts. */
  fail(error: AgentFlowError, finishReason: 'aborted' | 'failed' = 'failed'): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#parts.onAbort(error);
    this.#parts.inbox.end(error);
    this.#parts.outbox.end(error);
    this.#output.reject(error);
    this.#done.resolve({ sessionId: this.sessionId, finishReason, error });
  }
}

/** Every policy a sender may name. */
export const sendPolicies: readonly SendPolicy[] = ['queue', 'steer', 'interrupt', 'reject'];

function assertSendOptions({ id, policy }: { readonly id?: unknown; readonly policy?: unknown }): void {
  if (id !== undefined && typeof id !== 'string') {
    throw new InvalidValueError('id', [{ path: 'id', expected: 'string', received: typeof id }]);
  }
  if (policy === undefined || (sendPolicies as readonly unknown[]).includes(policy)) return;
  const expected = `one of ${sendPolicies.join(', ')}`;
  throw new InvalidValueError('option', [
    { path: 'policy', expected, received: JSON.stringify(policy) ?? typeof policy },
  ]);
}
