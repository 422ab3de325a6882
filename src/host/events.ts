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
  /** The request's, the same for every attempt at it. */
  readonly ref: string;
  /** 1, and one more each time the request was tried again: by `handleError`, or because its process died. */
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
      /** As it was before `preTurn`. */
      readonly originalPrompt?: Prompt;
      /** The state after the last callback. */
      readonly agentState?: unknown;
    } & TurnFacts)
  | ({
      readonly type: 'prompt.stop';
      /** Milliseconds that the backend took. */
      readonly durationMs: number;
      readonly response?: Response;
      readonly agentState?: unknown;
    } & TurnFacts)
  | ({
      readonly type: 'prompt.error';
      /** Why the turn failed, or why a prompt of the agent's own was not asked. */
      readonly code: ErrorCode;
      /** Milliseconds that the backend took; 0 when it was not asked. */
      readonly durationMs: number;
      readonly error?: AgentFlowError;
      readonly agentState?: unknown;
    } & TurnFacts)
  /** A prompt is dispatched to the backend: `preTurn` has let it pass, and every budget has room for it. */
  | ({ readonly type: 'turn.start' } & TurnFacts)
  /** The whole turn, callbacks included. Every attempt that began ends with exactly one of this and the next. */
  | ({
      readonly type: 'turn.stop';
      /** Milliseconds from the dispatch until the callbacks were through. */
      readonly durationMs: number;
      /** 0 where the backend does not tell; so are `outputTokens` and `costUsd`. */
      readonly inputTokens: number;
      readonly outputTokens: number;
      /** US dollars. */
      readonly costUsd: number;
    } & TurnFacts)
  | ({
      readonly type: 'turn.error';
      /** Milliseconds from the dispatch until the callbacks were through. */
      readonly durationMs: number;
      /** Why; `CALLBACK_FAILED` also where the backend had answered. */
      readonly code: ErrorCode;
      /** 0 where the backend does not tell; so are `outputTokens` and `costUsd`. */
      readonly inputTokens: number;
      readonly outputTokens: number;
      /** US dollars. */
      readonly costUsd: number;
    } & TurnFacts)
  /** A prompt that was taken and not dispatched. */
  | ({ readonly type: 'turn.rejected'; readonly code: ErrorCode } & TurnFacts)
  /** A prompt left the queue: by `cancel` (`caller`), or because its caller waits no longer (`signal`). */
  | ({ readonly type: 'turn.cancelled'; readonly by: 'caller' | 'signal' } & TurnFacts)
  /** A notification was taken; `deferred`: something goes on, and it is heard after that. */
  | { readonly type: 'event.received'; readonly deferred: boolean; readonly event?: unknown }
  | {
      readonly type: 'state.changed';
      /** `undefined` when the agent has just begun. */
      readonly from: 'idle' | 'processing' | undefined;
      readonly to: 'idle' | 'processing';
    }
  /** How many prompts wait, this one included. */
  | { readonly type: 'mailbox.queued'; readonly depth: number }
  /** Prompts have left the queue, to be asked or not: how many wait still. */
  | { readonly type: 'mailbox.taken'; readonly depth: number }
  /** It takes no prompt until `resume`; told when `postRun` has returned. */
  | { readonly type: 'halted'; readonly agentState?: unknown }
  /** A halt is over. One that was taken back before it happened is not told. */
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
  /** It died, and starts again in `delayMs` milliseconds; `attempt` counts its deaths within `withinMs`. */
  | { readonly type: 'restarting'; readonly attempt: number; readonly delayMs: number }
  /** The agent has ended; `code`: that of the error it ended with, if it was one of this package. */
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
