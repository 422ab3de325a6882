/**
 * One prompt through its turn: `preTurn`, the backend, the decision, `postTurn`. What follows from the decision is the
 * actor's.
 *
 * Source: `GenAgent`: `pre_turn → [prompt:start] → events × handle_stream_event → [prompt:stop] → handle_response →
 * post_turn`; of a failed turn `[prompt:error] → handle_error → post_turn`.
 */
import type { AnsweredCall, Backend, BackendEvent, Message, Prompt } from '../backends/backend.js';
import { AgentFlowError, type ErrorCode } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import type { Decision, TurnInfo, TurnOutcome } from './behaviour.js';
import type { Callbacks } from './callbacks.js';
import { answeredTurn, CallLog } from './calls.js';
import { type Runner, runAs } from './current.js';
import type { Observers, Told, TurnFacts } from './events.js';
import { type Ledger, type Reservation, type Spent, spentBy } from './ledger.js';
import type { Lifecycle } from './lifecycle.js';
import type { AgentMemory, KeptCall } from './memory.js';
import type { Policies } from './options.js';
import { endTurnSpan, inTurnSpan } from './otel.js';
import type { AgentRecord } from './record.js';
import { passOn, type Request } from './request.js';
import { runTurn, type TurnEnd } from './turn.js';

/** What an agent's turns have in common. */
export interface CycleParts extends Runner {
  readonly backend: Backend;
  readonly callbacks: Callbacks;
  readonly lifecycle: Pick<Lifecycle, 'step'>;
  readonly record: AgentRecord;
  readonly policies: Policies;
  readonly clock: Clock;
  readonly observers: Observers;
  /** The agent's own budget and the host's. */
  readonly ledgers: readonly Ledger[];
  readonly memory: AgentMemory | undefined;
}

/** What another process had of a turn that is tried again. */
export interface LostTurn {
  /** As `preTurn` made it. */
  readonly prompt: Prompt;
  /** Calls that have their results. */
  readonly calls: readonly KeptCall[];
  /** Those that the backend goes on from; `undefined`: it is asked the same again. */
  readonly goesOnFrom: readonly AnsweredCall[] | undefined;
  /** The backend's session again, without that turn: for when going on has failed. */
  readonly reopen: () => Promise<unknown>;
}

/** A prompt that will not be asked. */
export interface Refusal {
  readonly error: AgentFlowError;
  /** `preTurn` decided so. */
  readonly halts: boolean;
}

/** A turn that has ended, and what its callbacks made of it. */
export interface TurnClosed {
  readonly outcome: TurnOutcome;
  readonly decision: Decision<unknown>;
  /** What it adds to the conversation. */
  readonly said: readonly Message[];
}

/** An agent's turns, one at a time. */
export class TurnCycle {
  readonly #parts: CycleParts;
  #session: unknown;
  #controller: AbortController | undefined;
  #reservations: readonly Reservation[] = [];
  #startedAt = 0;
  #calls: CallLog | undefined;

  constructor(parts: CycleParts, session: unknown) {
    this.#parts = parts;
    this.#session = session;
  }

  get session(): unknown {
    return this.#session;
  }

  /** Another session takes its place. */
  replaceSession(session: unknown): void {
    this.#session = session;
  }

  /** When the turn in flight began, in milliseconds since the Unix epoch. */
  get startedAt(): number {
    return this.#startedAt;
  }

  /** From when a prompt is taken until its backend has ended. */
  get canBeCut(): boolean {
    return this.#controller !== undefined;
  }

  /** Ends what the backend does; the error is how the turn failed. */
  cut(error: AgentFlowError): void {
    this.#controller?.abort(error);
  }

  /** A prompt is taken: from here on it can be cut. */
  open(): void {
    this.#controller ??= new AbortController();
  }

