/** The host: every public function, and the agent it is for. */
import type { Prompt, Response } from '../backends/backend.js';
import type { Actor } from './actor.js';
import type { AgentStatus, RuntimeSnapshot } from './actor-parts.js';
import type { AnyAgent } from './agent-backend.js';
import { specOf, specOfRevival } from './agent-spec.js';
import type {
  AgentAddress,
  AgentHostOptions,
  AgentStartOptions,
  ArgsOption,
  PollResult,
  Restored,
  Revival,
  StartedAgent,
} from './api.js';
import type { AnyBehaviour, Behaviour } from './behaviour.js';
import type { HostObserver } from './events.js';
import type { GraphEdge } from './graph.js';
import { type HostParts, hostParts } from './host-parts.js';
import type { BudgetStatus } from './ledger.js';
import type { KeptAgentInfo } from './memory.js';
import { checkWaiting, type StartOptions } from './options.js';
import type { TurnResult } from './record.js';
import { type Asking, answerOf, type Following, type Waiting } from './request.js';
import { silent, withTimeout } from './timeouts.js';

/**
 * Agents under names. Every function that names one rejects with `AGENT_NOT_FOUND` when there is none, and ignoring a
 * promise is always safe.
 */
export class AgentHost implements AsyncDisposable {
  readonly #parts: HostParts;

  constructor(options: AgentHostOptions) {
    this.#parts = hostParts(options);
  }

  /**
   * Starts an agent under a name: `init`, then the backend's session; `preRun` follows when this has resolved. With a store,
   * a name that is remembered goes on where it was, and `init` does not run.
   *
   * Rejects with `AGENT_EXISTS`, `AGENT_INIT_FAILED`, `BACKEND_START_FAILED`, `INVALID_VALUE`, `HOST_CLOSED`.
   */
  start<State, Args, Event>(
    behaviour: Behaviour<State, Args, Event>,
    options: StartOptions & ArgsOption<Args>,
  ): Promise<StartedAgent>;
  /** Starts what `defineAgent` returns under a name: a prompt is its input, its chunks are the answer. */
  start(agent: AnyAgent, options: AgentStartOptions): Promise<StartedAgent>;
  start(what: AnyBehaviour | AnyAgent, options: StartOptions | AgentStartOptions): Promise<StartedAgent> {
    return silent(async () => {
      const spec = specOf(what, options);
      const { actor, resumed } = await this.#parts.registry.start(spec);
      return { name: spec.options.name, id: actor.id, resumed };
    });
  }

