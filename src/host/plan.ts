/** What is needed to start an agent, checked. */
import { type AnyAgent, agentBackend } from './agent-backend.js';
import type { AgentStartOptions, Revival } from './api.js';
import { defineBehaviour, noreply } from './behaviour.js';
import type { AnyBehaviour } from './mind.js';
import { checkStart, invalid, policiesOf, type StartOptions } from './options.js';
import type { Plan } from './starting.js';

/** Checks what an agent is started with. Throws `INVALID_VALUE`. */
export function planOf(behaviour: AnyBehaviour, options: StartOptions & { readonly args?: unknown }): Plan {
  checkStart(options);
  for (const callback of ['init', 'handleResponse'] as const) {
    if (typeof behaviour?.[callback] !== 'function')
      throw invalid(callback, 'a function', typeof behaviour?.[callback]);
  }
  return { behaviour, args: options.args, options, policies: policiesOf(options) };
}

/** An agent of `defineAgent` does its own thinking: its turns are all there is. */
const plain = defineBehaviour({
  name: 'agent',
  init: () => ({ state: null }),
  handleResponse: (_ref, _response, state) => noreply(state),
});

/** Checks what an agent of `defineAgent` is started with. Throws `INVALID_VALUE`. */
export function planOfAgent(agent: AnyAgent, options: AgentStartOptions): Plan {
  return planOf(plain as AnyBehaviour, { ...options, backend: agentBackend(agent, options) });
}

/** Checks what a remembered agent is brought back with. Throws `INVALID_VALUE`. */
export function planOfRevival(revival: Revival | undefined, name: string): Plan | undefined {
  if (revival === undefined) return undefined;
  const { behaviour, ...options } = revival;
  return planOf(behaviour, { ...options, name });
}
