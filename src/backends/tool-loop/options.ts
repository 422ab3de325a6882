/** What the tool loop is given, and what it answers. */
import type { Usage } from '../../../schemas/index.js';
import { type AgentFlowError, InvalidValueError } from '../../errors.js';
import { type Clock, systemClock } from '../../internal/clock.js';
import type {
  Message,
  OpenOptions,
  Outcome,
  OutcomeGrade,
  Prompt,
  TerminalState,
  ToolUse,
} from '../../providers/provider.js';
import type { TelemetryOptions } from '../telemetry.js';
import { MemoryToolJournal, type ToolJournal } from './journal.js';

/** The session a tool call belongs to. */
export interface SessionInfo {
  /** The id to take the session up by, as the provider names it. */
  readonly sessionId: string;
  readonly provider: string;
  /** As given in the options. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** One tool call, for the handler. */
export interface ToolCallInfo extends SessionInfo {
  /** The same when the call comes again: hand it on as an idempotency key. */
  readonly callId: string;
  /** Fires when nobody waits for the result any more: a limit, an interrupt, the call's own time. */
  readonly signal: AbortSignal;
}

/** Runs a tool: a string is the result as it is, anything else becomes JSON; what it throws is a result too, marked as an error. */
export type ToolFunction<Context = unknown> = (
  name: string,
  input: unknown,
  context: Context,
  info: ToolCallInfo,
) => unknown;

/** What is decided about a call that the provider runs itself: why it is denied is for the model. */
export type Confirmation = 'allow' | 'deny' | { readonly deny: string };

/** Runs tools, decides about those the provider runs, and may look at every raw event. */
export interface ToolObject<Context = unknown> {
  /** Runs a call that was handed back; of one turn up to eight run at the same time. */
  handleToolCall: ToolFunction<Context>;
  /**
   * Decides about a call that the provider does not run before somebody has allowed it; may take as long as the request.
   * What it throws is a denial. Without it, or where it answers nothing, the request ends as `requires_action` with the
   * call in `unconfirmed`; a later request of the session asks again.
   */
  confirmToolCall?(
    name: string,
    input: unknown,
    context: Context,
    info: ToolCallInfo,
  ): Confirmation | undefined | PromiseLike<Confirmation | undefined>;
  /** Sees each event of the provider once, as it came. What it throws changes nothing. */
  handleEvent?(event: unknown, context: Context, info: SessionInfo): void;
}

/** Runs tools: a function, or an object. */
export type ToolHandler<Context = unknown> = ToolFunction<Context> | ToolObject<Context>;

/** Why the loop itself stopped. */
export type LoopLimit =
  | 'max_turns'
  | 'timeout'
  | 'token_budget'
  | 'cost_budget'
  | 'turn_guard'
  | 'interrupted'
  /** The model was done without having called the terminal tool, however often it was asked to. */
  | 'no_terminal_tool';

/** What a guard is told between turns. */
export interface GuardFacts {
  readonly sessionId: string;
  /** Model turns of this request that came to their end, the last one included; from 1. */
  readonly turns: number;
  /** Summed over the request; `undefined` when the provider does not tell. */
  readonly usage: Usage | undefined;
  /** US dollars: what the provider says, else what `price` makes of the usage; `undefined` when nobody knows. */
  readonly costUsd: number | undefined;
}

/** What can be asked: a prompt, or an outcome to work towards. */
export type Ask = Prompt | Outcome;

/** How a loop is run. Everything but the prompt and the outcome holds for all requests of a live session. */
export interface LoopOptions<Context = unknown> extends OpenOptions {
  /** Runs the tools. Anything but a function, or an object with `handleToolCall`, throws `INVALID_VALUE`. */
  readonly handler: ToolHandler<Context>;
  /** What is asked. @default 'Begin.' in a new session; nothing in one that is taken up */
  readonly prompt?: Prompt;
  /** Asked in the place of a prompt, of a provider that knows outcomes. */
  readonly outcome?: Outcome;
  /** Handed to the handler. */
  readonly context?: Context;
  /** Handed to the handler with the session. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Model turns in one request; what the last one asks for is not run. @default 50 */
  readonly maxTurns?: number;
  /** Time for one request, in milliseconds; `Infinity` for no limit. @default 600_000 */
  readonly timeoutMs?: number;
  /** Time for one tool call, in milliseconds; one that takes longer is an error for the model. @default none */
  readonly toolTimeoutMs?: number;
  /** Tokens for one request, input and output; watched while a turn goes on. @default none */
  readonly maxTokens?: number;
  /** US dollars for one request; watched while a turn goes on. @default none */
  readonly maxCostUsd?: number;
  /** What usage costs, for a provider that does not say. */
  readonly price?: (usage: Usage) => number;
  /** Asked after every turn, before its tools are run: a reason to stop, or nothing. One that throws stops too. */
  readonly turnGuard?: (facts: GuardFacts) => string | undefined | void;
  /** A tool the model must have called, successfully, before it may be done; it is reminded of that. */
  readonly terminalTool?: string;
  /** How often it is reminded. @default 2 */
  readonly maxReprompts?: number;
  /** Where tool results are recorded before they are sent. @default in memory, for as long as the session is open */
  readonly journal?: ToolJournal;
  /** What to do with a call that an earlier process began and did not finish. @default 'report', as an error for the model */
  readonly unfinishedCalls?: 'report' | 'rerun';
  /** How often in a row a lost stream is taken up again without anything new from it. @default 10 */
  readonly maxReconnects?: number;
  /** Interrupts the request. */
  readonly signal?: AbortSignal;
  /** For the span of each request, and those of its turns and tools. @default names and figures, no content */
  readonly telemetry?: TelemetryOptions;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** What became of a request. */
export interface SessionResult {
  /** How the last turn ended; `terminated` also when a limit cut the request off, or the provider failed. */
  readonly terminal: TerminalState;
  /** Why: the limit, or the vendor's own word. */
  readonly stopReason: string;
  /** Set when it was the loop that stopped. */
  readonly limit?: LoopLimit;
  /** More about why: the guard's reason, the reason of an abort. */
  readonly detail?: unknown;
  /** What was said in all turns of the request, one under the other. */
  readonly text: string;
  /** What was said in the last turn. */
  readonly finalText: string;
  /** All calls that were handed back, in order. */
  readonly toolUses: readonly ToolUse[];
  /** All calls the provider ran itself. */
  readonly serverToolUses: readonly ToolUse[];
  /** Calls that wait for somebody to allow them. */
  readonly unconfirmed: readonly ToolUse[];
  /** How the outcome was graded last. */
  readonly outcome?: OutcomeGrade;
  /** Summed over the request, a turn that was cut off included; `undefined` when the provider does not tell. */
  readonly usage: Usage | undefined;
  /** US dollars: what the provider says, else what `price` makes of the usage; absent when nobody knows. */
  readonly costUsd?: number;
  /** Every event of the request as the provider sent it. */
  readonly events: readonly unknown[];
  /** The id to take the session up by, as the provider names it. */
  readonly sessionId: string;
  /** Model turns of the request that came to their end. */
  readonly turns: number;
  /** Milliseconds from the asking to the end, tools included. */
  readonly durationMs: number;
  /** The conversation, of a provider that keeps it itself. */
  readonly transcript?: readonly Message[];
  /** Set when the provider failed (a `BackendError`), or the journal. */
  readonly error?: AgentFlowError;
}

/** Options with their defaults filled in. */
export type Settings = ReturnType<typeof settings>;

/** Fills in the defaults. Throws `INVALID_VALUE` for options that cannot work. */
export function settings<Context>(options: LoopOptions<Context>) {
  const {
    handler,
    context,
    metadata = {},
    maxTurns = 50,
    timeoutMs = 600_000,
    maxReprompts = 2,
    maxReconnects = 10,
    unfinishedCalls = 'report',
    journal = new MemoryToolJournal(),
    telemetry = {},
    clock = systemClock,
    ...others
  } = options;
  const { toolTimeoutMs, maxTokens, maxCostUsd, prompt, outcome } = others;
  assertNumbers({ maxTurns, maxTokens, maxCostUsd }, 'a number above 0', (n) => n > 0);
  assertNumbers({ timeoutMs, toolTimeoutMs }, 'a time from 1', (n) => n >= 1);
  assertNumbers({ maxReprompts, maxReconnects }, 'a whole number from 0', (n) => Number.isSafeInteger(n) && n >= 0);
  const tools: ToolObject = (typeof handler === 'function' ? { handleToolCall: handler } : handler) as ToolObject;
  if (typeof tools?.handleToolCall !== 'function')
    throw invalid('handler', 'a function, or an object with handleToolCall', typeof handler);
  if (outcome !== undefined && prompt !== undefined) throw invalid('outcome', 'an outcome or a prompt', 'both');
  const ask: Ask | undefined = outcome ?? prompt;
  if (isOutcome(ask)) assertOutcome(ask);
  const bounds = { maxTurns, timeoutMs, maxReprompts, maxReconnects };
  return {
    ...others,
    ...bounds,
    ask,
    tools,
    context: context as unknown,
    metadata,
    unfinishedCalls,
    journal,
    telemetry,
    clock,
  };
}

/** Is it an outcome, and no prompt? */
export function isOutcome(ask: Ask | undefined): ask is Outcome {
  return typeof ask === 'object' && ask !== null && !Array.isArray(ask);
}

/** Throws `INVALID_VALUE` for an outcome that cannot be worked towards. */
export function assertOutcome({ description, rubric, maxIterations }: Outcome): void {
  const isText = (value: unknown) => typeof value === 'string' && value !== '';
  if (!isText(description)) throw invalid('outcome.description', 'a text', typeof description);
  if (!isText(typeof rubric === 'object' ? rubric?.fileId : rubric))
    throw invalid('outcome.rubric', 'a text, or an object with fileId', typeof rubric);
  const isCount = (count: number) => Number.isSafeInteger(count) && count >= 1;
  assertNumbers({ 'outcome.maxIterations': maxIterations }, 'a whole number from 1', isCount);
}

function assertNumbers(
  options: Readonly<Record<string, number | undefined>>,
  expected: string,
  isRight: (value: number) => boolean,
): void {
  for (const [path, value] of Object.entries(options)) {
    if (value !== undefined && !(typeof value === 'number' && isRight(value)))
      throw invalid(path, expected, String(value));
  }
}

/** An option that cannot work. */
export function invalid(path: string, expected: string, received: string): InvalidValueError {
  return new InvalidValueError('option', [{ path, expected, received }]);
}
