/** Which agents there are, under which names: how they start, what becomes of a name when its agent ends. */
import { AgentFlowError, InvalidValueError, isAgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import { frozenJson } from '../internal/json.js';
import type { Actor } from './actor.js';
import type { AgentParts } from './actor-parts.js';
import type { AgentSpec } from './agent-spec.js';
import type { Restored } from './api.js';
import type { EndReason } from './behaviour.js';
import { isTakenOver, terminated } from './host-errors.js';
import { type KeptAgentInfo, keptAgents } from './memory.js';
import { type HostContext, type Started, startAgent } from './start-agent.js';
import { Supervisor } from './supervisor.js';
import { settledWithin } from './timeouts.js';

/** A start, or a restart, that is under way. */
interface Beginning {
  readonly spec: AgentSpec;
  /** Resolves when nothing of it goes on. */
  readonly work: Promise<void>;
  readonly outcome: Deferred<Started>;
}

/** Which agents there are. */
export class Registry {
  readonly #context: HostContext;
  readonly #actors = new Map<string, Actor>();
  readonly #starting = new Set<string>();
  readonly #beginnings = new Set<Beginning>();
  readonly #supervisor: Supervisor;
  /** Agents whose earlier spending is in the host's account already. */
  readonly #charged = new Set<string>();
  #isClosed = false;

  constructor(context: HostContext) {
    this.#context = context;
    this.#supervisor = new Supervisor(context, (spec, isStillWanted) => this.#begin(spec, isStillWanted));
  }

  get names(): string[] {
    return [...this.#actors.keys()];
  }

  find(name: string): Actor | undefined {
    return this.#actors.get(name);
  }

  /** Throws `AGENT_NOT_FOUND`, or `AGENT_RESTARTING` for one that comes back soon. */
  get(name: string): Actor {
    const actor = this.#actors.get(name);
    if (actor !== undefined) return actor;
    if (this.#supervisor.isRestarting(name))
      throw new AgentFlowError('AGENT_RESTARTING', `The agent "${name}" has died and is being restarted`);
    throw notFound(name);
  }

  /** Rejects with `AGENT_EXISTS`, `HOST_CLOSED`, and whatever keeps the agent from starting. */
  async start(spec: AgentSpec): Promise<Started> {
    const { name } = spec.options;
    if (this.#isClosed) throw new AgentFlowError('HOST_CLOSED', 'The host is closed');
    if (this.#isTaken(name)) throw exists(name);
    if (spec.policies.restartsOnCrash && this.#context.store === undefined)
      throw new AgentFlowError('NO_STORE', "restart: 'on-crash' needs a host with a store");
    this.#starting.add(name);
    try {
      return await this.#begin(spec);
    } finally {
      this.#starting.delete(name);
    }
  }

  /** Every agent that is remembered and does not run. */
  async kept(): Promise<readonly KeptAgentInfo[]> {
    const { store } = this.#context;
    if (store === undefined) throw new AgentFlowError('NO_STORE', 'A host without a store remembers nothing');
    const kept = await keptAgents(store);
    return kept.filter(({ name }) => !this.#actors.has(name));
  }

  /** Starts every remembered agent that gets a spec. One that does not start leaves the others alone. */
  async restore(specOf: (kept: KeptAgentInfo) => AgentSpec | undefined): Promise<Restored> {
    const restored: string[] = [];
    const failed: { name: string; error: unknown }[] = [];
    for (const kept of await this.kept()) {
      try {
        if (kept.error !== undefined) throw kept.error;
        const spec = specOf(kept);
        if (spec === undefined) continue;
        await this.start(spec);
        restored.push(kept.name);
      } catch (error) {
        failed.push({ name: kept.name, error });
      }
    }
    return { restored, failed };
  }

  /** Ends an agent for good, also one that is about to come back. */
  async stop(name: string): Promise<void> {
    if (!this.#supervisor.cancel(name)) return this.get(name).end('stopped');
    await this.#context.store?.delete(name);
  }

  /** Erases what is remembered of an agent that does not run. */
  async forget(name: string): Promise<void> {
    const { store } = this.#context;
    if (store === undefined) throw new AgentFlowError('NO_STORE', 'A host without a store remembers nothing');
    if (this.#isTaken(name)) throw exists(name);
    if ((await store.load(name)) === undefined) throw notFound(name);
    await store.delete(name);
  }

  /**
   * Lets every turn in flight end, for at most so many milliseconds, and takes nothing new. What is just being started goes
   * no further than the step it is at, and that has the time a callback has at the end.
   */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    this.#supervisor.cancelAll();
    const actors = [...this.#actors.values()];
    const endAll = () => void Promise.all(actors.map((actor) => actor.end('closed')));
    const { clock } = this.#context;
    const cancel = timeoutMs === Infinity ? () => {} : clock.after(timeoutMs, endAll, { keepAlive: true });
    const starts = [...this.#beginnings].map((beginning) => this.#endOf(beginning, timeoutMs));
    await Promise.all([...starts, ...actors.map((actor) => actor.drain('closed'))]);
    cancel();
  }

  /**
   * What is handed in, as it is taken. With a store it must be JSON, and is a copy: what was remembered is what will be
   * heard. Throws `INVALID_VALUE`.
   */
  taken<Value>(value: Value): Value {
    if (this.#context.store === undefined || typeof value === 'string') return value;
    const copy = frozenJson(value, ({ path, received }) => {
      throw new InvalidValueError('input', [{ path, expected: 'JSON, because the host has a store', received }]);
    });
    return copy as Value;
  }

  #isTaken(name: string): boolean {
    return this.#actors.has(name) || this.#starting.has(name) || this.#supervisor.isRestarting(name);
  }

  #begin(spec: AgentSpec, isStillWanted = () => true): Promise<Started> {
    const outcome = new Deferred<Started>();
    const work = this.#startAndAdd(spec, isStillWanted).then(outcome.resolve, outcome.reject);
    const beginning = { spec, work, outcome };
    this.#beginnings.add(beginning);
    void work.then(() => this.#beginnings.delete(beginning));
    return outcome.promise;
  }

  /** Whoever waits for a start that takes too long is told; should it get there all the same, it is ended then. */
  async #endOf({ spec, work, outcome }: Beginning, timeoutMs: number): Promise<void> {
    const { options, policies } = spec;
    await settledWithin(Math.min(policies.shutdownMs, timeoutMs), work, this.#context.clock);
    outcome.reject(terminated(options.name, 'closed'));
  }

  async #startAndAdd(spec: AgentSpec, isStillWanted: () => boolean): Promise<Started> {
    const { name } = spec.options;
    const endsAs = () => (this.#isClosed ? 'closed' : isStillWanted() ? undefined : 'stopped');
    const assertWanted = () => {
      const reason = endsAs();
      if (reason !== undefined) throw terminated(name, reason);
    };
    const started = await startAgent(spec, this.#context, this.#onEnd, assertWanted);
    const reason = endsAs();
    if (reason !== undefined) {
      await started.actor.end(reason);
      throw terminated(name, reason);
    }
    this.#charge(name, started);
    this.#actors.set(name, started.actor);
    started.actor.begin(started.resumed);
    return started;
  }

  /** What an agent has spent in earlier processes is spent of the host's budget too. */
  #charge(name: string, { actor, resumed }: Started): void {
    const { store, ledgers } = this.#context;
    if (store === undefined || this.#charged.has(name)) return;
    this.#charged.add(name);
    if (resumed) for (const ledger of ledgers) ledger.charge(actor.record.totals);
  }

  readonly #onEnd = async (parts: AgentParts, reason: EndReason, cause: unknown): Promise<void> => {
    const { name, memory, spec } = parts;
    const { restartsOnCrash } = parts.policies;
    const comesBack = reason === 'crashed' && restartsOnCrash && !this.#isClosed && !isTakenOver(cause);
    // One that could not even begin has nothing to come back to. What failed in the store is left as it is.
    const isStillborn = reason === 'crashed' && !restartsOnCrash && !isStoreFailure(cause) && !memory?.kept?.hasRun;
    const isErased = reason === 'stopped' || reason === 'drained' || isStillborn;
    await (isErased ? memory?.erase() : memory?.release())?.catch(() => {});
    if (this.#actors.get(name)?.parts === parts) this.#actors.delete(name);
    if (comesBack) this.#supervisor.restart(spec);
  };
}

function notFound(name: string): AgentFlowError {
  return new AgentFlowError('AGENT_NOT_FOUND', `There is no agent "${name}"`, { details: { agent: name } });
}

function exists(name: string): AgentFlowError {
  return new AgentFlowError('AGENT_EXISTS', `There is an agent "${name}" already`, { details: { agent: name } });
}

function isStoreFailure(cause: unknown): boolean {
  return isTakenOver(cause) || (isAgentFlowError(cause) && cause.code.startsWith('STORE_'));
}
