/**
 * CONTRACT: what a named agent does between its turns. The host handles the mechanics of turns, a behaviour their meaning.
 *
 * Source: `GenAgent` (`init_agent`, `handle_response`, ..., `post_run`), one to one; the exact order is `docs/host.md`.
 */
import type { BackendEvent, BackendSessionOptions, Prompt, Response } from '../backends/backend.js';
import type { AgentFlowError } from '../errors.js';

/** A value, or a promise of it: every callback may be async, and nobody but its own agent waits for it. */
export type Awaitable<T> = T | PromiseLike<T>;

/** What a callback decides: wait for what comes, prompt again, or halt until `resume`. */
export type Decision<State> =
  | { readonly decision: 'noreply'; readonly state: State }
  | { readonly decision: 'prompt'; readonly prompt: Prompt; readonly state: State }
  | { readonly decision: 'halt'; readonly state: State };

/** What `preTurn` decides of a prompt. */
export type PreTurnDecision<State> =
  | { readonly decision: 'proceed'; readonly prompt: Prompt; readonly state: State }
  | { readonly decision: 'skip'; readonly state: State }
  | { readonly decision: 'halt'; readonly state: State };

/** The agent takes what comes next. */
export function noreply<State>(state: State): Decision<State> {
  return { decision: 'noreply', state };
}

/** The agent prompts itself: before everything that waits when a turn led to it, behind it when an event did. */
export function prompt<State>(text: Prompt, state: State): Decision<State> {
  return { decision: 'prompt', prompt: text, state };
}

/** The agent stops taking prompts until `resume`. */
export function halt<State>(state: State): { readonly decision: 'halt'; readonly state: State } {
  return { decision: 'halt', state };
}

/** `preTurn`: ask this, which may be another text than was given. */
export function proceed<State>(text: Prompt, state: State): PreTurnDecision<State> {
  return { decision: 'proceed', prompt: text, state };
}

/** `preTurn`: do not ask; the caller gets `TURN_SKIPPED`. */
export function skip<State>(state: State): PreTurnDecision<State> {
  return { decision: 'skip', state };
}

/** What an agent begins with. */
export interface Initial<State> {
  /** Given to the first callback; with a store it must be JSON. */
  readonly state: State;
  /** How the backend's session is started. */
  readonly session?: BackendSessionOptions;
}

/** Where a prompt came from. */
export type Origin = 'ask' | 'tell' | 'event' | 'self_chain';

/** What a callback may know of its turn beside the ref. */
export interface TurnInfo {
  /** The request's, the same for every attempt at it. */
  readonly ref: string;
  readonly origin: Origin;
  /** 1, and one more each time `handleError` tried the same request again. */
  readonly attempt: number;
  /** As the backend was asked, after `preTurn`. */
  readonly prompt: Prompt;
}

/** How a turn ended. */
export type TurnOutcome =
  | { readonly ok: true; readonly response: Response }
  | { readonly ok: false; readonly error: AgentFlowError };

/** Why an agent ended. */
export type EndReason = 'stopped' | 'drained' | 'closed' | 'crashed';

/**
 * The callbacks of an agent. One runs at a time, but for a `handleStreamEvent` whose turn was cut: it is not waited for, and
 * what it answers is dropped. Each is given the state and answers the next one; with a store the state must be JSON and is
 * frozen. What `init` and `preRun` throw ends the agent; what the others throw is contained.
 */
export interface Behaviour<State, Args = unknown, Event = unknown> {
  /** Tells which behaviour a remembered agent had, when its host comes back. Needed for nothing else. */
  readonly name?: string;
  /** Runs once, inside `start`. Throwing refuses the start with `AGENT_INIT_FAILED`. */
  init(args: Args): Awaitable<Initial<State>>;
  /** A turn was answered. Throwing, or answering no decision, fails the turn with `CALLBACK_FAILED`; the agent lives. */
  handleResponse(ref: string, response: Response, state: State, turn: TurnInfo): Awaitable<Decision<NoInfer<State>>>;
  /**
   * A turn failed, whatever the reason. A `prompt` tries again under the same ref, and the caller goes on waiting; except
   * after an interrupt, when it becomes a prompt of its own. Default, and when it throws: `noreply(state)`.
   */
  handleError?(ref: string, error: AgentFlowError, state: State, turn: TurnInfo): Awaitable<Decision<NoInfer<State>>>;
  /** Something was notified: at once when idle, at the turn's end otherwise. Throwing counts as `noreply(state)`. */
  handleEvent?(event: Event, state: State): Awaitable<Decision<NoInfer<State>>>;
  /** Every event of a turn, the last one too, in order, before it is acted on. Throwing fails the turn. */
  handleStreamEvent?(event: BackendEvent, state: State): Awaitable<NoInfer<State>>;
  /** Once, after `start` has returned and before anything else. Throwing ends the agent. */
  preRun?(state: State): Awaitable<NoInfer<State>>;
  /** Before every prompt. Throwing skips the prompt. */
  preTurn?(prompt: Prompt, state: State): Awaitable<PreTurnDecision<NoInfer<State>>>;
  /** After every turn, between the decision and what follows from it, which it cannot change. */
  postTurn?(outcome: TurnOutcome, ref: string, state: State): Awaitable<NoInfer<State>>;
  /** Once for every time the agent halts, after the notifications that came before; never on `stop`. */
  postRun?(state: State): Awaitable<void>;
  /** The agent ends, for whatever reason. What it throws changes nothing. */
  terminate?(reason: EndReason, state: State): Awaitable<void>;
}

/** A behaviour whose types nobody knows any more. */
export type AnyBehaviour = Behaviour<unknown, unknown, unknown>;

/**
 * Types a behaviour by what its `init` answers; nobody writes a type argument.
 *
 * @example
 * const coder = defineBehaviour({
 *   init: ({ cwd }: { cwd: string }) => ({ state: { cwd, answers: [] as string[] }, session: { system: 'You code.' } }),
 *   handleResponse: (_ref, { text }, state) => noreply({ ...state, answers: [...state.answers, text] }),
 * });
 */
export function defineBehaviour<State, Args = unknown, Event = unknown>(
  behaviour: Behaviour<State, Args, Event>,
): Behaviour<State, Args, Event> {
  return behaviour;
}