  /** Asks `preTurn`. */
  async prepare(request: Request): Promise<Prompt | Refusal> {
    const { callbacks } = this.#parts;
    const preparation = await callbacks.preTurn(request.prompt);
    if (preparation.decision === 'proceed') return preparation.prompt;
    this.#controller = undefined;
    if (preparation.decision === 'invalid') return { error: preparation.error, halts: false };
    const halts = preparation.decision === 'halt';
    const code: ErrorCode = halts ? 'TURN_HALTED' : 'TURN_SKIPPED';
    const what = halts ? 'halted the agent instead of asking' : 'skipped the prompt';
    return { error: new AgentFlowError(code, `preTurn ${what}`), halts };
  }

  /** Holds the turn's share of every budget, or of none. */
  reserve(): Refusal | undefined {
    const held: Reservation[] = [];
    try {
      for (const ledger of this.#parts.ledgers) held.push(ledger.reserve());
      this.#reservations = held;
      return undefined;
    } catch (error) {
      for (const reservation of held) reservation.settle();
      this.#controller = undefined;
      return { error: error as AgentFlowError, halts: false };
    }
  }

  /** Tells that the turn begins. */
  announce(request: Request, prompt: Prompt): void {
    const { observers, callbacks, clock } = this.#parts;
    const facts = factsOf(request);
    this.#startedAt = clock.now();
    this.#tell({ type: 'turn.start', ...facts });
    const content = { prompt, originalPrompt: request.prompt, agentState: callbacks.state };
    const rewritten = prompt !== request.prompt;
    this.#tell({ type: 'prompt.start', rewritten, ...facts, ...(observers.withContent ? content : {}) });
  }

  /**
   * Runs the turn; `undefined` when the agent has ended meanwhile, and nothing more is to happen. Rejects only when the
   * session of a lost turn cannot be opened again.
   */
  async run(
    request: Request,
    prompt: Prompt,
    lost: LostTurn | undefined,
    hasEnded: () => boolean,
  ): Promise<TurnClosed | undefined> {
    const { memory, record } = this.#parts;
    this.#calls = memory === undefined ? undefined : new CallLog(memory, lost?.calls ?? []);
    const end = await this.#askBackend(request, prompt, lost);
    this.#session = end.session;
    this.#controller = undefined;
    const spent = record.add(request.ref, end);
    for (const reservation of this.#reservations) {
      reservation.use(spent);
      reservation.settle();
    }
    this.#reservations = [];
    this.#tellEnd(request, end);
    const ended: TurnOutcome =
      end.error === undefined ? { ok: true, response: end.response } : { ok: false, error: end.error };
    const closed = hasEnded() ? undefined : await this.close(request, prompt, ended);
    this.#tellClosed(request, closed?.outcome ?? ended, end, spent);
    // Its session ends with calls that nobody answers any more.
    const isBroken = end.error !== undefined && lost?.goesOnFrom !== undefined;
    if (isBroken && closed !== undefined) this.#session = await lost.reopen();
    return closed && { ...closed, said: this.#said(prompt, end) };
  }

  /** What the callbacks make of a turn's end: remembered with it, so that a turn that is tried again finds none of it. */
  async close(request: Request, prompt: Prompt, ended: TurnOutcome): Promise<TurnClosed> {
    const { callbacks, lifecycle, memory } = this.#parts;
    memory?.hold();
    const turn: TurnInfo = { ...factsOf(request), prompt };
    let outcome = ended;
    let decision: Decision<unknown> | undefined;
    if (outcome.ok) {
      const decided = await callbacks.handleResponse(outcome.response, turn);
      if (decided.ok) decision = decided.decision;
      else outcome = { ok: false, error: decided.error };
    }
    if (!outcome.ok) decision = await callbacks.handleError(outcome.error, turn);
    // From here on a resume follows the halt, and does not prevent it.
    if (decision?.decision === 'halt') lifecycle.step('a callback halts');
    await callbacks.postTurn(outcome, request.ref);
    return { outcome, decision: decision ?? { decision: 'noreply', state: callbacks.state }, said: [] };
  }

  async #askBackend(request: Request, prompt: Prompt, lost: LostTurn | undefined): Promise<TurnEnd> {
    const { name, backend, clock, policies } = this.#parts;
    const controller = this.#controller ?? new AbortController();
    const { watchdogMs } = policies;
    const bark = () =>
      controller.abort(new AgentFlowError('TURN_TIMEOUT', `The turn took longer than ${watchdogMs} ms`));
    const calm = watchdogMs === Infinity ? undefined : clock.after(watchdogMs, bark);
    const used = { usage: undefined };
    const onEvent = (event: BackendEvent) => this.#hear(event, request, used, controller);
    const end = await runAs(this.#parts, () =>
      inTurnSpan(name, backend.name, factsOf(request), async (span) => {
        const ended = await runTurn({
          backend,
          session: this.#session,
          prompt,
          answered: lost?.goesOnFrom,
          signal: controller.signal,
          onEvent,
          events: policies.events,
          isLossless: policies.isLossless,
          now: () => clock.now(),
        });
        endTurnSpan(span, ended.response, ended.error?.code);
        return ended;
      }),
    );
    calm?.();
    return end;
  }

  #hear(
    event: BackendEvent,
    request: Request,
    used: { usage: Spent | undefined },
    controller: AbortController,
  ): void | Promise<void> {
    const { callbacks, observers } = this.#parts;
    passOn(request, event);
    if (observers.withContent) this.#tell({ type: 'stream.event', ref: request.ref, kind: event.type, event });
    if (event.type === 'session') this.#keepSessionId(event.sessionId);
    if (event.type === 'usage' && this.#reservations.length > 0) {
      const { usd, tokens } = spentBy(event.usage);
      used.usage = { usd: (used.usage?.usd ?? 0) + usd, tokens: (used.usage?.tokens ?? 0) + tokens };
      for (const reservation of this.#reservations) {
        const broken = reservation.use(used.usage);
        if (broken !== undefined) controller.abort(broken);
      }
    }
    const kept = this.#calls?.hear(event);
    // What is heard after a cut changes nothing any more.
    if (!callbacks.hearsStream || controller.signal.aborted) return kept;
    return kept === undefined
      ? callbacks.streamEvent(event, controller.signal)
      : kept.then(() => callbacks.streamEvent(event, controller.signal));
  }

