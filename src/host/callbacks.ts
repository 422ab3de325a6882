/** An agent's state and the callbacks that change it, one at a time; what they throw is contained here. */
import type { BackendEvent, Prompt, Response } from '../backends/backend.js';
import { type AgentFlowError, InvalidValueError } from '../errors.js';
import { frozenJson } from '../internal/json.js';
import type { AnyBehaviour, Decision, EndReason, PreTurnDecision, TurnInfo, TurnOutcome } from './behaviour.js';
import { type Runner, runAs } from './current.js';
import type { Observers } from './events.js';
import { callbackFailed } from './host-errors.js';
import type { AgentMemory } from './memory.js';

/** What a {@link Callbacks} is made of. */
export interface CallbackParts extends Runner {
  readonly behaviour: AnyBehaviour;
  readonly observers: Observers;
  /** Where states are remembered; then they are JSON, and nobody may change one in place. */
  readonly memory: Pick<AgentMemory, 'put' | 'together'> | undefined;
}

/** How `preTurn` went; `invalid` is an answer that it may not give. */
export type Preparation = PreTurnDecision<unknown> | { readonly decision: 'invalid'; readonly error: AgentFlowError };

/** How a decision went: what was decided, or why not. */
export type Decided =
  | { readonly ok: true; readonly decision: Decision<unknown> }
  | { readonly ok: false; readonly error: AgentFlowError };

/** An agent's state and callbacks. */
export class Callbacks {
  readonly #parts: CallbackParts;
  #state: unknown;

  constructor(parts: CallbackParts, state: unknown) {
    this.#parts = parts;
    this.#state = parts.memory === undefined ? state : frozenState(state);
  }

  get state(): unknown {
    return this.#state;
  }

  get hearsStream(): boolean {
    return this.#parts.behaviour.handleStreamEvent !== undefined;
  }

  get hasPreTurn(): boolean {
    return this.#parts.behaviour.preTurn !== undefined;
  }

  get hasPreRun(): boolean {
    return this.#parts.behaviour.preRun !== undefined;
  }

  /** Rejects with `CALLBACK_FAILED`. */
  async preRun(): Promise<void> {
    await this.#replaceState('preRun', (behaviour, state) => behaviour.preRun?.(state));
  }

  /** Rejects with `CALLBACK_FAILED`, and keeps the state that was. What comes after the signal has fired is dropped. */
  async streamEvent(event: BackendEvent, signal: AbortSignal): Promise<void> {
    const next = (behaviour: AnyBehaviour, state: unknown) => behaviour.handleStreamEvent?.(event, state);
    await this.#replaceState('handleStreamEvent', next, signal);
  }

  async preTurn(prompt: Prompt): Promise<Preparation> {
    const { behaviour } = this.#parts;
    if (behaviour.preTurn === undefined) return { decision: 'proceed', prompt, state: this.#state };
    let answer: unknown;
    try {
      answer = await this.#call(() => behaviour.preTurn?.(prompt, this.#state));
    } catch (error) {
      this.#tellFailure('preTurn', error);
      return { decision: 'skip', state: this.#state };
    }
    if (!isDecision(answer, ['proceed', 'skip', 'halt'])) {
      const error = callbackFailed('preTurn', undefined);
      this.#tellFailure('preTurn', error);
      return { decision: 'invalid', error };
    }
    try {
      this.#adopt(answer.state);
      return answer as PreTurnDecision<unknown>;
    } catch (thrown) {
      this.#tellFailure('preTurn', thrown);
      return { decision: 'invalid', error: callbackFailed('preTurn', thrown) };
    }
  }

  handleResponse(response: Response, turn: TurnInfo): Promise<Decided> {
    return this.#decide('handleResponse', (behaviour, state) =>
      behaviour.handleResponse(turn.ref, response, state, turn),
    );
  }

  /** A callback that is not there, or fails, leaves the state as it is and asks for nothing. */
  async handleError(error: AgentFlowError, turn: TurnInfo): Promise<Decision<unknown>> {
    if (this.#parts.behaviour.handleError === undefined) return this.#nothing();
    const decided = await this.#decide('handleError', (behaviour, state) =>
      behaviour.handleError?.(turn.ref, error, state, turn),
    );
    return decided.ok ? decided.decision : this.#nothing();
  }

  /** As {@link handleError}. */
  async handleEvent(event: unknown): Promise<Decision<unknown>> {
    if (this.#parts.behaviour.handleEvent === undefined) return this.#nothing();
    const decided = await this.#decide('handleEvent', (behaviour, state) => behaviour.handleEvent?.(event, state));
    return decided.ok ? decided.decision : this.#nothing();
  }

  async postTurn(outcome: TurnOutcome, ref: string): Promise<void> {
    if (this.#parts.behaviour.postTurn === undefined) return;
    await this.#replaceState('postTurn', (behaviour, state) => behaviour.postTurn?.(outcome, ref, state)).catch(
      () => {},
    );
  }

  async postRun(): Promise<void> {
    const { behaviour } = this.#parts;
    if (behaviour.postRun === undefined) return;
    await this.#call(() => behaviour.postRun?.(this.#state)).catch((error) => this.#tellFailure('postRun', error));
  }

  async terminate(reason: EndReason): Promise<void> {
    const { behaviour } = this.#parts;
    if (behaviour.terminate === undefined) return;
    await this.#call(() => behaviour.terminate?.(reason, this.#state)).catch((error) =>
      this.#tellFailure('terminate', error),
    );
  }

  async #decide(callback: string, ask: (behaviour: AnyBehaviour, state: unknown) => unknown): Promise<Decided> {
    try {
      const answer = await this.#call(() => ask(this.#parts.behaviour, this.#state));
      if (!isDecision(answer, ['noreply', 'prompt', 'halt'])) throw callbackFailed(callback, undefined);
      this.#adopt(answer.state);
      return { ok: true, decision: answer as Decision<unknown> };
    } catch (thrown) {
      this.#tellFailure(callback, thrown);
      return { ok: false, error: callbackFailed(callback, thrown) };
    }
  }

