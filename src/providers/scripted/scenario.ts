/** What a scripted provider plays, and what it says. */
import type { Usage } from '../../../schemas/index.js';
import type { Outcome, OutcomeGrade, Prompt, TerminalState, ToolDecision, ToolResult } from '../provider.js';

/** What happens in a turn, step by step. */
export type ScriptedProviderStep =
  | { readonly type: 'text'; readonly text: string }
  /** A call that is handed back. */
  | { readonly type: 'tool'; readonly id: string; readonly name: string; readonly input?: unknown }
  /** A call the provider runs itself; one that `asks` waits for somebody's word. */
  | {
      readonly type: 'server_tool';
      readonly id: string;
      readonly name: string;
      readonly input?: unknown;
      readonly asks?: true;
    }
  /** How an outcome was graded. */
  | { readonly type: 'grade'; readonly grade: OutcomeGrade }
  /** What has been used since the last one. */
  | { readonly type: 'usage'; readonly usage: Usage }
  /** Says nothing, and may come after the end of a turn. */
  | { readonly type: 'aside' }
  /** Ends the turn. By default a turn ends by itself: `requires_action` when it waits for a call, else `end_turn`. */
  | { readonly type: 'stop'; readonly terminal: TerminalState; readonly reason?: string }
  /** The connection is lost here, as a clean end or with an error. The provider itself goes on. */
  | { readonly type: 'drop'; readonly how: 'end' | 'error' }
  /** The provider goes on when the promise resolves. */
  | { readonly type: 'wait'; readonly until: PromiseLike<unknown> };

/** What a scripted provider is sent. */
export type ScriptedInput =
  | { readonly type: 'user'; readonly prompt: Prompt }
  | { readonly type: 'outcome'; readonly outcome: Outcome }
  | {
      readonly type: 'results';
      readonly results: readonly ToolResult[];
      /** What was decided about calls that ask; absent when none did. */
      readonly decisions?: readonly ToolDecision[];
    };

/** The session a turn belongs to, as it stands. */
export interface ScriptedTurnInfo {
  readonly sessionId: string;
  /** Turns of the session that came to their end, without an interrupt. */
  readonly earlier: number;
}

/** One turn: its steps, or a function of the input it answers. */
export type ScriptedProviderTurn =
  | readonly ScriptedProviderStep[]
  | ((input: ScriptedInput, info: ScriptedTurnInfo) => readonly ScriptedProviderStep[]);

/** An event as a scripted provider tells it: a step, or an input that has arrived. */
export type ScriptedEvent = { readonly eventId: string } & (
  | Exclude<ScriptedProviderStep, { readonly type: 'drop' | 'wait' }>
  | ScriptedInput
);

/** Options of `scriptedProvider`. */
export interface ScriptedProviderOptions {
  /** Whether events are pushed through one stream, or answer each input. */
  readonly mode: 'streaming' | 'request_response';
  /** One for each input, in order, whatever the session; when they are used up a turn ends at once. */
  readonly turns?: readonly ScriptedProviderTurn[];
  /** @default 'scripted' */
  readonly name?: string;
  /** False for a provider that cannot say what it has told already. @default true */
  readonly hasHistory?: boolean;
  /** True for a provider that knows outcomes. @default false */
  readonly hasOutcomes?: boolean;
  /**
   * What becomes of each sending, in order, beyond the last one it is `ok`: `lost` arrives although the sender sees an
   * error, `refused` does not arrive. In streaming mode only.
   */
  readonly sends?: readonly ('ok' | 'lost' | 'refused')[];
  /** Thrown by each connecting, in order; `undefined` connects. In streaming mode only. */
  readonly connects?: readonly unknown[];
  /** Thrown by `open`. */
  readonly openError?: unknown;
}
