/** The caller's side of the talk: inputs on their way to the agent, and what happens to one that comes while it answers. */
import type { SendReceipt } from '../../schemas/index.js';
import { AgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { SendPolicy } from './connection.js';

/** An input that waits for the agent. */
export interface WaitingInput<In> {
  readonly input: In;
  /** Set for an input that must not run twice. */
  readonly id: string | undefined;
  /** 1, or more for an input an earlier run took but did not live to answer. */
  readonly attempt: number;
  readonly receipt: Deferred<SendReceipt>;
}

/** The turn that is running, as far as a sender may touch it. */
export interface RunningTurn<In> {
  /** Hands over an input; no receipt when the turn does not listen. */
  steer(input: In): SendReceipt | undefined;
  /** Cuts the turn short, if that can be done. */
  interrupt(): void;
}

/** Ids a connection remembers by itself; a store remembers all of them. */
const rememberedIds = 10_000;

/** Inputs in line for one agent. */
export class Inbox<In> {
  readonly #maxQueued: number;
  readonly #known = new Map<string, WaitingInput<In>>();
  #queue: WaitingInput<In>[] = [];
  #waitingTakers: (() => void)[] = [];
  #running: RunningTurn<In> | undefined;
  #closedBy: AgentFlowError | undefined;
  #isClosed = false;

  /** @param maxQueued inputs that may wait before further ones are refused with `INPUT_QUEUE_FULL` */
  constructor(maxQueued: number) {
    this.#maxQueued = maxQueued;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What ended the run, when that is why nothing can be sent. */
  get closedBy(): AgentFlowError | undefined {
    return this.#closedBy;
  }

  /** Puts an input where its policy says. Never throws: a refusal is the receipt's rejection. */
  send(input: In, id: string | undefined, policy: SendPolicy): Promise<SendReceipt> {
    const known = id === undefined ? undefined : this.#known.get(id);
    if (known !== undefined) return asDuplicate(known.receipt.promise);
    const entry: WaitingInput<In> = { input, id, attempt: 1, receipt: new Deferred() };
    const refusal = this.#place(entry, policy);
    if (refusal !== undefined) entry.receipt.reject(refusal);
    else if (id !== undefined) this.#remember(id, entry);
    return entry.receipt.promise;
  }

  /** Puts inputs of an earlier run ahead of everything. */
  replay(entries: readonly WaitingInput<In>[]): void {
    for (const entry of entries) if (entry.id !== undefined) this.#known.set(entry.id, entry);
    this.#queue = [...entries, ...this.#queue];
    this.#wakeTakers();
  }

  /** The next input, `undefined` when there will be none. */
  async take(): Promise<WaitingInput<In> | undefined> {
    for (;;) {
      const entry = this.#queue.shift();
      if (entry !== undefined || this.#isClosed) return entry;
      await new Promise<void>((resolve) => this.#waitingTakers.push(resolve));
    }
  }

  /** An input whose fate the store remembers from here on. */
  forget(id: string): void {
    this.#known.delete(id);
  }

  turnStarted(turn: RunningTurn<In>): void {
    this.#running = turn;
  }

  turnEnded(): void {
    this.#running = undefined;
  }

  /** No more input; what waits is still taken. */
  close(): void {
    this.#isClosed = true;
    this.#wakeTakers();
  }

  /** The run is over: what waits is refused. */
  end(error: AgentFlowError): void {
    this.#closedBy ??= error;
    this.close();
    const refused = this.#queue;
    this.#queue = [];
    for (const { receipt } of refused) receipt.reject(error);
  }

  #place(entry: WaitingInput<In>, policy: SendPolicy): AgentFlowError | undefined {
    const isBusy = this.#running !== undefined || this.#queue.length > 0;
    if (policy === 'reject' && isBusy) return new AgentFlowError('TURN_BUSY', 'The agent is still answering');
    if (policy === 'steer') {
      const receipt = this.#running?.steer(entry.input);
      if (receipt !== undefined) return void entry.receipt.resolve(receipt);
    }
    if (this.#queue.length >= this.#maxQueued) {
      return new AgentFlowError('INPUT_QUEUE_FULL', `${this.#maxQueued} inputs already wait for the agent`);
    }
    if (policy === 'interrupt') {
      this.#running?.interrupt();
      this.#queue.unshift(entry);
    } else {
      this.#queue.push(entry);
    }
    this.#wakeTakers();
    return undefined;
  }

  #remember(id: string, entry: WaitingInput<In>): void {
    this.#known.set(id, entry);
    const oldest = this.#known.size > rememberedIds ? this.#known.keys().next().value : undefined;
    if (oldest !== undefined) this.#known.delete(oldest);
  }

  #wakeTakers(): void {
    const takers = this.#waitingTakers;
    this.#waitingTakers = [];
    for (const wake of takers) wake();
  }
}

function asDuplicate(receipt: Promise<SendReceipt>): Promise<SendReceipt> {
  const duplicate = receipt.then((first) => ({ ...first, duplicate: true }));
  duplicate.catch(() => {});
  return duplicate;
}
