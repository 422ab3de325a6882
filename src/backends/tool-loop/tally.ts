import type { Usage } from '../../../schemas/index.js';
import type { EventPeek, OutcomeGrade, ProviderTurn, ToolUse } from '../../providers/provider.js';
import { addUsage } from '../usage.js';
import { Stopped } from './limits.js';
import type { SessionResult, Settings } from './options.js';

/** What one request has said, called and used so far, the turn that is going on included. */
export class RequestTally {
  readonly events: unknown[] = [];
  readonly #settings: Settings;
  readonly #texts: string[] = [];
  readonly #toolUses: ToolUse[] = [];
  readonly #serverToolUses: ToolUse[] = [];
  /** Tools that were called successfully. */
  readonly #succeeded = new Set<string>();
  /** Calls that wait for somebody's word, and did not get it in this request. */
  readonly #undecided = new Map<string, ToolUse>();
  #outcome: OutcomeGrade | undefined;
  #turns = 0;
  #usage: Usage | undefined;
  #turnText = '';
  #turnUsage: Usage | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  get turns(): number {
    return this.#turns;
  }

  get usage(): Usage | undefined {
    return addUsage(this.#usage, this.#turnUsage);
  }

  get costUsd(): number | undefined {
    const { usage } = this;
    return usage?.costUsd ?? (usage === undefined ? undefined : this.#settings.price?.(usage));
  }

  addEvent(event: unknown, { text = '', usage }: EventPeek): void {
    this.events.push(event);
    this.#turnText += text;
    this.#turnUsage = addUsage(this.#turnUsage, usage);
  }

  /** A turn has come to its end: what it says as a whole takes the place of what its events said one by one. */
  endTurn({ text, usage, toolUses, serverToolUses, outcome }: ProviderTurn): void {
    this.#turns += 1;
    this.#texts.push(text);
    this.#toolUses.push(...toolUses);
    this.#serverToolUses.push(...serverToolUses);
    this.#usage = addUsage(this.#usage, usage);
    this.#outcome = outcome ?? this.#outcome;
    this.#turnText = '';
    this.#turnUsage = undefined;
  }

  /** Tells a turn that ended before this request: what it said, but not that it was run, nor what it used. */
  recall(events: readonly unknown[], turn: ProviderTurn): void {
    this.events.push(...events);
    this.endTurn({ ...turn, usage: undefined });
    this.#turns -= 1;
  }

  succeeded(tool: string): void {
    this.#succeeded.add(tool);
  }

  hasSucceeded(tool: string): boolean {
    return this.#succeeded.has(tool);
  }

  /** All that waits for somebody's word now. */
  leaveUndecided(uses: readonly ToolUse[]): void {
    this.#undecided.clear();
    for (const use of uses) this.#undecided.set(use.id, use);
  }

  /** Was it asked about in this request already, and nobody decided? */
  isUndecided(callId: string): boolean {
    return this.#undecided.has(callId);
  }

  get hasUndecided(): boolean {
    return this.#undecided.size > 0;
  }

  /** Throws when a budget is spent. */
  assertWithinBudget(): void {
    const { maxTokens = Number.POSITIVE_INFINITY, maxCostUsd = Number.POSITIVE_INFINITY } = this.#settings;
    const { usage, costUsd = 0 } = this;
    const { totalTokens = 0, inputTokens = 0, outputTokens = 0 } = usage ?? {};
    const tokens = Math.max(totalTokens, inputTokens + outputTokens);
    if (tokens > maxTokens) throw new Stopped('token_budget', { tokens, maxTokens });
    if (costUsd > maxCostUsd) throw new Stopped('cost_budget', { costUsd, maxCostUsd });
  }

  result(): Pick<
    SessionResult,
    | 'text'
    | 'finalText'
    | 'toolUses'
    | 'serverToolUses'
    | 'unconfirmed'
    | 'outcome'
    | 'usage'
    | 'costUsd'
    | 'events'
    | 'turns'
  > {
    const { costUsd, usage } = this;
    const outcome = this.#outcome;
    const texts = [...this.#texts, this.#turnText];
    return {
      text: texts.filter((text) => text !== '').join('\n'),
      finalText: this.#turnText === '' ? (this.#texts.at(-1) ?? '') : this.#turnText,
      toolUses: this.#toolUses,
      serverToolUses: this.#serverToolUses,
      unconfirmed: [...this.#undecided.values()],
      ...(outcome === undefined ? {} : { outcome }),
      usage,
      ...(costUsd === undefined ? {} : { costUsd }),
      events: this.events,
      turns: this.#turns,
    };
  }
}
