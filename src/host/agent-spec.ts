/** What is needed to start an agent, and to start it again: checked, once. */
import { type AnyAgent, agentBackend } from './agent-backend.js';
import type { AgentStartOptions, Revival } from './api.js';
import { type AnyBehaviour, defineBehaviour, noreply } from './behaviour.js';
import { assertOptions, checkStart, invalid, kindOf, type Policies, policiesOf, type StartOptions } from './options.js';

/** What is needed to start an agent, and to start it again. */
export interface AgentSpec {
  readonly behaviour: AnyBehaviour;
  readonly args: unknown;
  readonly options: StartOptions;
  readonly policies: Policies;
}

const required = ['init', 'handleResponse'] as const;
const optional = [
  ...(['handleError', 'handleEvent', 'handleStreamEvent'] as const),
  ...(['preRun', 'preTurn', 'postTurn', 'postRun', 'terminate'] as const),
];

/** Checks what an agent is started with. Throws `INVALID_VALUE`. */
export function specOf(what: AnyBehaviour | AnyAgent, options: StartOptions | AgentStartOptions): AgentSpec {
  if (typeof what !== 'object' || what === null) throw invalid('', 'a behaviour or an agent', kindOf(what));
  return 'streamBidi' in what ? specOfAgent(what, options) : specOfBehaviour(what, options as StartOptions);
}

function specOfBehaviour(behaviour: AnyBehaviour, options: StartOptions & { readonly args?: unknown }): AgentSpec {
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

function specOfAgent(agent: AnyAgent, options: AgentStartOptions): AgentSpec {
  assertOptions('', options);
  return specOfBehaviour(plain as AnyBehaviour, { ...options, backend: agentBackend(agent, options) });
}

/** Checks what a remembered agent is brought back with. Throws `INVALID_VALUE`. */
export function specOfRevival(revival: Revival | undefined, name: string): AgentSpec | undefined {
  if (revival === undefined) return undefined;
  const { behaviour, agent, ...options } = revival;
  return specOf(agent ?? behaviour, { ...options, name });
}
