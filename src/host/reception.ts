/** Where prompts and events come in: checked, counted in the graph, told when refused. */
import type { Prompt } from '../backends/backend.js';
import { AgentFlowError, InvalidValueError, toAgentFlowError } from '../errors.js';
import type { Actor } from './actor.js';
import { currentName } from './current.js';
import type { Observers } from './events.js';
import type { Graph } from './graph.js';
import { isPrompt } from './mind.js';
import type { Following, Request } from './request.js';
import type { Roster } from './roster.js';

/** Where prompts and events come in. */
export class Reception {
  readonly #roster: Roster;
  readonly #observers: Observers;
  readonly #graph: Graph;

  constructor(roster: Roster, observers: Observers, graph: Graph) {
    this.#roster = roster;
    this.#observers = observers;
    this.#graph = graph;
  }

  /** Hands a prompt to an agent. Throws what refuses it. */
  admit(actor: Actor, name: string, origin: 'ask' | 'tell', prompt: Prompt, following: Following): Request {
    this.#graph.add(currentName(), name, origin);
    try {
      if (!isPrompt(prompt)) throw new InvalidValueError('input', [promptIssue(prompt)]);
      this.#roster.assertCanBeKept(prompt);
      return actor.admit(origin, prompt, following);
    } catch (error) {
      throw this.#rejected(name, origin, error);
    }
  }

  /** Hands an event to an agent. Throws what refuses it. */
  notify(name: string, event: unknown, isAwaited: boolean) {
    const actor = this.#roster.get(name);
    this.#graph.add(currentName(), name, 'notify');
    try {
      this.#roster.assertCanBeKept(event);
      return { actor, ...actor.notify(event, isAwaited) };
    } catch (error) {
      throw this.#rejected(name, 'notify', error);
    }
  }

  #rejected(name: string, input: 'ask' | 'tell' | 'notify', error: unknown): unknown {
    const { code } = toAgentFlowError(error);
    this.#observers.tell(name, { type: 'input.rejected', input, code });
    return error;
  }

  /** What waits for an agent, called by that agent, would wait for ever. */
  notItself(name: string, what: string): Actor {
    const actor = this.#roster.get(name);
    if (currentName() !== name) return actor;
    throw new AgentFlowError('AGENT_SELF_CALL', `The agent "${name}" cannot ${what} itself from its own callback`);
  }
}

function promptIssue(prompt: unknown) {
  return { path: 'prompt', expected: 'text or parts', received: prompt === null ? 'null' : typeof prompt };
}
