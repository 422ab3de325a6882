/** What an agent takes in: inputs become turns, one after another, each recorded by the session before it is run. */
import { AsyncResource } from 'node:async_hooks';
import type { Inbox, InputTaker, RunningTurn, WaitingInput } from '../connection/inbox.js';
import type { Outbox } from '../connection/outbox.js';
import { type AgentFlowError, toAgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { AcceptedInput } from '../session/store.js';
import { ActiveTurn } from './active-turn.js';
import { InputRecords, type InputRecordsParts } from './input-records.js';
import type { RunScope } from './launch.js';
import type { AbortState } from './lazy-abort.js';

/** The run an {@link Intake} takes for. */
export interface IntakeParts<In, Stream> extends InputRecordsParts {
  readonly inbox: Inbox<In>;
  readonly outbox: Outbox<Stream>;
  readonly abort: AbortState;
  /** Does a later run on the session know what was recorded? */
  readonly keepsInputs: boolean;
}

/** Waits for the next input, without a promise. It is told in the async context in which it asked. */
export interface InputReader<In> {
  resolve(result: IteratorResult<In, undefined>): void;
  reject(error: unknown): void;
}

/** The turn that takes or took an input. */
type TurnOfInput = Pick<AcceptedInput, 'run' | 'turn'>;

const noMore = { value: undefined, done: true } as const;

/** The inputs and turns of one run. */
export class Intake<In, Stream> implements InputTaker<In> {
  readonly #run: IntakeParts<In, Stream>;
  readonly #scope: RunScope;
  /** The one that is open; or that has ended while its function still works, which is to hear of an abort all the same. */
  #turn: ActiveTurn<In, Stream> | undefined;
  #endTurnScope: ((error?: unknown) => void) | undefined;
  #turns = 0;
  /** Who is to have the next input, and who the ones after it. */
  #reader: InputReader<In> | undefined;
  #laterReaders: (() => void)[] | undefined;
  /** The async context of who reads: an input comes in the context of its sender. */
  #readsIn: AsyncResource | undefined;
  /** Made with the first input that has an id. */
  #records: InputRecords | undefined;
  #endedBy: AgentFlowError | undefined;
  #canInterrupt = false;

  constructor(run: IntakeParts<In, Stream>, scope: RunScope) {
    this.#run = run;
    this.#scope = scope;
  }

  /** The turn that is open. */
  get turn(): ActiveTurn<In, Stream> | undefined {
    return this.#turn?.isOpen ? this.#turn : undefined;
  }

  /** The run is aborted. */
  abort(error: AgentFlowError): void {
    if (this.#turn?.isOpen || this.#turn?.isWorking) this.#turn.abort(error);
  }

  /** The handler works turn by turn: from here on a turn can be cut short. */
  allowInterrupts(): void {
    this.#canInterrupt = true;
  }

  /** Inputs an earlier run took but did not live to answer come before all others. */
  replay(pending: readonly AcceptedInput[]): void {
    const { inbox } = this.#run;
    inbox.replay(
      pending.map(({ id, input, attempt }) => ({
        id,
        input: input as In,
        attempt: attempt + 1,
        receipt: new Deferred(),
      })),
    );
  }

  /** Ends the turn that is open and begins the next. */
  next(): Promise<IteratorResult<In, undefined>> {
    const next = new Deferred<IteratorResult<In, undefined>>();
    this.read(next);
    return next.promise;
  }

  /** The same for a reader. Those who ask at once are answered one after the other. */
  read(reader: InputReader<In>, readsIn = new AsyncResource('AgentInput', { requireManualDestroy: true })): void {
    if (this.#reader !== undefined) {
      this.#laterReaders ??= [];
      this.#laterReaders.push(() => this.read(reader, readsIn));
      return;
    }
    this.#reader = reader;
    this.#readsIn = readsIn;
    if (this.turn === undefined && this.#records?.endings === undefined) this.#take();
    else
      this.endTurn().then(
        () => this.#take(),
        (error) => this.#answer(undefined, error),
      );
  }

  #take(): void {
    const { inbox, outbox } = this.#run;
    const pause = this.#turns === 0 ? undefined : outbox.breakAfterInput();
    if (pause === undefined) inbox.take(this);
    else void pause.then(() => inbox.take(this));
  }

  /** The inbox has an input, or `undefined` when there will be none. */
  taken(entry: WaitingInput<In> | undefined): void {
    void this.#readsIn?.runInAsyncScope(this.#takeUp, this, entry);
  }

  /** Ends the turn that is open, if one is, and waits until it is recorded that turns have ended. */
  async endTurn(error?: unknown): Promise<void> {
    const { turn } = this;
    if (turn !== undefined) {
      turn.isOpen = false;
      if (!turn.isWorking) this.#turn = undefined;
      this.#endTurnScope?.(error);
      this.#endTurnScope = undefined;
      this.#run.inbox.turnEnded();
      if (turn.inputId !== undefined || turn.steeredIds.length > 0) this.#recordsOfRun().end(turn);
    }
    await this.#records?.endings;
  }

  /** Nothing is taken from here on. */
  end(reason: AgentFlowError): void {
    this.#endedBy ??= reason;
    this.#run.inbox.end(reason);
  }

  /** The run is over: ends its turn, and waits for whatever is still being recorded. */
  async finish(error?: unknown): Promise<void> {
    await this.endTurn(error).catch(() => {});
    await this.#records?.begun();
  }

  async #takeUp(entry: WaitingInput<In> | undefined): Promise<void> {
    try {
      if (entry === undefined) this.#answer(noMore);
      else await this.#begin(entry);
    } catch (error) {
      entry?.receipt.reject(toAgentFlowError(error));
      this.#answer(undefined, error);
    }
  }

  #answer(result: IteratorResult<In, undefined> | undefined, error?: unknown): void {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#readsIn = undefined;
    const next = this.#laterReaders?.shift();
    if (result === undefined) reader?.reject(error);
    else reader?.resolve(result);
    next?.();
  }

  /** Begins a turn if the session meets this input for the first time. Its sender is told, either way. */
  async #begin(entry: WaitingInput<In>): Promise<void> {
    const { id: run, abort, keepsInputs } = this.#run;
    const { id, input, receipt } = entry;
    const turn = this.#turns + 1;
    const recorded = entry.isRecorded ? { run, turn } : await this.#record(entry, turn);
    const isNew = recorded.run === run && recorded.turn === turn;
    const hasEnded = abort.aborted || this.#endedBy !== undefined;
    const isBegun = isNew && !hasEnded;
    if (isBegun) {
      this.#start(entry);
      this.#answer({ value: input, done: false });
    }
    // What is recorded but cannot be run here any more is run when the session is opened next.
    if (hasEnded && (id === undefined || !keepsInputs)) receipt.reject(this.#endedBy ?? abort.reason);
    // Told after the turn has begun, so that what its sender does next finds the agent answering, and listening if it does.
    receipt.resolve({ run: recorded.run, turn: recorded.turn, duplicate: !isNew, steered: false });
    if (isBegun) return;
    abort.throwIfAborted();
    this.#take();
  }

  #start({ id, attempt }: WaitingInput<In>): void {
    const { inbox, outbox } = this.#run;
    this.#turns += 1;
    const turn = new ActiveTurn<In, Stream>({ number: this.#turns, attempt, inputId: id }, () => outbox.unblock());
    this.#turn = turn;
    this.#endTurnScope = this.#scope.startTurn(turn);
    outbox.startTurn(turn.number, attempt);
    inbox.turnStarted(this.#asRunning(turn));
  }

  #asRunning(turn: ActiveTurn<In, Stream>): RunningTurn<In> {
    let steered: Promise<void> | undefined;
    return {
      isListening: () => turn.isListening,
      interrupt: (reason) => turn.interrupt(reason) && this.#canInterrupt,
      steer: (entry, missed) => {
        const steer = () => this.#steer(turn, entry, missed);
        // In the order they were sent: what has an id is recorded first, which takes a while.
        steered = steered === undefined ? steer() : steered.then(steer);
      },
    };
  }

  /** Never rejects: what goes wrong is told to the sender. */
  async #steer(
    turn: ActiveTurn<In, Stream>,
    entry: WaitingInput<In>,
    missed: (entry: WaitingInput<In>) => void,
  ): Promise<void> {
    const { id: run } = this.#run;
    const { id, input, receipt } = entry;
    try {
      const recorded = id === undefined ? { run, turn: turn.number } : await this.#record(entry, turn.number);
      const isNew = recorded.run === run && recorded.turn === turn.number;
      if (!isNew) receipt.resolve({ run: recorded.run, turn: recorded.turn, duplicate: true, steered: false });
      else if (turn.steer(input, id)) receipt.resolve({ run, turn: turn.number, duplicate: false, steered: true });
      else missed({ ...entry, isRecorded: id !== undefined });
    } catch (error) {
      receipt.reject(toAgentFlowError(error));
    }
  }

  /** Where the input is recorded: here, unless the session has met it before. */
  #record({ id, input, attempt }: WaitingInput<In>, turn: number): Promise<TurnOfInput> | TurnOfInput {
    return id === undefined ? { run: this.#run.id, turn } : this.#recordsOfRun().begin({ id, input, attempt, turn });
  }

  #recordsOfRun(): InputRecords {
    this.#records ??= new InputRecords(this.#run);
    return this.#records;
  }
}
