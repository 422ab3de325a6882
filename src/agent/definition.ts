/** An agent's configuration with its defaults filled in and checked, once, where the agent is defined. */
import { AgentInitSchema } from '../../schemas/index.js';
import { z } from '../../schemas/zod.js';
import type { SendPolicy } from '../connection/connection.js';
import { sendPolicies } from '../connection/run-connection.js';
import { assertFunction, assertHas, assertObject, assertOptions, assertSignal } from '../errors/options.js';
import { InvalidValueError, toAgentFlowError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import type { BusySessionPolicy } from '../session/lease.js';
import type { StateRules } from '../session/open-session.js';
import type { SessionStore } from '../session/store.js';
import type { AgentConfig, StreamBidiOptions } from './agent.js';
import { assertOneOf, assertWhole, assertZod3, checked } from './checks.js';
import { stateRules } from './state-rules.js';

/** What every run of an agent has in common. */
export interface AgentDefinition {
  readonly name: string;
  readonly inputSchema: z.ZodTypeAny;
  readonly streamSchema: z.ZodTypeAny;
  readonly outputSchema: z.ZodTypeAny;
  readonly stateSchema: z.ZodTypeAny;
  readonly state: StateRules;
  readonly store: SessionStore | undefined;
  readonly onBusySession: BusySessionPolicy;
  readonly sendPolicy: SendPolicy;
  readonly keepVersions: number | undefined;
  readonly maxBufferedChunks: number;
  readonly replayChunks: number;
  readonly maxQueuedInputs: number;
  readonly leaseTtlMs: number;
  readonly abortGraceMs: number;
  readonly clock: Clock;
}

/** Timers take no longer time: they would fire at once. */
const longestTimerMs = 2 ** 31 - 1;

const busySessionPolicies: readonly BusySessionPolicy[] = ['queue', 'reject', 'takeover'];

/** Throws `InvalidValueError` for a policy there is not. */
function assertPolicies({ onBusySession, sendPolicy }: { onBusySession?: unknown; sendPolicy?: unknown }): void {
  assertOneOf(onBusySession, 'onBusySession', busySessionPolicies);
  assertOneOf(sendPolicy, 'sendPolicy', sendPolicies);
}

/** Throws `InvalidValueError` for what no run can be opened with; `init` is checked when it is known to be needed. */
export function assertOpening(options: StreamBidiOptions<unknown>): void {
  assertOptions(options);
  const { sessionId, version, context, abortSignal, onTraceStart } = readOpening(options);
  checked(AgentInitSchema, { sessionId, version }, 'option');
  assertPolicies(options);
  assertOptions(context, 'context');
  if (onTraceStart !== undefined) assertFunction(onTraceStart, 'onTraceStart');
  assertSignal(abortSignal, 'abortSignal');
}

/** Options may have getters, and what these throw is told as what a handler throws. */
function readOpening(options: StreamBidiOptions<unknown>) {
  try {
    const { sessionId, version, context, abortSignal, onTraceStart } = options;
    return { sessionId, version, context, abortSignal, onTraceStart };
  } catch (error) {
    throw toAgentFlowError(error);
  }
}

/** Fills in the defaults. Throws `InvalidValueError` and `INVALID_SCHEMA` for a configuration that cannot work. */
export function agentDefinition(config: AgentConfig): AgentDefinition {
  assertObject(config, 'config');
  const {
    name,
    inputSchema = z.unknown(),
    streamSchema = z.unknown(),
    outputSchema = z.unknown(),
    stateSchema = z.record(z.unknown()).default({}),
    initialState,
    migrate,
    toInput,
    toChunk,
    store,
    onBusySession = 'queue',
    sendPolicy = 'queue',
    keepVersions,
    maxBufferedChunks = 1_024,
    replayChunks = 10_000,
    maxQueuedInputs = 10_000,
    leaseTtlMs = 15_000,
    abortGraceMs = 1_000,
    clock = systemClock,
  } = config;
  const schemas = { inputSchema, streamSchema, outputSchema, stateSchema };
  if (typeof name !== 'string' || name === '') {
    throw new InvalidValueError('option', [{ path: 'name', expected: 'a non-empty string', received: typeof name }]);
  }
  for (const [option, schema] of Object.entries(schemas)) assertZod3(schema, option);
  const bounds = { keepVersions, maxBufferedChunks, maxQueuedInputs };
  for (const [option, value] of Object.entries(bounds)) assertWhole(value, option, 1);
  assertWhole(replayChunks, 'replayChunks', 0);
  assertWhole(leaseTtlMs, 'leaseTtlMs', 1, longestTimerMs);
  assertWhole(abortGraceMs, 'abortGraceMs', 0, longestTimerMs);
  assertPolicies({ onBusySession, sendPolicy });
  assertHas(store, 'store', ['acquire', 'load', 'save'], 'a SessionStore');
  assertHas(clock, 'clock', ['now', 'after'], 'a Clock');
  for (const [option, value] of Object.entries({ migrate, toInput, toChunk })) {
    if (value !== undefined) assertFunction(value, option);
  }
  const state = stateRules({ schema: stateSchema, initialState, migrate });
  const policies = { onBusySession, sendPolicy, store };
  return {
    name,
    ...schemas,
    state,
    ...policies,
    keepVersions,
    maxBufferedChunks,
    replayChunks,
    maxQueuedInputs,
    leaseTtlMs,
    abortGraceMs,
    clock,
  };
}
