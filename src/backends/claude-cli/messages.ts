/** What Claude Code says on standard output (`stream-json`), as events. */
import type { BackendEvent, BackendFailure } from '../backend.js';
import type { CliMessage } from '../cli-turn.js';
import { type FailureKind, failure, kindOfStatus } from '../failure.js';
import { toUsage, UsageMeter } from '../usage.js';
import { UsageLedger, usageEvents } from '../usage-ledger.js';

/** Reads the messages of one turn. Source: the Agent SDK's message types, and Claude Code 2.1 itself. */
export class ClaudeMessages {
  readonly #provider: string;
  readonly #told = new Set<string>();
  /** Messages whose text has arrived piece by piece already. */
  readonly #streamed = new Set<unknown>();
  /** Messages whose counts were told as they came whole. */
  readonly #counted = new Set<unknown>();
  readonly #ledger = new UsageLedger();
  #streaming: unknown;
  /** Anthropic's counts of the message that is being streamed, and what of them has been told. */
  #counts: CliMessage = {};
  #meter = new UsageMeter();
  #sessionId: string | undefined;
  #errorWord: string | undefined;

  constructor(provider: string) {
    this.#provider = provider;
  }

  /** The id the CLI has told, and keeps the conversation under. */
  get sessionId(): string | undefined {
    return this.#sessionId;
  }

  *read(message: CliMessage): Generator<BackendEvent> {
    // A session that could not be taken up is told another id, of a conversation there is none of.
    if (message.type !== 'result' || message.is_error !== true) yield* this.#session(message.session_id);
    if (message.type === 'stream_event') yield* this.#piece(message);
    if (message.type === 'assistant') yield* this.#assistant(message);
    if (message.type === 'user') yield* this.#toolResults(message);
    if (message.type === 'result') yield* this.#result(message);
  }

