/** Which agents there are, under which names; what becomes of a name when its agent ends; and agents that come back. */
import { AgentFlowError, InvalidValueError, isAgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import { frozenJson } from '../internal/json.js';
import type { Actor } from './actor.js';
import type { AgentParts } from './actor-parts.js';
import type { Restored } from './api.js';
import type { EndReason } from './behaviour.js';
import { terminated } from './host-errors.js';
import { type KeptAgentInfo, keptAgents } from './memory.js';
import { atMost } from './patience.js';
import { type Plan, type Started, type Surroundings, startAgent } from './starting.js';

/** A name whose agent has died and comes back. */
interface Restart {
  readonly cancel: () => void;
}

/** A start, or a restart, that is under way. */
interface Beginning {
  readonly plan: Plan;
  /** Resolves when nothing of it goes on. */
  readonly work: Promise<void>;
  readonly outcome: Deferred<Started>;
}

/** Which agents there are. */
export class Roster {
  readonly #surroundings: Surroundings;
  readonly #actors = new Map<string, Actor>();
  readonly #starting = new Set<string>();
  readonly #restarts = new Map<string, Restart>();
  readonly #beginnings = new Set<Beginning>();
  /** When agents died, by name, in milliseconds since the Unix epoch; of those that are restarted. */
  readonly #deaths = new Map<string, number[]>();
  /** Agents whose earlier spending is in the host's account already. */
  readonly #charged = new Set<string>();
  #isClosed = false;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
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
    if (this.#restarts.has(name))
      throw new AgentFlowError('AGENT_RESTARTING', `The agent "${name}" has died and is being restarted`);
    throw notFound(name);
  }

  /** Rejects with `AGENT_EXISTS`, `HOST_CLOSED`, and whatever keeps the agent from starting. */
  async start(plan: Plan): Promise<Started> {
    const { name } = plan.options;
    if (this.#isClosed) throw new AgentFlowError('HOST_CLOSED', 'The host is closed');
    if (this.#isTaken(name)) throw exists(name);
    if (plan.policies.restartsOnCrash && this.#surroundings.store === undefined)
      throw new AgentFlowError('NO_STORE', "restart: 'on-crash' needs a host with a store");
    this.#starting.add(name);
    try {
      return await this.#begin(plan);
    } finally {
      this.#starting.delete(name);
    }
  }

  /** Every agent that is remembered and does not run. */
  async kept(): Promise<readonly KeptAgentInfo[]> {
    const { store } = this.#surroundings;
    if (store === undefined) throw new AgentFlowError('NO_STORE', 'A host without a store remembers nothing');
    const kept = await keptAgents(store);
    return kept.filter(({ name }) => !this.#actors.has(name));
  }

  /** Starts every remembered agent that gets a plan. One that does not start leaves the others alone. */
  async restore(plan: (kept: KeptAgentInfo) => Plan | undefined): Promise<Restored> {
    const restored: string[] = [];
    const failed: { name: string; error: unknown }[] = [];
    for (const kept of await this.kept()) {
      try {
        if (kept.error !== undefined) throw kept.error;
        const own = plan(kept);
        if (own === undefined) continue;
        await this.start(own);
        restored.push(kept.name);
      } catch (error) {
        failed.push({ name: kept.name, error });
      }
    }
    return { restored, failed };
  }

  /** Ends an agent for good, also one that is about to come back. */
  async stop(name: string): Promise<void> {
    const restart = this.#restarts.get(name);
    if (restart === undefined) return this.get(name).end('stopped');
    restart.cancel();
    this.#restarts.delete(name);
    await this.#surroundings.store?.delete(name);
  }

  /** Erases what is remembered of an agent that does not run. */
  async forget(name: string): Promise<void> {
    const { store } = this.#surroundings;
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
    for (const { cancel } of this.#restarts.values()) cancel();
    this.#restarts.clear();
    const actors = [...this.#actors.values()];
    const endAll = () => void Promise.all(actors.map((actor) => actor.end('closed')));
    const { clock } = this.#surroundings;
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
    if (this.#surroundings.store === undefined || typeof value === 'string') return value;
    const copy = frozenJson(value, ({ path, received }) => {
      throw new InvalidValueError('input', [{ path, expected: 'JSON, because the host has a store', received }]);
    });
    return copy as Value;
  }

  #isTaken(name: string): boolean {
    return this.#actors.has(name) || this.#starting.has(name) || this.#restarts.has(name);
  }

  #begin(plan: Plan, isStillWanted = () => true): Promise<Started> {
    const outcome = new Deferred<Started>();
    const work = this.#brought(plan, isStillWanted).then(outcome.resolve, outcome.reject);
    const beginning = { plan, work, outcome };
    this.#beginnings.add(beginning);
    void work.then(() => this.#beginnings.delete(beginning));
    return outcome.promise;
  }

  /** Whoever waits for a start that takes too long is told; should it get there all the same, it is ended then. */
  async #endOf({ plan, work, outcome }: Beginning, timeoutMs: number): Promise<void> {
    const { options, policies } = plan;
    await atMost(Math.min(policies.shutdownMs, timeoutMs), work, this.#surroundings.clock);
    outcome.reject(terminated(options.name, 'closed'));
  }

  async #brought(plan: Plan, isStillWanted: () => boolean): Promise<Started> {
    const { name } = plan.options;
    const endsAs = () => (this.#isClosed ? 'closed' : isStillWanted() ? undefined : 'stopped');
    const assertWanted = () => {
      const reason = endsAs();
      if (reason !== undefined) throw terminated(name, reason);
    };
    const started = await startAgent(plan, this.#surroundings, this.#onEnd, assertWanted);
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
    const { store, ledgers } = this.#surroundings;
    if (store === undefined || this.#charged.has(name)) return;
    this.#charged.add(name);
    if (resumed) for (const ledger of ledgers) ledger.charge(actor.record.totals);
  }

  readonly #onEnd = async (parts: AgentParts, reason: EndReason, cause: unknown): Promise<void> => {
    const { name, memory } = parts;
    const plan = parts.plan as Plan;
    const { restartsOnCrash } = plan.policies;
    const comesBack = reason === 'crashed' && restartsOnCrash && !this.#isClosed && !isTakenOver(cause);
    // One that could not even begin has nothing to come back to. What failed in the store is left as it is.
    const isStillborn = reason === 'crashed' && !restartsOnCrash && !isStoreFailure(cause) && !memory?.kept?.hasRun;
    const isErased = reason === 'stopped' || reason === 'drained' || isStillborn;
    await (isErased ? memory?.erase() : memory?.release())?.catch(() => {});
    if (this.#actors.get(name)?.parts === parts) this.#actors.delete(name);
    if (comesBack) this.#planRestart(plan);
  };

  #planRestart(plan: Plan): void {
    const { clock, observers } = this.#surroundings;
    const { name } = plan.options;
    const { maxRestarts, withinMs, backoffMs, maxBackoffMs } = plan.policies.restartLimits;
    const now = clock.now();
    const deaths = [...(this.#deaths.get(name) ?? []), now].filter((at) => now - at < withinMs);
    this.#deaths.set(name, deaths);
    if (deaths.length > maxRestarts) {
      this.#deaths.delete(name);
      return;
    }
    const delayMs = Math.min(maxBackoffMs, backoffMs * 2 ** (deaths.length - 1));
    const restart = { cancel: clock.after(delayMs, () => void this.#restart(plan, restart), { keepAlive: true }) };
    this.#restarts.set(name, restart);
    observers.tell(name, { type: 'restarting', attempt: deaths.length, delayMs });
  }

  /** One that cannot even start has died again. */
  async #restart(plan: Plan, restart: Restart): Promise<void> {
    const { name } = plan.options;
    const isStillWanted = () => this.#restarts.get(name) === restart;
    try {
      await this.#begin(plan, isStillWanted);
      this.#restarts.delete(name);
    } catch (cause) {
      // Who stopped it, or closed the host, meanwhile wants it no more.
      if (!isStillWanted()) return;
      this.#restarts.delete(name);
      if (isTakenOver(cause)) return;
      const told = isAgentFlowError(cause) ? { code: cause.code } : {};
      this.#surroundings.observers.tell(name, { type: 'terminated', reason: 'crashed', ...told });
      this.#planRestart(plan);
    }
  }
}

function notFound(name: string): AgentFlowError {
  return new AgentFlowError('AGENT_NOT_FOUND', `There is no agent "${name}"`, { details: { agent: name } });
}

function exists(name: string): AgentFlowError {
  return new AgentFlowError('AGENT_EXISTS', `There is an agent "${name}" already`, { details: { agent: name } });
}

function isTakenOver(cause: unknown): boolean {
  return isAgentFlowError(cause) && (cause.code === 'LEASE_LOST' || cause.code === 'SESSION_CONFLICT');
}

function isStoreFailure(cause: unknown): boolean {
  return isTakenOver(cause) || (isAgentFlowError(cause) && cause.code.startsWith('STORE_'));
}
