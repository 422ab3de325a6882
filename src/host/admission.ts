/** Where prompts and events come in: checked, counted in the graph, told when refused. */
import type { Prompt } from '../backends/backend.js';
import { AgentFlowError, InvalidValueError, toAgentFlowError } from '../errors.js';
import type { Actor } from './actor.js';
import { isPrompt } from './callbacks.js';
import { currentNameIn } from './current.js';
import type { Observers } from './events.js';
import type { Graph } from './graph.js';
import { checkFollowing, checkWaiting, kindOf } from './options.js';
import type { Registry } from './registry.js';
import type { Asking, Request } from './request.js';

/** Where prompts and events come in. */
export class Admission {
  readonly #registry: Registry;
  readonly #observers: Observers;
  readonly #graph: Graph;
  /** The host. */
  readonly #owner: string;

  constructor(registry: Registry, observers: Observers, graph: Graph, owner: string) {
    this.#owner = owner;
    this.#registry = registry;
    this.#observers = observers;
    this.#graph = graph;
  }

  /** Hands a prompt to an agent. Throws what refuses it, and the reason of a signal that has fired. */
  admit(actor: Actor, name: string, origin: 'ask' | 'tell', prompt: Prompt, asking: Asking): Request {
    try {
      if (!isPrompt(prompt)) throw new InvalidValueError('input', [promptIssue(prompt)]);
      checkFollowing(asking);
      checkWaiting(asking);
      const taken = this.#registry.taken(prompt);
      asking.signal?.throwIfAborted();
      const request = actor.admit(origin, taken, asking);
      this.#graph.add(this.currentName, name, origin);
      return request;
    } catch (error) {
      throw this.#rejected(name, origin, error);
    }
  }

  /** Hands an event to an agent. Throws what refuses it. */
  notify(name: string, event: unknown, isAwaited: boolean) {
    const actor = this.#registry.get(name);
    try {
      const notified = actor.notify(this.#registry.taken(event), isAwaited);
      this.#graph.add(this.currentName, name, 'notify');
      return { actor, ...notified };
    } catch (error) {
      throw this.#rejected(name, 'notify', error);
    }
  }

  /** The agent of this host whose callback is running. */
  get currentName(): string | undefined {
    return currentNameIn(this.#owner);
  }

  #rejected(name: string, input: 'ask' | 'tell' | 'notify', error: unknown): unknown {
    const { code } = toAgentFlowError(error);
    this.#observers.tell(name, { type: 'input.rejected', input, code });
    return error;
  }

  /** What waits for an agent, called by that agent, would wait for ever. */
  notItself(name: string, what: string): Actor {
    const actor = this.#registry.get(name);
    if (this.currentName !== name) return actor;
    throw new AgentFlowError('AGENT_SELF_CALL', `The agent "${name}" cannot ${what} itself from its own callback`);
  }
}

function promptIssue(prompt: unknown) {
  return { path: 'prompt', expected: 'text or parts', received: kindOf(prompt) };
}