  async #replaceState(
    callback: string,
    next: (behaviour: AnyBehaviour, state: unknown) => unknown,
    signal?: AbortSignal,
  ): Promise<void> {
    try {
      const state = await this.#call(() => next(this.#parts.behaviour, this.#state));
      if (signal?.aborted) return;
      if (state === undefined && this.#state !== undefined) throw callbackFailed(callback, undefined);
      this.#adopt(state);
    } catch (thrown) {
      this.#tellFailure(callback, thrown);
      throw callbackFailed(callback, thrown);
    }
  }

  #call<T>(work: () => T | PromiseLike<T>): Promise<T> {
    return runAs(this.#parts, work);
  }

  #adopt(state: unknown): void {
    if (state === this.#state) return;
    const { memory } = this.#parts;
    const next = memory === undefined ? state : frozenState(state);
    this.#state = next;
    memory?.together(() => memory.put('state', next));
  }

  #nothing(): Decision<unknown> {
    return { decision: 'noreply', state: this.#state };
  }

  #tellFailure(callback: string, error: unknown): void {
    const { name, observers } = this.#parts;
    observers.tell(name, { type: 'callback.failed', callback, ...(observers.withContent ? { error } : {}) });
  }
}

/** Parts of states that were copied here: they are JSON, and frozen whole, which an object that somebody else froze need not be. */
const known = new WeakSet<object>();

/** A copy that is frozen; what was looked at before is shared. Throws `INVALID_VALUE` for what is not JSON. */
export function frozenState(state: unknown): unknown {
  const refuse = ({ path, received }: { readonly path: string; readonly received: string }) => {
    throw new InvalidValueError('state', [{ path, expected: 'JSON, because the host has a store', received }]);
  };
  const frozen = frozenJson(state ?? null, refuse, (part) => known.has(part));
  remember(frozen);
  return frozen;
}

function remember(part: unknown): void {
  if (typeof part !== 'object' || part === null || known.has(part)) return;
  known.add(part);
  for (const child of Object.values(part)) remember(child);
}

function isDecision(answer: unknown, allowed: readonly string[]): answer is { readonly state: unknown } {
  if (typeof answer !== 'object' || answer === null || !('decision' in answer) || !('state' in answer)) return false;
  const { decision } = answer;
  if (typeof decision !== 'string' || !allowed.includes(decision)) return false;
  return !['prompt', 'proceed'].includes(decision) || ('prompt' in answer && isPrompt(answer.prompt));
}

/** Text, or Genkit parts. */
export function isPrompt(value: unknown): value is Prompt {
  if (typeof value === 'string') return true;
  return Array.isArray(value) && value.every((part) => typeof part === 'object' && part !== null);
}
