/** The side of a run that its handler works with: where inputs are read, chunks sent and turns ended. */
import type { z } from '../../schemas/zod.js';
import type { Outbox } from '../connection/outbox.js';
import type { AgentFlowError } from '../errors.js';
import type { ActiveTurn } from './active-turn.js';
import type { InputReader, Intake } from './intake.js';
import type { LazyAbort } from './lazy-abort.js';
import type { ResponderParts } from './responder.js';
import type { TurnLoopParts } from './turn-loop.js';

/** What a {@link HandlerSide} joins together. */
export interface HandlerSideParts<In, Stream> {
  readonly intake: Intake<In, Stream>;
  readonly outbox: Outbox<Stream>;
  readonly streamSchema: z.ZodTypeAny;
  readonly abort: LazyAbort;
}

/** One run, as its responder and its loop of turns use it. */
export class HandlerSide<In, Stream> implements ResponderParts<Stream>, TurnLoopParts<In, Stream> {
  readonly outbox: Outbox<Stream>;
  readonly streamSchema: z.ZodTypeAny;
  readonly abort: LazyAbort;
  readonly inputStream: AsyncIterable<In>;
  readonly #intake: Intake<In, Stream>;
  #endedBy: AgentFlowError | undefined;

  constructor({ intake, outbox, streamSchema, abort }: HandlerSideParts<In, Stream>) {
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
    this.#intake.turn?.keep(chunk);
  }

  /** A handler need not wait: what it says next comes after the end of the turn, and so does the next input. */
  async endTurn(): Promise<void> {
    this.#assertIsRunning();
    this.outbox.endTurn(false);
    await this.#intake.endTurn();
  }

  /** The loop waits, so its readers see the end of a turn when the session knows of it. */
  async closeTurn(interrupted: boolean, error?: AgentFlowError): Promise<void> {
    this.#assertIsRunning();
    await this.#intake.endTurn(error);
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

/** `inputStream`. Leaving a loop over it loses no input: the next loop goes on. */
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
