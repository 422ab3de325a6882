/**
 * A model behind an HTTP API, with tools, as a backend: ask, run the calls, answer them, until the model is done.
 *
 * A turn that fails is dropped whole, its calls too, for the conversation is kept on this side and can go back. The tool
 * loop does otherwise: it finishes what a hosted session has begun. The vendors' providers run under it as well, for those
 * who want its journal, budgets and guards.
 */
import { type Context, context } from '@opentelemetry/api';
import { InvalidValueError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import type { OpenOptions, ProviderTurn, RequestResponseProvider, ToolResult, ToolUse } from '../providers/provider.js';
import type { AnsweredCall, Backend, BackendEvent, BackendFailure, BackendSessionOptions } from './backend.js';
import { BackendError } from './backend-error.js';
import { type FailureContext, type FailureKind, failure } from './failure.js';
import { inOrder } from './in-order.js';
import { OperationSpan, type TelemetryOptions } from './telemetry.js';
import { untilAborted } from './until-aborted.js';
import { UsageLedger, usageEvents } from './usage-ledger.js';

/** A tool the model may call. */
export interface BackendTool {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of its input. */
  readonly inputSchema: Readonly<Record<string, unknown>>;
  /** What it answers: a string as it is, anything else as JSON. What it throws is told to the model as an error. */
  run(input: unknown, call: ToolCall): unknown;
}

/** What a tool is told beside its input. */
export interface ToolCall {
  /** The vendor's id of the call; the one the events tell. */
  readonly toolUseId: string;
  /** The conversation's, the same in all its turns. */
  readonly sessionId: string;
  /** Fires when the turn is cancelled; a tool that does not listen is left to itself. */
  readonly signal: AbortSignal;
}

/** A session of a model backend. */
export interface ModelSession<Session> {
  readonly conversation: Session;
  /** Fires when the session is terminated. */
  readonly ending: AbortController;
}

/** What makes a backend of a provider. */
export interface ModelBackendOptions<Session, Event, Input> {
  readonly provider: RequestResponseProvider<Session, Event, Input>;
  /** For the spans of the model's calls. */
  readonly model: string;
  readonly telemetry?: TelemetryOptions | undefined;
  /** The id to take a session up by, where it changes from turn to turn. @default the provider's own */
  readonly resumeId?: (session: Session) => string | undefined;
  readonly tools: readonly BackendTool[];
  readonly maxTurns: number;
  /** For a `retry-after` that is a date. @default the machine's */
  readonly clock?: Clock | undefined;
  /** What the vendor's client has thrown, as a failure. */
  readonly failureOf: (thrown: unknown, context: FailureContext) => BackendFailure;
  /** Why a turn ended that can go no further, by the vendor's word for it. */
  readonly stopKinds: Readonly<Record<string, FailureKind>>;
}

/** A backend whose sessions are the provider's own. Throws `INVALID_VALUE` for a bound on turns that is none. */
export function modelBackend<Session, Event, Input>(
  options: ModelBackendOptions<Session, Event, Input>,
): Backend<ModelSession<Session>> & {
  resumeSession(sessionId: string, options?: BackendSessionOptions): Promise<ModelSession<Session>>;
} {
  const { provider, maxTurns } = options;
  if (!(typeof maxTurns === 'number' && maxTurns >= 1)) throw noBound(maxTurns);
  const open = async (how: OpenOptions): Promise<ModelSession<Session>> => {
    const ending = new AbortController();
    return { conversation: await provider.open(how, { signal: ending.signal }), ending };
  };
  return {
    name: provider.name,
    startSession: (how = {}) => open(how),
    resumeSession: (sessionId, how = {}) => open({ ...how, sessionId }),
    prompt: (session, prompt, { signal }) => {
      const turn = new ModelTurn(options, session.conversation, [signal, session.ending.signal]);
      // Made at once, so that a prompt the vendor has no words for is refused before anything is asked.
      return { session, events: turn.events(provider.userInput(prompt)) };
    },
    resumeTurn: (session, answered, { signal }) => {
      const turn = new ModelTurn(options, session.conversation, [signal, session.ending.signal]);
      return { session, events: turn.events(provider.resumeInput(answered, answered.map(resultOf))) };
    },
    terminateSession: ({ ending }) => ending.abort(),
  };
}

class ModelTurn<Session, Event, Input> {
  readonly #options: ModelBackendOptions<Session, Event, Input>;
  readonly #session: Session;
  readonly #signals: readonly AbortSignal[];
  readonly #work = new AbortController();
  /** What the turn's spans hang below. */
  readonly #outer: Context = context.active();

  constructor(options: ModelBackendOptions<Session, Event, Input>, session: Session, signals: readonly AbortSignal[]) {
    this.#options = options;
    this.#session = session;
    this.#signals = signals;
  }

  async *events(first: Input): AsyncGenerator<BackendEvent> {
    const stop = () => this.#work.abort(this.#signals.find(({ aborted }) => aborted)?.reason);
    for (const signal of this.#signals) signal.addEventListener('abort', stop, { once: true });
    if (this.#signals.some(({ aborted }) => aborted)) stop();
    try {
      yield* this.#turns(first);
    } catch (thrown) {
      yield { type: 'error', error: this.#failureOf(thrown) };
    } finally {
      for (const signal of this.#signals) signal.removeEventListener('abort', stop);
      this.#work.abort();
    }
  }

  async *#turns(first: Input): AsyncGenerator<BackendEvent> {
    const { provider, maxTurns, stopKinds } = this.#options;
    this.#work.signal.throwIfAborted();
    const sessionId = provider.sessionId(this.#session);
    const resumeId = this.#resumeId();
    if (resumeId !== undefined) yield { type: 'session', sessionId: resumeId };
    let input = first;
    for (let numTurns = 1; ; numTurns++) {
      const { terminal, stopReason, toolUses: handedBack, serverToolUses } = yield* this.#callModel(input);
      for (const { id, name, input } of serverToolUses) yield { type: 'tool_use', id, name, input };
      if (terminal === 'end_turn') return yield* this.#answered({ numTurns, stopReason }, resumeId);
      if (terminal === 'terminated') throw this.#failed(stopKinds[stopReason] ?? 'unknown', stopReason);
      if (numTurns >= maxTurns) throw this.#failed('limit', `more than ${maxTurns} model turns`);
      // A call that is there twice is one.
      const toolUses = [...new Map(handedBack.map((use) => [use.id, use])).values()];
      for (const { id, name, input } of toolUses) yield { type: 'tool_use', id, name, input };
      const results: ToolResult[] = [];
      // Each as soon as it is there: what has been told is not run again.
      for (const answer of inOrder(toolUses, (use) => this.#run(use, sessionId))) {
        const { result, output } = await answer;
        results.push(result);
        yield { type: 'tool_result', id: result.toolUseId, output, isError: result.isError };
      }
      input = provider.resumeInput(toolUses, results);
    }
  }

  /** One request, told as it is answered. */
  async *#callModel(input: Input): AsyncGenerator<BackendEvent, ProviderTurn, undefined> {
    const { provider, model } = this.#options;
    const { signal } = this.#work;
    const events: Event[] = [];
    const ledger = new UsageLedger();
    const span = this.#span('chat', model);
    // A reader that leaves gets no further than a `yield`.
    let errorType: string | undefined = 'cancelled';
    try {
      for await (const event of span.read(provider.request(this.#session, input, { signal }))) {
        events.push(event);
        const { text, usage } = provider.peek(event);
        if (text !== undefined && text !== '') yield { type: 'text', text };
        yield* usageEvents(ledger.tell(usage));
      }
      signal.throwIfAborted();
      const turn = provider.normalize(events);
      yield* usageEvents(ledger.rest(turn.usage));
      span.tell({ usage: turn.usage, finishReason: turn.stopReason, responseModel: turn.model });
      span.tellContent({ answer: turn.text });
      errorType = undefined;
      return turn;
    } catch (thrown) {
      errorType = this.#failureOf(thrown).kind;
      throw thrown;
    } finally {
      span.end(errorType);
    }
  }

  *#answered(facts: { numTurns: number; stopReason: string }, toldId: string | undefined): Generator<BackendEvent> {
    const resumeId = this.#resumeId();
    if (resumeId !== undefined && resumeId !== toldId) yield { type: 'session', sessionId: resumeId };
    yield { type: 'result', ...(resumeId === undefined ? {} : { sessionId: resumeId }), ...facts };
  }

  #resumeId(): string | undefined {
    const { provider, resumeId = (session) => provider.sessionId(session) } = this.#options;
    return resumeId(this.#session);
  }

  #failureOf(thrown: unknown): BackendFailure {
    const { provider, failureOf, clock = systemClock } = this.#options;
    return failureOf(thrown, { provider: provider.name, signal: this.#work.signal, now: clock.now() });
  }

  #span(operation: 'chat' | 'execute_tool', subject: string): OperationSpan {
    const { provider, model, telemetry } = this.#options;
    const span = new OperationSpan(operation, subject, { content: telemetry?.content ?? false }, this.#outer);
    const conversationId = this.#resumeId() ?? provider.sessionId(this.#session);
    span.tell({ provider: provider.name, conversationId, requestModel: operation === 'chat' ? model : undefined });
    return span;
  }

  #failed(kind: FailureKind, why: string): BackendError {
    const { name } = this.#options.provider;
    return new BackendError(failure(name, kind, `The turn ended early: ${why}`, { raw: why }));
  }

  async #run({ id, name, input }: ToolUse, sessionId: string): Promise<Answer> {
    const { signal } = this.#work;
    signal.throwIfAborted();
    const answer = (output: unknown, isError: boolean): Answer => ({
      output,
      result: { toolUseId: id, name, text: textOf(output), isError },
    });
    const tool = this.#options.tools.find((one) => one.name === name);
    if (tool === undefined) return answer(`There is no tool named ${name}`, true);
    // What the model has written may be no JSON: a tool is not run with what it cannot expect.
    if (tool.inputSchema.type === 'object' && !isObject(input)) return answer('The input is not a JSON object', true);
    const span = this.#span('execute_tool', name);
    span.tell({ toolName: name, toolCallId: id });
    span.tellContent({ toolInput: input });
    let errorType: string | undefined;
    try {
      const call = { toolUseId: id, sessionId, signal };
      const output = await untilAborted(signal, Promise.resolve(span.run(() => tool.run(input, call))));
      span.tellContent({ toolOutput: output });
      return answer(output, false);
    } catch (error) {
      errorType = signal.aborted ? 'cancelled' : 'tool_error';
      signal.throwIfAborted();
      return answer(error instanceof Error ? error.message : String(error), true);
    } finally {
      span.end(errorType);
    }
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function noBound(received: unknown): InvalidValueError {
  return new InvalidValueError('option', [
    { path: 'maxTurns', expected: 'a number from 1', received: String(received) },
  ]);
}

function resultOf({ id, name, output, isError }: AnsweredCall): ToolResult {
  return { toolUseId: id, name, text: textOf(output), isError };
}

function textOf(output: unknown): string {
  return typeof output === 'string' ? output : (JSON.stringify(output) ?? '');
}

interface Answer {
  readonly result: ToolResult;
  readonly output: unknown;
}
