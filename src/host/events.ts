/**
 * What a host tells those who watch it. Content-free: names, refs, counts, durations and codes; what was said is added only
 * where somebody has asked for `content`.
 *
 * Source: `GenAgent`'s telemetry: the seven of the seed (`prompt.*`, `event.received`, `state.changed`, `mailbox.queued`,
 * `halted`) and the later ones (`turn.*`, `input.rejected`, `terminated`).
 */
import type { BackendEvent, Prompt, Response } from '../backends/backend.js';
import type { AgentFlowError, ErrorCode } from '../errors.js';
import type { EndReason, Origin } from './behaviour.js';
import { assertListener } from './options.js';

/** Which attempt at which request. */
export interface TurnFacts {
  readonly ref: string;
  readonly attempt: number;
  readonly origin: Origin;
}

/** What a host tells; every event has `agent`, the name, and `at`, milliseconds since the Unix epoch. */
export type HostEvent = { readonly agent: string; readonly at: number } & (
  | { readonly type: 'agent.started'; readonly resumed: boolean }
  | ({
      readonly type: 'prompt.start';
      /** `preTurn` changed the prompt. */
      readonly rewritten: boolean;
      /** With `content` only, as everything else here that may be missing. */
      readonly prompt?: Prompt;
      readonly originalPrompt?: Prompt;
      readonly agentState?: unknown;
    } & TurnFacts)
  | ({
      readonly type: 'prompt.stop';
      readonly durationMs: number;
      readonly response?: Response;
      readonly agentState?: unknown;
    } & TurnFacts)
  | ({
      readonly type: 'prompt.error';
      readonly code: ErrorCode;
      readonly durationMs: number;
      readonly error?: AgentFlowError;
      readonly agentState?: unknown;
    } & TurnFacts)
  | ({ readonly type: 'turn.start' } & TurnFacts)
  /** The whole turn, callbacks included. Every attempt that began ends with exactly one of this and the next. */
  | ({
      readonly type: 'turn.stop';
      readonly durationMs: number;
      readonly inputTokens: number;
      readonly outputTokens: number;
      readonly costUsd: number;
    } & TurnFacts)
  | ({
      readonly type: 'turn.error';
      readonly durationMs: number;
      readonly code: ErrorCode;
      readonly inputTokens: number;
      readonly outputTokens: number;
      readonly costUsd: number;
    } & TurnFacts)
  /** A prompt that was taken and not dispatched. */
  | ({ readonly type: 'turn.rejected'; readonly code: ErrorCode } & TurnFacts)
  | ({ readonly type: 'turn.cancelled'; readonly by: 'caller' | 'signal' } & TurnFacts)
  | { readonly type: 'event.received'; readonly deferred: boolean; readonly event?: unknown }
  | {
      readonly type: 'state.changed';
      readonly from: 'idle' | 'processing' | undefined;
      readonly to: 'idle' | 'processing';
    }
  /** How many prompts wait, this one included. */
  | { readonly type: 'mailbox.queued'; readonly depth: number }
  /** Prompts have left the queue, to be asked or not: how many wait still. */
  | { readonly type: 'mailbox.taken'; readonly depth: number }
  | { readonly type: 'halted'; readonly agentState?: unknown }
  | { readonly type: 'resumed' }
  /** What a backend says while a turn is going on. Told with `content` only. */
  | {
      readonly type: 'stream.event';
      readonly ref: string;
      readonly kind: BackendEvent['type'];
      readonly event: BackendEvent;
    }
  /** Nothing of it was taken. */
  | { readonly type: 'input.rejected'; readonly input: 'ask' | 'tell' | 'notify'; readonly code: ErrorCode }
  /** A callback threw or answered something it may not, and that was contained. */
  | { readonly type: 'callback.failed'; readonly callback: string; readonly error?: unknown }
  /** The backend knows no way to take its session up: the agent goes on with a fresh one. */
  | { readonly type: 'session.lost' }
  | { readonly type: 'restarting'; readonly attempt: number; readonly delayMs: number }
  | { readonly type: 'terminated'; readonly reason: EndReason; readonly code?: ErrorCode }
);

/** The part of an event that its teller knows. */
export type Told = HostEvent extends infer Event
  ? Event extends HostEvent
    ? Omit<Event, 'agent' | 'at'>
    : never
  : never;

/** Is told every event, at once and in order. What it throws changes nothing. */
export type HostObserver = (event: HostEvent) => void;

/** Those who watch a host. */
export class Observers {
  readonly #observers = new Set<HostObserver>();
  readonly #now: () => number;
  /** Whether prompts, events and states are told too. */
  readonly withContent: boolean;

  constructor(now: () => number, withContent: boolean) {
    this.#now = now;
    this.withContent = withContent;
  }

  /** The answer takes it away again. */
  add(observer: HostObserver): () => void {
    assertListener('observer', observer);
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  tell(agent: string, told: Told): void {
    if (this.#observers.size === 0) return;
    // In place: what is told was made for this, and is told to everybody as it is.
    const event: HostEvent = Object.assign(told, { agent, at: this.#now() });
    for (const observer of this.#observers) {
      try {
        // An observer may be async all the same: its rejection is as silent as its throw.
        const answer: unknown = observer(event);
        if (answer instanceof Promise) answer.catch(() => {});
      } catch {
        // Watching must not change what is watched.
      }
    }
  }
}
