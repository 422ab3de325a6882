/** What `codex exec --json` says on standard output, as events. */
import { v4 as uuid } from 'uuid';
import type { Usage } from '../../../schemas/index.js';
import type { BackendEvent, BackendFailure } from '../backend.js';
import { BackendError } from '../backend-error.js';
import type { CliMessage } from '../cli-turn.js';
import { type FailureKind, failure, kindOfStatus } from '../failure.js';
import { toUsage, UsageMeter } from '../usage.js';

/** What a turn's result carries for the session. */
export interface CodexResultData {
  /** Codex's counters, which count the whole thread. */
  readonly cumulative: Usage | undefined;
  readonly completed: CliMessage;
}

/** How the answer is made of Codex's messages. */
export type CodexResponseText = 'final_message' | 'all_messages';

/** Reads the messages of one turn. Source: codex-rs/exec/src/exec_events.rs, and Codex 0.169 itself. */
export class CodexMessages {
  readonly #provider: string;
  readonly #responseText: CodexResponseText;
  /** Where the counters of the thread stand; undefined when that is not known, as after another process. */
  readonly #start: Usage | undefined;
  readonly #resumed: string | undefined;
  /** Texts by item, as far as they have been told. */
  readonly #texts = new Map<string, string>();
  readonly #told = new Set<string>();
  readonly #turnId = uuid();
  #threadId: string | undefined;
  #lastError: string | undefined;

  /** @param resumed the thread that is to be gone on with */
  constructor(provider: string, responseText: CodexResponseText, start: Usage | undefined, resumed?: string) {
    this.#provider = provider;
    this.#resumed = resumed;
    this.#responseText = responseText;
    this.#start = start;
  }

  *read(message: CliMessage): Generator<BackendEvent> {
    const { type, item, error } = message;
    if (type === 'thread.started') yield* this.#session(message.thread_id);
    if (type === 'item.started' || type === 'item.updated') yield* this.#item(members(item), false);
    if (type === 'item.completed') yield* this.#item(members(item), true);
    // An error by itself may be one that Codex goes on to try again after.
    if (type === 'error' && typeof message.message === 'string') this.#lastError = message.message;
    if (type === 'turn.failed') yield { type: 'error', error: this.#failure(message, members(error).message) };
    if (type === 'turn.completed') yield* this.#completed(message);
  }

  *#session(id: unknown): Generator<BackendEvent> {
    if (typeof id !== 'string' || id === '' || this.#threadId !== undefined) return;
    // Of an id that cannot be a thread's, Codex begins a new thread and says nothing. Thrown, so that it ends at once.
    if (this.#resumed !== undefined && this.#resumed !== id) {
      const message = `Codex knows no thread ${this.#resumed}, and has begun another one`;
      throw new BackendError(failure(this.#provider, 'not_found', message, { raw: { thread_id: id } }));
    }
    this.#threadId = id;
    yield { type: 'session', sessionId: id };
  }

  *#item(item: CliMessage, isDone: boolean): Generator<BackendEvent> {
    const { id, type, text } = item;
    if (typeof id !== 'string') return;
    if (type === 'agent_message' && typeof text === 'string') yield* this.#text(id, text);
    const call = callOf(item);
    if (call === undefined) return;
    if (!this.#told.has(id)) {
      this.#told.add(id);
      yield { type: 'tool_use', id: this.#callId(id), name: call.name, input: call.input };
    }
    if (isDone) yield { type: 'tool_result', id: this.#callId(id), output: call.output, isError: call.isError };
  }

  /** Items are numbered anew in each turn, and an id must be unique in its session. */
  #callId(id: string): string {
    return `${this.#turnId}:${id}`;
  }

  *#text(id: string, text: string): Generator<BackendEvent> {
    const before = this.#texts.get(id) ?? '';
    this.#texts.set(id, text);
    const piece = text.startsWith(before) ? text.slice(before.length) : text;
    if (piece !== '') yield { type: 'text', text: piece };
  }

  *#completed(message: CliMessage): Generator<BackendEvent> {
    const cumulative = toUsage(message.usage);
    if (cumulative !== undefined && this.#start !== undefined) {
      yield { type: 'usage', usage: new UsageMeter(this.#start).read(cumulative) };
    }
    const texts = [...this.#texts.values()];
    const data: CodexResultData = { cumulative, completed: message };
    yield {
      type: 'result',
      text: this.#responseText === 'all_messages' ? texts.join('\n\n') : (texts.at(-1) ?? ''),
      ...(this.#threadId === undefined ? {} : { sessionId: this.#threadId }),
      stopReason: 'completed',
      data,
    };
  }

  #failure(message: CliMessage, told: unknown): BackendFailure {
    const text =
      typeof told === 'string' && told !== '' ? told : (this.#lastError ?? 'Codex failed without saying why');
    const status = statusIn(text);
    const kind = status === undefined ? kindOfSentence(text) : kindOfStatus(status);
    return failure(this.#provider, kind, text, { raw: message, ...(status === undefined ? {} : { status }) });
  }
}

/** A tool call as an item tells it; undefined for an item that is none. */
function callOf(item: CliMessage): { name: string; input: unknown; output: unknown; isError: boolean } | undefined {
  const { type, status, exit_code: exitCode } = item;
  const isError = status === 'failed' || status === 'declined' || (typeof exitCode === 'number' && exitCode !== 0);
  if (type === 'command_execution') {
    return { name: type, input: { command: item.command }, output: item.aggregated_output ?? '', isError };
  }
  if (type === 'mcp_tool_call') {
    const { server, tool, arguments: input, result, error } = item;
    return { name: `${String(server)}.${String(tool)}`, input: input ?? {}, output: result ?? error ?? null, isError };
  }
  if (type === 'file_change') return { name: type, input: { changes: item.changes }, output: status ?? null, isError };
  if (type === 'web_search') return { name: type, input: { query: item.query }, output: null, isError };
  return undefined;
}

/**
 * Codex tells causes in words only. A status in its sentence is a fact; its other sentences are fixed
 * (codex-rs/protocol/src/error.rs), and one that is not known here is no more than `unknown`.
 */
const sentences: readonly (readonly [start: string, kind: FailureKind])[] = [
  ['stream disconnected before completion', 'network'],
  ['Connection failed', 'network'],
  ['error sending request', 'network'],
  ['We’re currently experiencing high demand', 'server'],
  ['Selected model is at capacity', 'overloaded'],
  ['You’ve hit your usage limit', 'rate_limit'],
  ["You've hit your usage limit", 'rate_limit'],
  ['Quota exceeded', 'rate_limit'],
  ['Codex ran out of room in the model', 'incomplete'],
  ['timeout waiting for', 'timeout'],
  ['request timed out', 'timeout'],
  // The body of a 400, as it came.
  ['{', 'invalid_request'],
];

function kindOfSentence(text: string): FailureKind {
  return sentences.find(([start]) => text.startsWith(start))?.[1] ?? 'unknown';
}

function statusIn(text: string): number | undefined {
  const [, status] = /^(?:unexpected status|exceeded retry limit, last status:) (\d{3})\b/.exec(text) ?? [];
  return status === undefined ? undefined : Number(status);
}

function members(value: unknown): CliMessage {
  return typeof value === 'object' && value !== null ? (value as CliMessage) : {};
}
