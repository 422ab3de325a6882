/** Starts agents again that have died: how soon, how often, and when no more. */
import { isAgentFlowError } from '../errors.js';
import type { AgentSpec } from './agent-spec.js';
import { isTakenOver } from './host-errors.js';
import type { HostContext } from './start-agent.js';

/** Starts an agent, as long as somebody wants it. */
type Begin = (spec: AgentSpec, isStillWanted: () => boolean) => Promise<unknown>;

/** A name whose agent has died and comes back. */
interface Restart {
  readonly cancel: () => void;
}

/** Starts agents again. */
export class Supervisor {
  readonly #context: Pick<HostContext, 'clock' | 'observers'>;
  readonly #begin: Begin;
  readonly #restarts = new Map<string, Restart>();
  /** When agents died, by name, in milliseconds since the Unix epoch; of those that are restarted. */
  readonly #deaths = new Map<string, number[]>();

  constructor(context: Pick<HostContext, 'clock' | 'observers'>, begin: Begin) {
    this.#context = context;
    this.#begin = begin;
  }

  /** It has died, and comes back. */
  isRestarting(name: string): boolean {
    return this.#restarts.has(name);
  }

  /** An agent has died: it comes back after a while, or has died too often. */
  restart(spec: AgentSpec): void {
    const { clock, observers } = this.#context;
    const { name } = spec.options;
    const { maxRestarts, withinMs, backoffMs, maxBackoffMs } = spec.policies.restartLimits;
    const now = clock.now();
    const deaths = [...(this.#deaths.get(name) ?? []), now].filter((at) => now - at < withinMs);
    this.#deaths.set(name, deaths);
    if (deaths.length > maxRestarts) {
      this.#deaths.delete(name);
      return;
    }
    const delayMs = Math.min(maxBackoffMs, backoffMs * 2 ** (deaths.length - 1));
    const restart = { cancel: clock.after(delayMs, () => void this.#restart(spec, restart), { keepAlive: true }) };
    this.#restarts.set(name, restart);
    observers.tell(name, { type: 'restarting', attempt: deaths.length, delayMs });
  }

  /** It is not to come back; false when it was not about to. */
  cancel(name: string): boolean {
    this.#restarts.get(name)?.cancel();
    return this.#restarts.delete(name);
  }

  /** Nobody is to come back. */
  cancelAll(): void {
    for (const { cancel } of this.#restarts.values()) cancel();
    this.#restarts.clear();
  }

  /** One that cannot even start has died again. */
  async #restart(spec: AgentSpec, restart: Restart): Promise<void> {
    const { name } = spec.options;
    const isStillWanted = () => this.#restarts.get(name) === restart;
    try {
      await this.#begin(spec, isStillWanted);
      this.#restarts.delete(name);
    } catch (cause) {
      // Who stopped it, or closed the host, meanwhile wants it no more.
      if (!isStillWanted()) return;
      this.#restarts.delete(name);
      if (isTakenOver(cause)) return;
      const told = isAgentFlowError(cause) ? { code: cause.code } : {};
      this.#context.observers.tell(name, { type: 'terminated', reason: 'crashed', ...told });
      this.restart(spec);
    }
  }
}
