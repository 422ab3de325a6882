/** What an agent has answered and cost: results by ref, its history, its sums. */
import type { Response } from '../backends/backend.js';
import { AgentFlowError, type ErrorJson } from '../errors.js';
import { frozenJson } from '../internal/json.js';
import type { TurnOutcome } from './behaviour.js';
import { type Spent, spentBy } from './ledger.js';
import type { QueueLimits } from './queue.js';
import { bytesOf } from './request.js';
import type { TurnEnd } from './turn.js';

/** One turn as the record keeps it. Source: `AgentWorkshop.Backend`'s result map. */
export interface TurnResult {
  /** The request's. One that was tried again has several turns of the same ref. */
  readonly ref: string;
  /** The answer's text; of a failed turn, what there was of it. */
  readonly result: string;
  /** The backend's own session id; `undefined` when the turn did not tell one. */
  readonly sessionId: string | undefined;
  /** US dollars; `undefined` when the backend does not tell. */
  readonly costUsd: number | undefined;
  /** The turn failed, or the backend marked its result as an error. */
  readonly isError: boolean;
  /** Milliseconds from asking the backend to its end; callbacks after that do not count. */
  readonly durationMs: number;
  /** Model turns inside this one; `undefined` when the backend does not tell. */
  readonly numTurns: number | undefined;
  /** Why it failed. */
  readonly error?: ErrorJson;
}

/** An agent's sums. */
export interface Totals {
  readonly usd: number;
  readonly tokens: number;
  /** Turns that the backend answered. */
  readonly turns: number;
  /** Turns that have ended, however they did. */
  readonly ended: number;
}

/** What an agent has answered and cost. */
export class AgentRecord {
  readonly #maxHistory: number;
  #history: TurnResult[] | undefined;
  #usd = 0;
  #tokens = 0;
  #turns = 0;
  #ended = 0;
  #sessionId: string | undefined;

  constructor(maxHistory: number) {
    this.#maxHistory = maxHistory;
  }

  get totals(): Totals {
    return { usd: this.#usd, tokens: this.#tokens, turns: this.#turns, ended: this.#ended };
  }

  get sessionId(): string | undefined {
    return this.#sessionId;
  }

  set sessionId(sessionId: string | undefined) {
    this.#sessionId = sessionId;
  }

  /** Oldest first; the newest that are kept. */
  get history(): readonly TurnResult[] {
    return [...(this.#history ?? [])];
  }

  /** Turns that have ended, however they did. */
  get ended(): number {
    return this.#ended;
  }

  get last(): TurnResult | undefined {
    return this.#history?.at(-1);
  }

  /** A turn has ended; answers what it used. */
  add(ref: string, { response, error, isAnswered }: TurnEnd): Spent {
    const spent = spentBy(response.usage, response.costUsd);
    this.#usd += spent.usd;
    this.#tokens += spent.tokens;
    if (isAnswered) this.#turns += 1;
    this.#sessionId = response.sessionId ?? this.#sessionId;
    this.#ended += 1;
    this.#history ??= [];
    this.#history.push({
      ref,
      result: response.text,
      sessionId: response.sessionId,
      costUsd: response.costUsd,
      isError: response.isError,
      durationMs: response.durationMs,
      numTurns: response.numTurns,
      ...(error === undefined ? {} : { error: error.toJSON() }),
    });
    if (this.#history.length > this.#maxHistory) this.#history.shift();
    return spent;
  }

  /** Goes on where an earlier process was. */
  restore({ usd, tokens, turns, ended }: Totals, sessionId: string | undefined, history: readonly TurnResult[]): void {
    this.#ended = ended;
    this.#usd = usd;
    this.#tokens = tokens;
    this.#turns = turns;
    this.#sessionId = sessionId;
    this.#history = history.length === 0 ? undefined : [...history];
  }
}

interface BookedOutcome {
  readonly outcome: TurnOutcome;
  readonly order: number;
  readonly bytes: number;
}

/**
 * Outcomes of `tell`, by ref. Reading does not take them away; beyond the bounds the oldest go. Source: `max_tell_results`,
 * `max_tell_result_bytes`.
 */
export class ResultBook {
  readonly #limits: QueueLimits;
  #outcomes: Map<string, BookedOutcome> | undefined;
  #bytes = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get(ref: string): TurnOutcome | undefined {
    return this.#outcomes?.get(ref)?.outcome;
  }

  /** Answers the places of those that had to go. */
  add(ref: string, outcome: TurnOutcome, order: number): readonly number[] {
    const bytes = bytesOfOutcome(outcome);
    if (bytes > this.#limits.maxBytes) return [order];
    this.#outcomes ??= new Map();
    this.#outcomes.set(ref, { outcome, order, bytes });
    this.#bytes += bytes;
    const dropped: number[] = [];
    for (const [oldest, { order: place, bytes: freed }] of this.#outcomes) {
      if (this.#outcomes.size <= this.#limits.maxCount && this.#bytes <= this.#limits.maxBytes) break;
      this.#outcomes.delete(oldest);
      this.#bytes -= freed;
      dropped.push(place);
    }
    return dropped;
  }
}

/** An answer weighs its text and its events; a failure what it says. */
function bytesOfOutcome(outcome: TurnOutcome): number {
  if (!outcome.ok) return bytesOf(outcome.error.toJSON());
  const { text, events } = outcome.response;
  return events.reduce((sum, event) => sum + bytesOf(event), bytesOf(text));
}

/** An outcome as JSON, for a store; what JSON cannot carry of its events is left out. */
export function toKeptOutcome(outcome: TurnOutcome): unknown {
  const kept = outcome.ok ? outcome : { ok: false, error: outcome.error.toJSON() };
  return frozenJson(kept, () => {});
}

/** The outcome that was kept. */
export function fromKeptOutcome(kept: unknown): TurnOutcome {
  const outcome = kept as { ok: true; response: Response } | { ok: false; error: ErrorJson };
  if (outcome.ok) return { ok: true, response: { ...outcome.response } };
  const { code, message, status, details } = outcome.error;
  return { ok: false, error: new AgentFlowError(code, message, { status, details }) };
}
