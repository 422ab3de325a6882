/** The caller's side of the talk: inputs on their way to the agent, and what happens to one that comes while it answers. */
import type { SendReceipt } from '../../schemas/index.js';
import { AgentFlowError } from '../errors.js';
import { systemClock } from '../internal/clock.js';
import { Deferred } from '../internal/deferred.js';
import type { SendPolicy } from './connection.js';
import { KnownIds } from './known-ids.js';

/** An input that waits for the agent. */
export interface WaitingInput<In> {
  readonly input: In;
  /** Set for an input that must not run twice. */
  readonly id: string | undefined;
  /** 1, or more for an input an earlier run took but did not live to answer. */
  readonly attempt: number;
  readonly receipt: Deferred<SendReceipt>;
  /** The session knows already that it is to be run. */
  readonly isRecorded?: boolean;
  /** Sent with the policy `interrupt`: it goes ahead of those that were not. */
  readonly isUrgent?: boolean;
}

/** The turn that is running, as far as a sender may touch it. */
export interface RunningTurn<In> {
  /** Does it take inputs that are to steer it? */
  isListening(): boolean;
  /** Hands over an input; calls `missed` when the turn has stopped listening meanwhile. */
  steer(entry: WaitingInput<In>, missed: (entry: WaitingInput<In>) => void): void;
  /** Cuts the turn short, if that can be done; false when it never can. */
  interrupt(reason?: unknown): boolean;
}

/** Who takes the inputs. */
export interface InputTaker<In> {
  /** The next input, `undefined` when there will be none. Must not throw. */
  taken(entry: WaitingInput<In> | undefined): void;
}

/** Inputs that are refused in one go: as many as nobody has to wait for. */
const refusedAtOnce = 1_000;

/** Inputs in line for one agent. */
export class Inbox<In> {
  readonly #maxQueued: number;
  readonly #rememberedIds: number;
  #known: KnownIds | undefined;
  /** Undefined while nothing waits: an empty list that was used still has its room. */
  #queue: WaitingInput<In>[] | undefined;
  #taker: InputTaker<In> | undefined;
  /** An input has been taken whose turn has not begun yet. */
  #isStarting = false;
  /** Somebody wants the turn that is about to begin cut short, and to know whether it was. */
  #startInterrupt: { readonly reason: unknown; readonly isCut: Deferred<boolean> } | undefined;
  #running: RunningTurn<In> | undefined;
  #closedBy: AgentFlowError | undefined;
  #isClosed = false;

