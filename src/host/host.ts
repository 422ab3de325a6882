/**
 * Named agents with a mailbox each, in one process: the entry `genkitx-agent/host`.
 *
 * Inside, an `AgentHost` looks the name up in its `Registry`, whose `Supervisor` starts again what has died, and hands on
 * what `Admission` has let in. An `Actor` is its `Mailbox`, its `Lifecycle` (where it is in the table of `machine.ts`), the
 * `Callbacks` of its behaviour, and an `ActorLoop` that has its `Processor` do one thing at a time: a prompt goes through a
 * `TurnCycle`. What is to outlive the process goes into an `AgentMemory`.
 *
 * Source: `GenAgent`'s public functions and what they became; callers hold names, never objects.
 */
import { AgentHost } from './agent-host.js';
import type { AgentHostOptions } from './api.js';

export type { AgentStatus, RuntimeSnapshot } from './actor-parts.js';
export type { AgentBackendOptions, AnyAgent } from './agent-backend.js';
export type {
  AgentAddress,
  AgentHostOptions,
  AgentStartOptions,
  ArgsOption,
  PollResult,
  Restored,
  Revival,
  StartedAgent,
} from './api.js';
export {
  type Awaitable,
  type Behaviour,
  type Decision,
  defineBehaviour,
  type EndReason,
  halt,
  type Initial,
  noreply,
  type Origin,
  type PreTurnDecision,
  proceed,
  prompt,
  skip,
  type TurnInfo,
  type TurnOutcome,
} from './behaviour.js';
export { currentName } from './current.js';
export type { HostEvent, HostObserver, TurnFacts } from './events.js';
export type { GraphEdge } from './graph.js';
export { BudgetError, type BudgetFacts, OverloadedError, type OverloadFacts } from './host-errors.js';
export type { Budget, BudgetStatus } from './ledger.js';
export {
  type Consequence,
  type Happening,
  nextWork,
  type Phase,
  transition,
  transitions,
  type Work,
} from './machine.js';
export type { HostStore, KeptAgentInfo } from './memory.js';
export type { AgentPolicies, RestartLimits, StartOptions } from './options.js';
export { metricsObserver } from './otel.js';
export type { TurnResult } from './record.js';
export type { Asking, Completion, Following, Waiting } from './request.js';
export type { AgentHost };

/** Makes a host. Throws `INVALID_VALUE` for options that cannot be. */
export function createAgentHost(options: AgentHostOptions = {}): AgentHost {
  return new AgentHost(options);
}
