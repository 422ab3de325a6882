/** How an agent comes to be: from its behaviour's `init`, or from what an earlier process remembered of it. */
import type { BackendSessionOptions, Message, Prompt } from '../backends/backend.js';
import { AgentFlowError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import { Actor } from './actor.js';
import type { AgentParts } from './actor-parts.js';
import type { AgentSpec } from './agent-spec.js';
import { closeSession, reopenSession, startSession } from './backend-sessions.js';
import type { AnyBehaviour, Initial } from './behaviour.js';
import { frozenState } from './callbacks.js';
import { lastRound, unfinishedTurn } from './calls.js';
import { type Runner, runAs } from './current.js';
import type { Observers } from './events.js';
import { messageOf } from './host-errors.js';
import { Ledger } from './ledger.js';
import { Mailbox } from './mailbox.js';
import { AgentMemory, type HostStore, inOrder, type KeptAgent, type KeptRequest } from './memory.js';
import { AgentRecord, fromKeptOutcome } from './record.js';
import type { Request } from './request.js';

/** What every agent of a host has in common. */
export interface HostContext {
  readonly clock: Clock;
  readonly observers: Observers;
  /** The host's own budget. */
  readonly ledgers: readonly Ledger[];
  readonly store: HostStore | undefined;
  /** Unique to this host in this process: whose memories these are. */
  readonly owner: string;
}

/** Throws why nobody wants the agent any more. */
type AssertWanted = () => void;

/** An agent that is ready to begin. */
export interface Started {
  readonly actor: Actor;
  /** It was remembered. */
  readonly resumed: boolean;
}

/**
 * Makes an agent. Rejects with `AGENT_INIT_FAILED`, `BACKEND_START_FAILED` and the store's errors; then nothing is left.
 *
 * Source: `GenAgent.start_agent/2`: `init_agent`, then `start_session`; a remembered agent has both behind it.
 */
export async function startAgent(
  spec: AgentSpec,
  context: HostContext,
  onEnd: AgentParts['onEnd'],
  assertWanted: AssertWanted,
): Promise<Started> {
  const { store, owner } = context;
  const { name } = spec.options;
  const memory = store === undefined ? undefined : await AgentMemory.open(store, name, owner);
  try {
    assertWanted();
    const kept = memory?.kept;
    const common = commonParts(spec, context, memory, onEnd, kept?.totals);
    const actor =
      kept === undefined
        ? await freshActor(spec, common, assertWanted)
        : await keptActor(spec, common, kept, () => context.observers.tell(name, { type: 'session.lost' }));
    return { actor, resumed: kept !== undefined };
  } catch (error) {
    await memory?.release().catch(() => {});
    throw error;
  }
}

type CommonParts = Omit<AgentParts, 'sessionOptions' | 'hasRun' | 'lost'>;

async function freshActor(spec: AgentSpec, common: CommonParts, assertWanted: AssertWanted): Promise<Actor> {
  const { behaviour, options, args } = spec;
  const { memory } = common;
  const { state, session: sessionOptions } = await initOf(behaviour, common, args);
  if (memory !== undefined) assertIsJson(state, common.name);
  assertWanted();
  const session = await startSession(options.backend, sessionOptions);
  try {
    await memory?.begin({
      format: 1,
      behaviour: behaviour.name ?? null,
      session: sessionOptions ?? null,
      sessionId: null,
      state: state ?? null,
      hasRun: behaviour.preRun === undefined,
      halted: false,
      current: null,
      chain: null,
      calls: [],
      totals: { usd: 0, tokens: 0, turns: 0, ended: 0 },
      requests: {},
      notifications: {},
      results: {},
      history: {},
      messages: {},
    });
  } catch (error) {
    await closeSession(options.backend, session);
    throw error;
  }
  const parts = { ...common, sessionOptions, hasRun: false, lost: undefined };
  return new Actor(parts, { state, session, isHalted: false, results: [] });
}

/** In the place it had: what was in flight first, then the self-chain, then the queue. */
async function keptActor(
  spec: AgentSpec,
  common: CommonParts,
  kept: KeptAgent,
  onLostSession: () => void,
): Promise<Actor> {
  const { backend } = spec.options;
  const { retriesLostTurn } = spec.policies;
  const sessionOptions = (kept.session ?? undefined) as BackendSessionOptions | undefined;
  const reopen = (unfinished: readonly Message[]) => reopenSession(backend, kept, unfinished, onLostSession);
  const calls = retriesLostTurn && kept.current !== null ? kept.calls : [];
  const goesOn = calls.length > 0 && backend.resumeTurn !== undefined;
  const lostPrompt = kept.current?.prompt as Prompt;
  const session = await reopen(unfinishedTurn(lostPrompt, calls, goesOn));
  const { totals, sessionId, hasRun, halted: isHalted, state } = kept;
  const history = inOrder(kept.history).map(([, turn]) => turn);
  common.record.restore(totals, sessionId ?? undefined, history);
  const request = restoreRequests(common.mailbox, kept, retriesLostTurn);
  const goesOnFrom = goesOn ? lastRound(calls) : undefined;
  const turn = { prompt: lostPrompt, calls, goesOnFrom, reopen: () => reopen([]) };
  const lost = request && { ...turn, request, isRetried: retriesLostTurn };
  for (const [order, event] of inOrder(kept.notifications)) common.mailbox.restoreNotification(order, event);
  const results = inOrder(kept.results).map(([order, { ref, outcome }]) => ({
    ref,
    order,
    outcome: fromKeptOutcome(outcome),
  }));
  // What was answered has its place still: no other request may take it.
  for (const { order } of results) common.mailbox.goOnAfter(order);
  return new Actor({ ...common, sessionOptions, hasRun, lost }, { state, session, isHalted, results });
}

/** Answers the request whose turn was left behind. */
function restoreRequests(
  mailbox: Mailbox,
  { requests, current, chain }: KeptAgent,
  isRetried: boolean,
): Request | undefined {
  let lost: Request | undefined;
  for (const [order, kept] of inOrder(requests)) {
    const isLost = current?.order === order;
    const request = restored(mailbox, order, kept, isLost && isRetried ? 1 : 0);
    if (isLost) lost = request;
    else if (chain === order) mailbox.setChain(request);
    else mailbox.queue(request);
    if (isLost && isRetried) mailbox.remember(request);
  }
  return lost;
}

function restored(mailbox: Mailbox, order: number, kept: KeptRequest, more: number): Request {
  const { ref, origin, prompt, attempt } = kept;
  return mailbox.restored({ ref, order, origin, prompt: prompt as Prompt, attempt: attempt + more });
}

function commonParts(
  spec: AgentSpec,
  { clock, observers, ledgers, owner }: HostContext,
  memory: AgentMemory | undefined,
  onEnd: AgentParts['onEnd'],
  spent = { usd: 0, tokens: 0 },
): CommonParts {
  const { behaviour, options, policies } = spec;
  const { name, backend } = options;
  const own = policies.budget === undefined ? undefined : new Ledger('agent', policies.budget, spent);
  return {
    name,
    behaviour,
    backend,
    owner,
    policies,
    clock,
    observers,
    ledger: own,
    ledgers: own === undefined ? ledgers : [own, ...ledgers],
    memory,
    mailbox: new Mailbox(policies, memory),
    record: new AgentRecord(policies.maxHistory),
    spec,
    onEnd,
  };
}

async function initOf(behaviour: AnyBehaviour, runner: Runner, args: unknown): Promise<Initial<unknown>> {
  const { name } = runner;
  let initial: unknown;
  try {
    initial = await runAs(runner, () => behaviour.init(args));
  } catch (cause) {
    throw new AgentFlowError('AGENT_INIT_FAILED', `The behaviour of "${name}" refused to start: ${messageOf(cause)}`, {
      cause,
    });
  }
  if (typeof initial !== 'object' || initial === null || !('state' in initial))
    throw new AgentFlowError('AGENT_INIT_FAILED', `The behaviour of "${name}" did not answer a state`);
  return initial as Initial<unknown>;
}

function assertIsJson(state: unknown, name: string): void {
  try {
    frozenState(state);
  } catch (cause) {
    throw new AgentFlowError('AGENT_INIT_FAILED', `The behaviour of "${name}" began badly: ${messageOf(cause)}`, {
      cause,
    });
  }
}
