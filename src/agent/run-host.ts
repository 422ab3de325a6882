/** What a handler reads and speaks through: the side of a run that its responder and its turns see. */
import type { z } from '../../schemas/zod.js';
import type { Outbox } from '../connection/outbox.js';
import type { AgentFlowError } from '../errors.js';
import type { InputReader, Intake } from './intake.js';
import type { ResponderHost } from './responder.js';
import type { RunAbort } from './run-abort.js';
import type { ActiveTurn } from './turn.js';
import type { TurnsHost } from './turns.js';

/** What a {@link RunHost} joins together. */
export interface RunHostParts<In, Stream> {
  readonly intake: Intake<In, Stream>;
  readonly outbox: Outbox<Stream>;
  readonly streamSchema: z.ZodTypeAny;
  readonly abort: RunAbort;
}

/** One run, as its handler uses it. */
export class RunHost<In, Stream> implements ResponderHost<Stream>, TurnsHost<In, Stream> {
  readonly outbox: Outbox<Stream>;
  readonly streamSchema: z.ZodTypeAny;
  readonly abort: RunAbort;
  readonly inputStream: AsyncIterable<In>;
  readonly #intake: Intake<In, Stream>;
  #endedBy: AgentFlowError | undefined;

  constructor({ intake, outbox, streamSchema, abort }: RunHostParts<In, Stream>) {
    this.outbox = outbox;
    this.streamSchema = streamSchema;
    this.abort = abort;
    this.inputStream = new InputStream(intake);
    this.#intake = intake;
  }

  readInput(reader: InputReader<In>): void {
    this.#intake.allowInterrupts();
    this.#intake.read(reader);
  }

  currentTurn(): ActiveTurn<In, Stream> | undefined {
    return this.#intake.turn;
  }

  assertMaySend(): void {
    this.#assertIsRunning();
    this.#intake.turn?.assertMaySend();
  }

  sent(chunk: Stream): void {
    this.#intake.turn?.record(chunk);
  }

  /** A handler need not wait: what it says next comes after the end of the turn, and so does the next input. */
  async endTurn(): Promise<void> {
    this.#assertIsRunning();
    this.outbox.endTurn(false);
    await this.#intake.settle();
  }

  /** The loop waits, so its readers see the end of a turn when the session knows of it. */
  async closeTurn(interrupted: boolean, error?: AgentFlowError): Promise<void> {
    this.#assertIsRunning();
    await this.#intake.settle(error);
    this.outbox.endTurn(interrupted, error);
  }

  /** The handler has returned: from here on it may say nothing, for this reason. */
  end(reason: AgentFlowError): void {
    this.#endedBy = reason;
  }

  #assertIsRunning(): void {
    this.abort.throwIfAborted();
    if (this.#endedBy !== undefined) throw this.#endedBy;
  }
}

/** Leaving a loop over the inputs loses none of them: the next loop goes on. */
class InputStream<In> implements AsyncIterableIterator<In, undefined> {
  readonly #source: Pick<Intake<In, unknown>, 'next'>;

  constructor(source: Pick<Intake<In, unknown>, 'next'>) {
    this.#source = source;
  }

  next(): Promise<IteratorResult<In, undefined>> {
    return this.#source.next();
  }

  return(): Promise<IteratorResult<In, undefined>> {
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
