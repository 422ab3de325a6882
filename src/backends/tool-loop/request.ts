/** One request: turns and tool calls, one after another, until the model is done, somebody else has to act, or a limit is reached. */
import type { Usage } from '../../../schemas/index.js';
import type {
  Outcome,
  Provider,
  ProviderTurn,
  TerminalState,
  ToolDecision,
  ToolResult,
  ToolUse,
} from '../../providers/provider.js';
import { failureOf } from '../failure.js';
import { OperationSpan } from '../telemetry.js';
import { decide } from './confirmations.js';
import type { Standing, TurnFeed } from './feed.js';
import { type Limits, Stopped } from './limits.js';
import {
  type Ask,
  assertOutcome,
  invalid,
  isOutcome,
  type LoopLimit,
  type SessionInfo,
  type Settings,
} from './options.js';
import type { RequestTally } from './tally.js';
import type { ToolRunner } from './tools.js';

/** What goes on in a request, as it goes on. */
export type LoopEvent =
  | {
      readonly type: 'event';
      /** As the provider sent it, untouched. */
      readonly event: unknown;
      /** A piece of the answer, where the event is one. */
      readonly text: string | undefined;
      /** What has just been used, where the event tells it. */
      readonly usage: Usage | undefined;
    }
  /** A call that was handed back: it is run now, or answered from the journal. */
  | { readonly type: 'tool_use'; readonly use: ToolUse }
  | { readonly type: 'tool_result'; readonly result: ToolResult }
  /** A turn has come to its end; its tools are run after this. */
  | { readonly type: 'turn'; readonly turn: ProviderTurn };

/** How a request ended. */
export interface Ending {
  readonly terminal: TerminalState;
  readonly stopReason: string;
  readonly limit?: LoopLimit;
  readonly detail?: unknown;
}

/** What a request works with. */
export interface RequestParts {
  readonly provider: Provider;
  readonly settings: Settings;
  readonly info: SessionInfo;
  readonly feed: TurnFeed;
  readonly tools: ToolRunner;
  readonly tally: RequestTally;
  readonly limits: Limits;
  /** The span that turns and tools hang below; the active one by default. */
  readonly span: OperationSpan | undefined;
}

type Input = { readonly value: unknown };

/** What a turn waits for. */
interface Waiting {
  /** Calls that were handed back. */
  readonly calls: readonly ToolUse[];
  /** Calls that the provider runs, once somebody has allowed them. */
  readonly unconfirmed: readonly ToolUse[];
}

const kickoff = 'Begin.';

/** One request while it runs. */
export class LoopRequest {
  readonly #parts: RequestParts;
  #isInTurn = false;
  #reprompts = 0;

  constructor(parts: RequestParts) {
    this.#parts = parts;
  }

  /** The provider is in the middle of a turn. */
  get isInTurn(): boolean {
    return this.#isInTurn;
  }

  /** Answers what waits in the session first, then asks. Throws {@link Stopped} when a limit is reached. */
  async *run(
    ask: Ask | undefined,
    { pending, unconfirmed, isInFlight, lastTurn }: Standing,
    isNew: boolean,
  ): AsyncGenerator<LoopEvent, Ending, void> {
    let unasked = ask ?? (isNew ? kickoff : undefined);
    let input: Input | undefined;
    if (pending.length > 0 || unconfirmed.length > 0) {
      input = yield* this.#answer({ calls: pending, unconfirmed });
      if (input === undefined) return this.#idle(lastTurn);
    } else if (!isInFlight) {
      if (unasked === undefined) return this.#idle(lastTurn);
      input = this.#ask(unasked, isNew);
      unasked = undefined;
    }
    for (;;) {
      const turn = yield* this.#turn(input);
      this.#guard();
      const waiting = this.#waitsFor(turn);
      if (waiting !== undefined) {
        this.#assertMayGoOn();
        input = yield* this.#answer(waiting);
        if (input !== undefined) continue;
      } else this.#parts.tally.leaveUndecided([]);
      const { terminal, stopReason } = turn;
      if (terminal !== 'end_turn') return { terminal, stopReason };
      const next = unasked ?? this.#reminder();
      if (next === undefined) return this.#done(turn);
      unasked = undefined;
      this.#assertMayGoOn();
      input = this.#ask(next, false);
    }
  }