  /** A turn that failed is no part of the conversation. */
  #said(prompt: Prompt, { response, error }: TurnEnd): readonly Message[] {
    const isKept = this.#calls !== undefined && error === undefined;
    return isKept ? answeredTurn(prompt, this.#calls?.answered ?? [], response.text) : [];
  }

  /** As soon as it is told: a process that dies during the turn must not lose it. */
  #keepSessionId(sessionId: string): void {
    const { record, memory } = this.#parts;
    if (record.sessionId === sessionId) return;
    record.sessionId = sessionId;
    memory?.put('sessionId', sessionId);
    void memory?.flush();
  }

  #tellEnd(request: Request, { error, response }: TurnEnd): void {
    const { observers, callbacks } = this.#parts;
    const { withContent } = observers;
    const { durationMs } = response;
    const facts = factsOf(request);
    const agentState = callbacks.state;
    if (error === undefined)
      this.#tell({ type: 'prompt.stop', durationMs, ...facts, ...(withContent ? { response, agentState } : {}) });
    else {
      const { code } = error;
      this.#tell({ type: 'prompt.error', code, durationMs, ...facts, ...(withContent ? { error, agentState } : {}) });
    }
  }

  #tellClosed(request: Request, outcome: TurnOutcome, { response }: TurnEnd, { usd: costUsd }: Spent): void {
    const durationMs = this.#parts.clock.now() - this.#startedAt;
    const { inputTokens = 0, outputTokens = 0 } = response.usage ?? {};
    const sums = { durationMs, inputTokens, outputTokens, costUsd };
    const facts = factsOf(request);
    if (outcome.ok) this.#tell({ type: 'turn.stop', ...facts, ...sums });
    else this.#tell({ type: 'turn.error', code: outcome.error.code, ...facts, ...sums });
  }

  #tell(told: Told): void {
    this.#parts.observers.tell(this.#parts.name, told);
  }
}

/** Which attempt at which request. */
export function factsOf({ ref, attempt, origin }: Request): TurnFacts {
  return { ref, attempt, origin };
}