  /** Every agent that the store remembers and that does not run. Rejects with `NO_STORE`. */
  kept(): Promise<readonly KeptAgentInfo[]> {
    return silent(() => this.#parts.registry.kept());
  }

  /** Brings back every agent that is remembered; those for which `revive` answers nothing stay where they are. */
  restore(revive: (kept: KeptAgentInfo) => Revival | undefined): Promise<Restored> {
    return silent(() => this.#parts.registry.restore((kept) => specOfRevival(revive(kept), kept.name)));
  }

  /**
   * Prompts and waits for the answer; on a halted agent until somebody resumes it. Rejects with the turn's error, and with
   * `AGENT_OVERLOADED`, `AGENT_DRAINING`, `AGENT_TERMINATED`; with `WAIT_TIMEOUT` when the caller gives up: then a prompt
   * that still waits is taken back, and one in flight goes on.
   */
  ask(name: string, prompt: Prompt, options: Asking = {}): Promise<Response> {
    return silent(() => {
      const actor = this.#parts.admission.notItself(name, 'ask');
      const request = this.#parts.admission.admit(actor, name, 'ask', prompt, options);
      const giveUp = () => {
        // One that is being answered is not its caller's any more.
        if (actor.isWaiting(request.ref)) actor.cancel(request.ref, 'signal');
      };
      return withTimeout(answerOf(request), options, this.#parts.clock, giveUp);
    });
  }

  /** Prompts, and answers the ref to `poll`, `await`, `cancel` and `interrupt` by, once the prompt is taken (and stored). */
  tell(name: string, prompt: Prompt, options: Following = {}): Promise<string> {
    return silent(async () => {
      const actor = this.#parts.registry.get(name);
      const { ref } = this.#parts.admission.admit(actor, name, 'tell', prompt, options);
      await actor.saved();
      return ref;
    });
  }

  /** What became of a `tell`; looking does not take it away. Rejects with `REF_NOT_FOUND`. */
  poll(name: string, ref: string): Promise<PollResult> {
    return silent(() => {
      const outcome = this.#parts.registry.get(name).poll(ref);
      if (outcome === undefined) return { status: 'pending' };
      return outcome.ok
        ? { status: 'completed', response: outcome.response }
        : { status: 'failed', error: outcome.error };
    });
  }

  /** Waits for the answer to a `tell`. Rejects with the turn's error, `REF_NOT_FOUND`, `WAIT_TIMEOUT`. */
  await(name: string, ref: string, options: Waiting = {}): Promise<Response> {
    return silent(() => {
      const actor = this.#parts.admission.notItself(name, 'await');
      return this.#withTimeout(() => actor.await(ref), options);
    });
  }

  /**
   * Pushes an event into `handleEvent`; resolves when it is taken (and stored). Rejects with `AGENT_OVERLOADED`,
   * `AGENT_DRAINING`.
   */
  notify(name: string, event: unknown): Promise<void> {
    return silent(async () => {
      const { actor } = this.#parts.admission.notify(name, event, false);
      await actor.saved();
    });
  }

  /** {@link notify} that says whether the event has been handled, or is kept until the turn in flight has ended. */
  notifyAck(name: string, event: unknown): Promise<'handled' | 'retained'> {
    return silent(async () => {
      const { actor, isDeferred, heard } = this.#parts.admission.notify(name, event, true);
      await actor.saved();
      if (isDeferred) return 'retained';
      await heard;
      return 'handled';
    });
  }

  /**
   * Cuts the turn in flight: it fails with `TURN_INTERRUPTED`, and what waits goes on. Answers whether there was one. With a
   * ref it cuts that request's turn or none: rejects with `REQUEST_NOT_CURRENT`, `AGENT_IDLE`.
   */
  interrupt(name: string, ref?: string): Promise<boolean> {
    return silent(() => this.#parts.registry.get(name).interrupt(ref));
  }

  /**
   * Takes a request out of the queue; again is the same as once. Rejects with `REQUEST_CURRENT` (interrupt it instead),
   * `REQUEST_FINISHED`, `REF_NOT_FOUND`.
   */
  cancel(name: string, ref: string): Promise<void> {
    return this.#durably(name, (actor) => actor.cancel(ref));
  }

  /** Stops taking prompts, after the turn in flight; `postRun` runs. Again is the same as once. */
  halt(name: string): Promise<void> {
    return this.#durably(name, (actor) => actor.halt());
  }

  /** Takes prompts again; takes a halt back that waits for a turn's end. */
  resume(name: string): Promise<void> {
    return this.#durably(name, (actor) => actor.resume());
  }

  /** Never waits for a turn or a callback. */
  status(name: string): Promise<AgentStatus> {
    return silent(() => this.#parts.registry.get(name).status);
  }

  /** {@link status} without a word of what the agent is about. */
  snapshot(name: string): Promise<RuntimeSnapshot> {
    return silent(() => this.#parts.registry.get(name).snapshot);
  }

  /**
   * Ends an agent at once, and what is remembered of it: the turn is cut, all who wait get `AGENT_TERMINATED`, `terminate`
   * runs, the name is free.
   */
  stop(name: string): Promise<void> {
    return silent(() => {
      if (this.#parts.registry.find(name) !== undefined) this.#parts.admission.notItself(name, 'stop');
      return this.#parts.registry.stop(name);
    });
  }

  /** Ends an agent as if it had crashed: it comes back where `restart` says so. */
  kill(name: string, cause?: unknown): Promise<void> {
    return silent(() => this.#parts.admission.notItself(name, 'kill').end('crashed', cause));
  }

  /** Refuses new work and all that waits with `AGENT_DRAINING`, finishes the turn in flight, then stops. */
  drain(name: string, options: Waiting = {}): Promise<void> {
    return silent(() => {
      const actor = this.#parts.admission.notItself(name, 'drain');
      return this.#withTimeout(() => actor.drain('drained'), options);
    });
  }

  /** A fresh backend session; state and queue stay. Rejects with `AGENT_BUSY` unless the agent is idle. */
  resetSession(name: string): Promise<void> {
    return silent(() => this.#parts.admission.notItself(name, 'resetSession').resetSession());
  }

  /** Where the agent is; `undefined`: nowhere. Never rejects. */
  async whereis(name: string): Promise<AgentAddress | undefined> {
    const id = this.#parts.registry.find(name)?.id;
    return id === undefined ? undefined : { name, id };
  }

  /** Erases what is remembered of an agent that does not run. Rejects with `AGENT_EXISTS` for one that does. */
  forget(name: string): Promise<void> {
    return silent(() => this.#parts.registry.forget(name));
  }

  /** The names of all agents. */
  async list(): Promise<readonly string[]> {
    return this.#parts.registry.names;
  }

  /** The agent whose callback, or turn, this is called from; `undefined` elsewhere. */
  currentName(): string | undefined {
    return this.#parts.admission.currentName;
  }

  /** The turns that are kept, oldest first; those that failed are marked. */
  history(name: string): Promise<readonly TurnResult[]> {
    return silent(() => this.#parts.registry.get(name).record.history);
  }

  /** The newest turn, also when it failed. */
  lastResult(name: string): Promise<TurnResult | undefined> {
    return silent(() => this.#parts.registry.get(name).record.last);
  }

  /** The id that the backend has told. */
  sessionId(name: string): Promise<string | undefined> {
    return silent(() => this.#parts.registry.get(name).record.sessionId);
  }

  /** US dollars over all turns of an agent, failed ones too; without a name, of all agents there have been. */
  totalCost(name?: string): Promise<number> {
    return silent(() =>
      name === undefined ? this.#parts.ledger.status().spentUsd : this.#parts.registry.get(name).record.totals.usd,
    );
  }

  /** Turns that the backend answered. */
  turnCount(name: string): Promise<number> {
    return silent(() => this.#parts.registry.get(name).record.totals.turns);
  }

  /** How a budget stands: an agent's own, or the host's. Where there is none, what was spent. */
  budget(name?: string): Promise<BudgetStatus> {
    return silent(() => (name === undefined ? this.#parts.ledger.status() : this.#parts.registry.get(name).budget));
  }

  /** Who prompted whom. */
  graph(): readonly GraphEdge[] {
    return this.#parts.graph.edges;
  }

  /** Watches everything; the answer stops it. */
  observe(observer: HostObserver): () => void {
    return this.#parts.observers.add(observer);
  }

  /**
   * Lets the turns in flight end, then all agents; those that take longer than `timeoutMs` (default: for ever) are ended at
   * once. With a store they are remembered, with what waits and with a turn that was cut. Again is the same as once.
   */
  close(options: Pick<Waiting, 'timeoutMs'> = {}): Promise<void> {
    return silent(() => {
      checkWaiting(options);
      const { timeoutMs = Infinity } = options;
      return this.#parts.registry.close(timeoutMs);
    });
  }

  /** Done, and in the store. */
  #durably(name: string, work: (actor: Actor) => void): Promise<void> {
    return silent(async () => {
      const actor = this.#parts.registry.get(name);
      work(actor);
      await actor.saved();
    });
  }

  #withTimeout<T>(work: () => Promise<T>, waiting: Waiting): Promise<T> {
    checkWaiting(waiting);
    return withTimeout(work(), waiting, this.#parts.clock);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