  /** One turn of the provider, read to its end. */
  async *#turn(input: Input | undefined): AsyncGenerator<LoopEvent, ProviderTurn, void> {
    const { provider, feed, tally, limits } = this.#parts;
    const span = this.#chatSpan();
    let errorType: string | undefined = 'interrupted';
    try {
      const events: unknown[] = [];
      this.#isInTurn = true;
      for await (const event of feed.turn(input, limits.signal)) {
        const peek = provider.peek(event);
        events.push(event);
        tally.addEvent(event, peek);
        this.#show(event);
        yield { type: 'event', event, text: peek.text, usage: peek.usage };
        tally.assertWithinBudget();
      }
      this.#isInTurn = false;
      const turn = provider.normalize(events);
      tally.endTurn(turn);
      span.tell({ usage: turn.usage, finishReason: turn.stopReason, responseModel: turn.model });
      span.tellContent({ answer: turn.text });
      errorType = undefined;
      yield { type: 'turn', turn };
      return turn;
    } catch (error) {
      errorType = error instanceof Stopped ? error.limit : failureOf(error, { provider: provider.name }).kind;
      throw error;
    } finally {
      span.end(errorType);
    }
  }

  /** Runs calls, has others decided, and answers the input that carries both; nothing when there is nothing to say. */
  async *#answer({ calls, unconfirmed }: Waiting): AsyncGenerator<LoopEvent, Input | undefined, void> {
    const { provider, tally, limits, settings, info } = this.#parts;
    const open = unconfirmed.filter(({ id }) => !tally.isUndecided(id));
    const deciding = decide(open, settings, info, limits.signal);
    // Tools run meanwhile, and one that is cut off is told first.
    deciding.catch(() => {});
    const uses = [...new Map(calls.map((use) => [use.id, use])).values()];
    const results = yield* this.#results(uses);
    const answers = await deciding;
    const decided = new Set(answers.map((answer) => answer?.toolUseId));
    tally.leaveUndecided(unconfirmed.filter(({ id }) => !decided.has(id)));
    const decisions = answers.filter((answer): answer is ToolDecision => answer !== undefined);
    if (results.length === 0 && decisions.length === 0) return undefined;
    if (results.length > 0)
      await settings.journal.sending(
        info.sessionId,
        results.map(({ toolUseId }) => toolUseId),
      );
    return { value: provider.resumeInput(uses, results, decisions) };
  }

  async *#results(uses: readonly ToolUse[]): AsyncGenerator<LoopEvent, readonly ToolResult[], void> {
    const { tools, tally, limits, span } = this.#parts;
    if (uses.length === 0) return [];
    for (const use of uses) yield { type: 'tool_use', use };
    const results: ToolResult[] = [];
    for await (const result of tools.run(uses, limits.signal, span)) {
      results.push(result);
      if (!result.isError) tally.succeeded(result.name);
      yield { type: 'tool_result', result };
    }
    return results;
  }

  #ask(ask: Ask, isFirst: boolean): Input {
    const { provider } = this.#parts;
    if (isOutcome(ask)) return { value: outcomeInput(provider, ask) };
    return { value: isFirst && provider.kickoffInput ? provider.kickoffInput(ask) : provider.userInput(ask) };
  }

  /** What a turn waits for; where it does not name it, what the request has left open. */
  #waitsFor({ terminal, toolUses, confirmations = [] }: ProviderTurn): Waiting | undefined {
    const { provider, tally } = this.#parts;
    if (terminal !== 'requires_action') return undefined;
    if (toolUses.length > 0 || confirmations.length > 0) return { calls: toolUses, unconfirmed: confirmations };
    const [calls, unconfirmed] = [provider.pending?.(tally.events), provider.unconfirmed?.(tally.events)];
    return calls?.length || unconfirmed?.length ? { calls: calls ?? [], unconfirmed: unconfirmed ?? [] } : undefined;
  }

  /** What the model is told when it is done without having done what it must. */
  #reminder(): string | undefined {
    const { tally, settings } = this.#parts;
    const { terminalTool, maxReprompts } = settings;
    if (terminalTool === undefined || tally.hasSucceeded(terminalTool) || this.#reprompts >= maxReprompts)
      return undefined;
    this.#reprompts += 1;
    return `You answered without calling ${terminalTool}. Call ${terminalTool} now to finish.`;
  }

  #done({ terminal, stopReason }: ProviderTurn): Ending {
    const { tally, settings } = this.#parts;
    const { terminalTool } = settings;
    if (terminalTool === undefined || tally.hasSucceeded(terminalTool)) return { terminal, stopReason };
    return { terminal, stopReason: 'no_terminal_tool', limit: 'no_terminal_tool' };
  }

  /** Nothing to do in a session that was taken up: its last turn is the answer. */
  #idle(lastTurn: readonly unknown[]): Ending {
    const { provider, tally } = this.#parts;
    if (lastTurn.length === 0) return { terminal: 'end_turn', stopReason: 'idle' };
    const turn = provider.normalize(lastTurn);
    tally.recall(lastTurn, turn);
    return { terminal: turn.terminal, stopReason: turn.stopReason };
  }

  #guard(): void {
    const { settings, tally, info } = this.#parts;
    const { turns, usage, costUsd } = tally;
    let halt: unknown;
    try {
      halt = settings.turnGuard?.({ sessionId: info.sessionId, turns, usage, costUsd });
    } catch (error) {
      // A guard that cannot tell is no reason to go on.
      throw new Stopped('turn_guard', error);
    }
    if (halt instanceof Promise) {
      halt.catch(() => {});
      throw invalid('turnGuard', 'a function that answers at once', 'a promise');
    }
    if (halt !== undefined) throw new Stopped('turn_guard', halt);
  }

  #assertMayGoOn(): void {
    const { settings, tally } = this.#parts;
    const { maxTurns } = settings;
    tally.assertWithinBudget();
    if (tally.turns >= maxTurns) throw new Stopped('max_turns', { maxTurns });
  }

  #show(event: unknown): void {
    const { settings, info } = this.#parts;
    try {
      settings.tools.handleEvent?.(event, settings.context, info);
    } catch {
      // An observer changes nothing.
    }
  }

  #chatSpan(): OperationSpan {
    const { provider, settings, info, span: parent } = this.#parts;
    const span = new OperationSpan('chat', provider.name, { content: settings.telemetry.content ?? false }, parent);
    span.tell({ provider: provider.name, conversationId: info.sessionId });
    return span;
  }
}

/** An outcome as an input. Throws `INVALID_VALUE` for one that cannot be worked towards, by this provider or at all. */
export function outcomeInput(provider: Provider, outcome: Outcome): unknown {
  assertOutcome(outcome);
  if (provider.outcomeInput !== undefined) return provider.outcomeInput(outcome);
  throw invalid('outcome', `a prompt, for ${provider.name} knows no outcomes`, 'an outcome');
}
