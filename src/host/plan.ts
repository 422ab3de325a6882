/** What is needed to start an agent, checked. */
import { type AnyAgent, agentBackend } from './agent-backend.js';
import type { AgentStartOptions, Revival } from './api.js';
import { defineBehaviour, noreply } from './behaviour.js';
import type { AnyBehaviour } from './mind.js';
import { assertOptions, checkStart, invalid, kindOf, policiesOf, type StartOptions } from './options.js';
import type { Plan } from './starting.js';

const required = ['init', 'handleResponse'] as const;
const optional = [
  ...(['handleError', 'handleEvent', 'handleStreamEvent'] as const),
  ...(['preRun', 'preTurn', 'postTurn', 'postRun', 'terminate'] as const),
];

/** Checks what an agent is started with. Throws `INVALID_VALUE`. */
export function planOf(what: AnyBehaviour | AnyAgent, options: StartOptions | AgentStartOptions): Plan {
  if (typeof what !== 'object' || what === null) throw invalid('', 'a behaviour or an agent', kindOf(what));
  return 'streamBidi' in what ? planOfAgent(what, options) : planOfBehaviour(what, options as StartOptions);
}

function planOfBehaviour(behaviour: AnyBehaviour, options: StartOptions & { readonly args?: unknown }): Plan {
  checkStart(options);
  for (const callback of required) {
    if (typeof behaviour[callback] !== 'function') throw invalid(callback, 'a function', kindOf(behaviour[callback]));
  }
  for (const callback of optional) {
    const given: unknown = behaviour[callback];
    if (given !== undefined && typeof given !== 'function')
      throw invalid(callback, 'a function, or nothing', kindOf(given));
  }
  return { behaviour, args: options.args, options, policies: policiesOf(options) };
}

/** An agent of `defineAgent` does its own thinking: its turns are all there is. */
const plain = defineBehaviour({
  name: 'agent',
  init: () => ({ state: null }),
  handleResponse: (_ref, _response, state) => noreply(state),
});

function planOfAgent(agent: AnyAgent, options: AgentStartOptions): Plan {
  assertOptions('', options);
  return planOfBehaviour(plain as AnyBehaviour, { ...options, backend: agentBackend(agent, options) });
}

/** Checks what a remembered agent is brought back with. Throws `INVALID_VALUE`. */
export function planOfRevival(revival: Revival | undefined, name: string): Plan | undefined {
  if (revival === undefined) return undefined;
  const { behaviour, agent, ...options } = revival;
  return planOf(agent ?? behaviour, { ...options, name });
}
