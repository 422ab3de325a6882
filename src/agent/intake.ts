/** What an agent takes in: inputs become turns, one after another, each recorded by the session before it is run. */
import type { Inbox, RunningTurn, WaitingInput } from '../connection/inbox.js';
import type { Outbox } from '../connection/outbox.js';
import type { AgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { AcceptedInput } from '../session/store.js';
import type { AbortState } from './run-abort.js';
import type { RunScope } from './runtime.js';
import { ActiveTurn } from './turn.js';

/** What an {@link Intake} takes from, and tells. */
export interface IntakeParts<In, Stream> {
  /** The run, for receipts and cursors. */
  readonly run: string;
  readonly inbox: Inbox<In>;
  readonly outbox: Outbox<Stream>;
  readonly scope: RunScope;
  readonly signal: AbortState;
  /** Records an input that carries an id; answers what is recorded. */
  readonly record: (input: AcceptedInput) => Promise<AcceptedInput>;
}

/** The inputs and turns of one run. */
export class Intake<In, Stream> {
  readonly #parts: IntakeParts<In, Stream>;
  #turn: ActiveTurn<In, Stream> | undefined;
  #endTurnScope: ((error?: unknown) => void) | undefined;
  #turns = 0;
  /** Calls of `next` that are not answered, and the last one's answer. */
  #nexts = 0;
  #lastNext: Promise<unknown> | undefined;
  #recording: Promise<void> | undefined;
  #begun: Set<Promise<unknown>> | undefined;
  #endedBy: AgentFlowError | undefined;
  #canInterrupt = false;

  constructor(parts: IntakeParts<In, Stream>) {
    this.#parts = parts;
  }

  /** The turn that is open. */
  get turn(): ActiveTurn<In, Stream> | undefined {
    return this.#turn;
  }

  /** The handler works turn by turn: from here on a turn can be cut short. */
  allowInterrupts(): void {
    this.#canInterrupt = true;
  }

  /** Inputs an earlier run took but did not live to answer come before all others. */
  replay(pending: readonly AcceptedInput[]): void {
    const { inbox } = this.#parts;
    inbox.replay(
      pending.map(({ id, input, attempt }) => ({
        id,
        input: input as In,
        attempt: attempt + 1,
        receipt: new Deferred(),
      })),
    );
  }

  /** Ends the turn that is open and begins the next. Two calls at once are answered one after the other. */
  next(): Promise<IteratorResult<In, undefined>> {
    const next = () => this.#next();
    const before = this.#nexts === 0 ? undefined : this.#lastNext;
    this.#nexts += 1;
    const input = before === undefined ? next() : before.then(next, next);
    this.#lastNext = input;
    return input;
  }

  /** Closes the books of the turn that is open, if one is, and waits until all books are closed. */
  async settle(error?: unknown): Promise<void> {
    const turn = this.#turn;
    this.#turn = undefined;
    if (turn !== undefined) {
      this.#endTurnScope?.(error);
      this.#parts.inbox.turnEnded();
      if (turn.inputId !== undefined || turn.steeredIds.length > 0) this.#recordDone(turn);
    }
    await this.#recording;
  }

  /** Nothing is taken from here on. */
  end(reason: AgentFlowError): void {
    this.#endedBy ??= reason;
    this.#parts.inbox.end(reason);
  }

  /** Closes the books of the run, and waits for whatever is still being written in them. */
  async finish(error?: unknown): Promise<void> {
    await this.settle(error).catch(() => {});
    await Promise.allSettled(this.#begun ?? []);
  }

  #recordDone({ inputId, steeredIds, number, attempt }: ActiveTurn<In, Stream>): void {
    const { run, record } = this.#parts;
    const before = this.#recording;
    const done = { run, turn: number, done: true };
    const recording = (async () => {
      await before?.catch(() => {});
      if (inputId !== undefined) await record({ id: inputId, ...done, attempt });
      for (const id of steeredIds) await record({ id, ...done, attempt: 1 });
    })();
    this.#recording = recording;
    // Whoever waits now is told when it fails; whoever comes later is not.
    const forget = () => {
      if (this.#recording === recording) this.#recording = undefined;
    };
    recording.then(forget, forget);
  }

  async #next(): Promise<IteratorResult<In, undefined>> {
    try {
      await this.settle();
      for (;;) {
        const entry = await this.#parts.inbox.take();
        if (entry === undefined) return { value: undefined, done: true };
        if (await this.#begin(entry)) return { value: entry.input, done: false };
      }
    } catch (error) {
      // A handler may ignore what it asked for. Those before the last have the next one waiting for them.
      this.#lastNext?.catch(() => {});
      throw error;
    } finally {
      this.#nexts -= 1;
    }
  }

  /** Begins a turn if the session meets this input for the first time. Its sender is told, either way. */
  async #begin(entry: WaitingInput<In>): Promise<boolean> {
    const { run, signal } = this.#parts;
    const { receipt } = entry;
    const turn = this.#turns + 1;
    try {
      const recorded = entry.isRecorded ? { run, turn } : await this.#record(entry, turn);
      const isNew = recorded.run === run && recorded.turn === turn;
      // What is recorded but cannot be run here any more is run when the session is opened next.
      const hasEnded = signal.aborted || this.#endedBy !== undefined;
      if (hasEnded && entry.id === undefined) receipt.reject(this.#endedBy ?? signal.reason);
      if (isNew && !hasEnded) this.#start(entry);
      // Told after the turn has begun, so that what its sender does next finds the agent answering.
      receipt.resolve({ run: recorded.run, turn: recorded.turn, duplicate: !isNew, steered: false });
      signal.throwIfAborted();
      return isNew && !hasEnded;
    } catch (error) {
      receipt.reject(error);
      throw error;
    }
  }

  #start({ id, attempt }: WaitingInput<In>): void {
    const { inbox, outbox, scope } = this.#parts;
    this.#turns += 1;
    const turn = new ActiveTurn<In, Stream>({ number: this.#turns, attempt, inputId: id }, () => outbox.unblock());
    this.#turn = turn;
    this.#endTurnScope = scope.startTurn(turn);
    outbox.startTurn(turn.number, attempt);
    inbox.turnStarted(this.#asRunning(turn));
  }

  #asRunning(turn: ActiveTurn<In, Stream>): RunningTurn<In> {
    return {
      isListening: () => turn.isListening,
      interrupt: (reason) => {
        turn.interrupt(reason);
        return this.#canInterrupt;
      },
      steer: (entry, missed) => void this.#steer(turn, entry, missed),
    };
  }

  async #steer(
    turn: ActiveTurn<In, Stream>,
    entry: WaitingInput<In>,
    missed: (entry: WaitingInput<In>) => void,
  ): Promise<void> {
    const { run } = this.#parts;
    const { id, input, receipt } = entry;
    try {
      const recorded = id === undefined ? { run, turn: turn.number } : await this.#record(entry, turn.number);
      const isNew = recorded.run === run && recorded.turn === turn.number;
      if (!isNew) receipt.resolve({ run: recorded.run, turn: recorded.turn, duplicate: true, steered: false });
      else if (turn.steer(input, id)) receipt.resolve({ run, turn: turn.number, duplicate: false, steered: true });
      else missed({ ...entry, isRecorded: id !== undefined });
    } catch (error) {
      receipt.reject(error);
    }
  }

  async #record({ id, input, attempt }: WaitingInput<In>, turn: number): Promise<{ run: string; turn: number }> {
    const { run, record } = this.#parts;
    if (id === undefined) return { run, turn };
    const recording = record({ id, run, turn, attempt, done: false, input });
    this.#begun ??= new Set();
    this.#begun.add(recording);
    try {
      return await recording;
    } finally {
      this.#begun.delete(recording);
    }
  }
}