  *#session(id: unknown): Generator<BackendEvent> {
    if (typeof id !== 'string' || id === '') return;
    const isFirst = this.#sessionId === undefined;
    this.#sessionId = id;
    if (isFirst) yield { type: 'session', sessionId: id };
  }

  *#piece({ event, parent_tool_use_id: parent }: CliMessage): Generator<BackendEvent> {
    if (isPresent(parent)) return;
    const { type, message, delta, usage } = members(event);
    if (type === 'message_start') yield* this.#started(members(message));
    if (type === 'message_delta') yield* this.#count(members(usage));
    const { type: kind, text } = members(delta);
    if (type !== 'content_block_delta' || kind !== 'text_delta' || typeof text !== 'string') return;
    this.#streamed.add(this.#streaming);
    yield { type: 'text', text };
  }

  *#started({ id, usage }: CliMessage): Generator<BackendEvent> {
    this.#streaming = id;
    this.#counts = {};
    this.#meter = new UsageMeter();
    // The output is counted when the message ends; what it starts with is a guess.
    yield* this.#count({ ...members(usage), output_tokens: undefined });
  }

  /** The counts of one message only grow, and those that stay the same may be left out. */
  *#count(counts: CliMessage): Generator<BackendEvent> {
    const told = Object.entries(counts).filter(([, count]) => isPresent(count));
    this.#counts = { ...this.#counts, ...Object.fromEntries(told) };
    const sum = toUsage(this.#counts);
    if (sum !== undefined) yield* usageEvents(this.#ledger.tell(this.#meter.read(sum)));
  }

  /** Where nothing is streamed, a message comes once for each of its blocks, every time with the counts of its start. */
  *#whole(id: unknown, counts: CliMessage): Generator<BackendEvent> {
    if (this.#streaming !== undefined || this.#counted.has(id)) return;
    this.#counted.add(id);
    yield* usageEvents(this.#ledger.tell(toUsage({ ...counts, output_tokens: undefined })));
  }

  *#assistant({ message, parent_tool_use_id: parent, error }: CliMessage): Generator<BackendEvent> {
    if (typeof error === 'string') this.#errorWord = error;
    const { id: messageId, usage } = members(message);
    if (!isPresent(parent)) yield* this.#whole(messageId, members(usage));
    for (const block of blocksOf(message)) {
      const { type, text, id, name, input } = members(block);
      // What a subagent says is no part of the answer; what it does is told. An API error is told as such at the end.
      const isAnswer = !isPresent(parent) && error === undefined && !this.#streamed.has(messageId);
      if (type === 'text' && typeof text === 'string' && text !== '' && isAnswer) yield { type: 'text', text };
      if (type !== 'tool_use' || typeof id !== 'string' || this.#told.has(id)) continue;
      this.#told.add(id);
      yield { type: 'tool_use', id, name: String(name), input };
    }
  }

  *#toolResults({ message }: CliMessage): Generator<BackendEvent> {
    for (const block of blocksOf(message)) {
      const { type, tool_use_id: id, content, is_error: isError } = members(block);
      if (type !== 'tool_result' || typeof id !== 'string' || !this.#told.delete(id)) continue;
      yield { type: 'tool_result', id, output: content, isError: isError === true };
    }
  }

  *#result(message: CliMessage): Generator<BackendEvent> {
    const { subtype, is_error: isError, result, stop_reason: stopReason, num_turns: numTurns } = message;
    const usage = toUsage(message.usage);
    const costUsd = turnCost(message);
    if (isError === true || subtype !== 'success') {
      // What it cost all the same, for an error has no member for it.
      yield* usageEvents(this.#ledger.rest(costUsd === undefined ? usage : { ...usage, costUsd }));
      yield { type: 'error', error: this.#failure(message) };
      return;
    }
    yield* usageEvents(this.#ledger.rest(usage));
    yield {
      type: 'result',
      ...(typeof result === 'string' ? { text: result } : {}),
      ...(this.#sessionId === undefined ? {} : { sessionId: this.#sessionId }),
      ...(costUsd === undefined ? {} : { costUsd }),
      ...(typeof numTurns === 'number' ? { numTurns } : {}),
      stopReason: typeof stopReason === 'string' ? stopReason : 'success',
      data: message,
    };
  }

  #failure(message: CliMessage): BackendFailure {
    const { subtype, result, errors, api_error_status: status } = message;
    const reasons = Array.isArray(errors) ? errors.filter((reason) => typeof reason === 'string') : [];
    const told = typeof result === 'string' && result !== '' ? result : reasons.join('; ');
    const text = told === '' ? `Claude Code ended with ${String(subtype)}` : told;
    if (typeof status === 'number') {
      return failure(this.#provider, kindOfStatus(status), text, { status, raw: message });
    }
    const kind = lostSession.test(text)
      ? 'not_found'
      : (subtypeKinds[String(subtype)] ?? wordKinds[this.#errorWord ?? ''] ?? 'unknown');
    return failure(this.#provider, kind, text, { raw: message });
  }
}

/** What Claude Code says, in words only, of an id to resume by that it knows nothing of. */
const lostSession = /^(No conversation found with session ID|Error: --resume requires a valid session ID)/;

const subtypeKinds: Readonly<Record<string, FailureKind>> = {
  error_max_turns: 'limit',
  error_max_budget_usd: 'limit',
  error_max_structured_output_retries: 'limit',
};

/** The words of the SDK's `AssistantMessageError`. */
const wordKinds: Readonly<Record<string, FailureKind>> = {
  authentication_failed: 'authentication',
  oauth_org_not_allowed: 'permission',
  billing_error: 'permission',
  rate_limit: 'rate_limit',
  invalid_request: 'invalid_request',
  model_not_found: 'not_found',
  server_error: 'server',
  overloaded: 'overloaded',
  max_output_tokens: 'incomplete',
};

/**
 * What the turn cost. `total_cost_usd` counts the whole session once it is resumed (seen in 2.1.329: a second turn of the
 * same price tells twice the first one's), so the costs since the last result are preferred where they are told.
 */
function turnCost({ model_usage_since_last_result: since, total_cost_usd: total }: CliMessage): number | undefined {
  const costs = Object.values(members(since)).map((usage) => members(usage).costUSD);
  const known = costs.filter((cost) => typeof cost === 'number');
  if (known.length > 0) return known.reduce((sum, cost) => sum + cost, 0);
  return typeof total === 'number' ? total : undefined;
}

function blocksOf(message: unknown): readonly unknown[] {
  const { content } = members(message);
  return Array.isArray(content) ? content : [];
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function members(value: unknown): CliMessage {
  return typeof value === 'object' && value !== null ? (value as CliMessage) : {};
}
