/** What people see of a host: how it and its agents are started, and what it answers. */
import type { Response } from '../backends/backend.js';
import type { AgentFlowError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import type { AgentBackendOptions, AnyAgent } from './agent-backend.js';
import type { AnyBehaviour } from './behaviour.js';
import type { HostObserver } from './events.js';
import type { Budget } from './ledger.js';
import type { HostStore } from './memory.js';
import type { AgentPolicies, StartOptions } from './options.js';

/** How a host is made. */
export interface AgentHostOptions {
  /** Where agents are remembered. Without it they live as long as the process. */
  readonly store?: HostStore;
  /** Whose memories these are in the store: a host of the same name takes them over, and fences its predecessor off. @default 'host' */
  readonly name?: string;
  /** What all agents together may spend. @default no limit */
  readonly budget?: Budget;
  /** Watches from the start; more can come with `observe`. */
  readonly onEvent?: HostObserver;
  /** Tells observers prompts, responses, events and states too. @default false */
  readonly content?: boolean;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** Where an agent is: its name, and an id that is unique to this life of it. */
export interface AgentAddress {
  readonly name: string;
  /** Names this life alone: the same name started again has another one. */
  readonly id: string;
}

/** What a started agent is told by. */
export interface StartedAgent extends AgentAddress {
  /** It was remembered: `init` did not run. */
  readonly resumed: boolean;
}

/** `args` must be given where `init` needs them. */
export type ArgsOption<Args> = undefined extends Args ? { readonly args?: Args } : { readonly args: Args };

/** How an agent of `defineAgent` is started under a name. */
export interface AgentStartOptions extends AgentPolicies, AgentBackendOptions {
  /** Unique in its host; any string but the empty one. */
  readonly name: string;
}

/** What became of a request. Source: `GenAgent.poll/3`. */
export type PollResult =
  /** It waits, or is answered just now. */
  | { readonly status: 'pending' }
  | { readonly status: 'completed'; readonly response: Response }
  | { readonly status: 'failed'; readonly error: AgentFlowError };

/** What a remembered agent is brought back with. */
export type Revival =
  | (Omit<StartOptions, 'name'> & { readonly behaviour: AnyBehaviour; readonly agent?: undefined })
  | (Omit<AgentStartOptions, 'name'> & { readonly agent: AnyAgent; readonly behaviour?: undefined });

/** What `restore` brought back, and what it could not. */
export interface Restored {
  /** Names of those that run again, in the order the store lists them. */
  readonly restored: readonly string[];
  /** Those that did not start, and why; they are remembered still. */
  readonly failed: readonly { readonly name: string; readonly error: unknown }[];
}