  /**
   * @param maxQueued inputs that may wait before further ones are refused with `INPUT_QUEUE_FULL`
   * @param rememberedIds how many ids are known here, the newest; all of them by default, as where no store knows the rest
   */
  constructor(maxQueued: number, rememberedIds = Infinity) {
    this.#maxQueued = maxQueued;
    this.#rememberedIds = rememberedIds;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What ended the run, when that is why nothing can be sent. */
  get closedBy(): AgentFlowError | undefined {
    return this.#closedBy;
  }

  /** Takes in an input, unless its id is known already. Never throws: a refusal is the receipt's rejection. */
  send(input: In, id: string | undefined, policy: SendPolicy): Promise<SendReceipt> {
    const known = id === undefined ? undefined : this.#known?.get(id);
    if (known !== undefined) return asDuplicate(known);
    const isUrgent = policy === 'interrupt';
    const entry: WaitingInput<In> = { input, id, attempt: 1, receipt: new Deferred(), isUrgent };
    const refusal = this.#admit(entry, policy);
    if (refusal !== undefined) entry.receipt.reject(refusal);
    else if (id !== undefined) this.#remember(id, entry.receipt.promise);
    return entry.receipt.promise;
  }

  /** Puts inputs of an earlier run ahead of everything. */
  replay(entries: readonly WaitingInput<In>[]): void {
    for (const { id, receipt } of entries) if (id !== undefined) this.#remember(id, receipt.promise);
    if (entries.length > 0) this.#queue = [...entries, ...(this.#queue ?? [])];
    this.#wakeTaker();
  }

  /** Gives the next input to the taker, at once if there is one. There is one taker at a time. */
  take(taker: InputTaker<In>): void {
    this.#endStart(undefined);
    this.#taker = taker;
    this.#serveTaker();
  }

  /** The turn of the input that was taken last has begun. */
  turnStarted(turn: RunningTurn<In>): void {
    this.#running = turn;
    this.#endStart(turn);
  }

  turnEnded(): void {
    this.#running = undefined;
  }

  /** Cuts short the turn that runs, or is about to; false when there is none, or none that can be. */
  interrupt(reason?: unknown): boolean | Promise<boolean> {
    if (!this.#isStarting) return this.#running?.interrupt(reason) ?? false;
    this.#startInterrupt ??= { reason, isCut: new Deferred() };
    return this.#startInterrupt.isCut.promise;
  }

  /** No more input; what waits is still taken. */
  close(): void {
    this.#isClosed = true;
    this.#wakeTaker();
  }

  /** The run is over: what waits is refused. */
  end(error: AgentFlowError): void {
    this.#closedBy ??= error;
    this.close();
    const refused = this.#queue;
    this.#queue = undefined;
    if (refused !== undefined) refuse(refused, error);
    this.#endStart(undefined);
  }

  /** The turn of the input that was taken last has begun, or there is none. */
  #endStart(turn: RunningTurn<In> | undefined): void {
    const wanted = this.#startInterrupt;
    this.#isStarting = false;
    this.#startInterrupt = undefined;
    wanted?.isCut.resolve(turn?.interrupt(wanted.reason) ?? false);
  }

  /** Puts an input where its policy says, or answers why not. */
  #admit(entry: WaitingInput<In>, policy: SendPolicy): AgentFlowError | undefined {
    const isBusy = this.#running !== undefined || this.#isStarting || this.#queue !== undefined;
    if (policy === 'reject' && isBusy) return new AgentFlowError('TURN_BUSY', 'The agent is still answering');
    if (policy === 'steer' && this.#running?.isListening()) {
      this.#running.steer(entry, (missed) => this.#enqueueMissed(missed));
      return undefined;
    }
    if ((this.#queue?.length ?? 0) >= this.#maxQueued) {
      return new AgentFlowError('INPUT_QUEUE_FULL', `${this.#maxQueued} inputs already wait for the agent`);
    }
    if (entry.isUrgent) this.interrupt();
    this.#enqueue(entry);
    return undefined;
  }

  /** Puts an input in line that was to steer a turn which no longer listens. */
  #enqueueMissed(entry: WaitingInput<In>): void {
    if (this.#closedBy !== undefined) entry.receipt.reject(this.#closedBy);
    else this.#enqueue(entry);
  }

  /** Behind all others, or if it is urgent behind those that are. */
  #enqueue(entry: WaitingInput<In>): void {
    if (this.#queue === undefined) {
      this.#queue = [entry];
    } else if (entry.isUrgent) {
      const firstOther = this.#queue.findIndex(({ isUrgent }) => !isUrgent);
      this.#queue.splice(firstOther < 0 ? this.#queue.length : firstOther, 0, entry);
    } else {
      this.#queue.push(entry);
    }
    this.#wakeTaker();
  }

  #remember(id: string, receipt: Promise<SendReceipt>): void {
    this.#known ??= new KnownIds(this.#rememberedIds);
    this.#known.remember(id, receipt);
  }

  /** A step later, so that an input which is to come before others still can. */
  #wakeTaker(): void {
    if (this.#taker !== undefined) queueMicrotask(() => this.#serveTaker());
  }

  #serveTaker(): void {
    const taker = this.#taker;
    if (taker === undefined || (this.#queue === undefined && !this.#isClosed)) return;
    const entry = this.#queue?.shift();
    if (this.#queue?.length === 0) this.#queue = undefined;
    this.#taker = undefined;
    this.#isStarting = entry !== undefined;
    taker.taken(entry);
  }
}

/** With breaks between, as tens of thousands would hold up whatever else there is to do. */
function refuse(entries: readonly WaitingInput<unknown>[], error: AgentFlowError, from = 0): void {
  const to = from + refusedAtOnce;
  for (const { receipt } of entries.slice(from, to)) receipt.reject(error);
  if (to < entries.length) systemClock.after(0, () => refuse(entries, error, to), { keepAlive: true });
}

function asDuplicate(receipt: Promise<SendReceipt>): Promise<SendReceipt> {
  const duplicate = receipt.then((first) => ({ ...first, duplicate: true }));
  duplicate.catch(() => {});
  return duplicate;
}
