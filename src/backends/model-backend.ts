/**
 * A model behind an HTTP API, with tools, as a backend: ask, run the calls, answer them, until the model is done.
 *
 * A turn that fails is dropped whole, its calls too, for the conversation is kept on this side and can go back. The tool
 * loop does otherwise: it finishes what a hosted session has begun. The vendors' providers run under it as well, for those
 * who want its journal, budgets and guards.
 */
import { type Clock, systemClock } from '../internal/clock.js';
import type { OpenOptions, RequestResponseProvider, ToolResult, ToolUse } from '../providers/provider.js';
import type { Backend, BackendEvent, BackendFailure, BackendSessionOptions } from './backend.js';
import { BackendError } from './backend-error.js';
import { type FailureContext, type FailureKind, failure } from './failure.js';
import { untilAborted } from './until-aborted.js';

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
  readonly toolUseId: string;
  readonly sessionId: string;
  /** Fires when the turn is cancelled; a tool that does not listen is left to itself. */
  readonly signal: AbortSignal;
}

/** A session of a model backend. */
export interface ModelSession<Session> {
  readonly conversation: Session;
  readonly ending: AbortController;
}

/** What makes a backend of a provider. */
export interface ModelBackendOptions<Session, Event, Input> {
  readonly provider: RequestResponseProvider<Session, Event, Input>;
  readonly tools: readonly BackendTool[];
  readonly maxTurns: number;
  /** For a `retry-after` that is a date. @default the machine's */
  readonly clock?: Clock;
  /** What the vendor's client has thrown, as a failure. */
  readonly failureOf: (thrown: unknown, context: FailureContext) => BackendFailure;
  /** Why a turn ended that can go no further, by the vendor's word for it. */
  readonly stopKinds: Readonly<Record<string, FailureKind>>;
}

/** Tools that run at once, as everywhere in this package. */
const maxToolsAtOnce = 8;

/** A backend whose sessions are the provider's own. */
export function modelBackend<Session, Event, Input>(
  options: ModelBackendOptions<Session, Event, Input>,
): Backend<ModelSession<Session>> & {
  resumeSession(sessionId: string, options?: BackendSessionOptions): Promise<ModelSession<Session>>;
} {
  const { provider } = options;
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
    terminateSession: ({ ending }) => ending.abort(),
  };
}

class ModelTurn<Session, Event, Input> {
  readonly #options: ModelBackendOptions<Session, Event, Input>;
  readonly #session: Session;
  readonly #signals: readonly AbortSignal[];
  readonly #work = new AbortController();

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
      const { provider, failureOf, clock = systemClock } = this.#options;
      const context = { provider: provider.name, signal: this.#work.signal, now: clock.now() };
      yield { type: 'error', error: failureOf(thrown, context) };
    } finally {
      for (const signal of this.#signals) signal.removeEventListener('abort', stop);
      this.#work.abort();
    }
  }

  async *#turns(first: Input): AsyncGenerator<BackendEvent> {
    const { provider, maxTurns, stopKinds } = this.#options;
    const { signal } = this.#work;
    signal.throwIfAborted();
    const sessionId = provider.sessionId(this.#session);
    yield { type: 'session', sessionId };
    let input = first;
    for (let numTurns = 1; ; numTurns++) {
      const events: Event[] = [];
      for await (const event of provider.request(this.#session, input, { signal })) {
        events.push(event);
        const { text } = provider.peek(event);
        if (text !== undefined && text !== '') yield { type: 'text', text };
      }
      signal.throwIfAborted();
      const { terminal, stopReason, toolUses, serverToolUses, usage } = provider.normalize(events);
      if (usage !== undefined) yield { type: 'usage', usage };
      for (const { id, name, input } of serverToolUses) yield { type: 'tool_use', id, name, input };
      if (terminal === 'end_turn') return yield { type: 'result', sessionId, numTurns, stopReason };
      if (terminal === 'terminated') throw this.#failed(stopKinds[stopReason] ?? 'unknown', stopReason);
      if (numTurns >= maxTurns) throw this.#failed('limit', `more than ${maxTurns} model turns`);
      for (const { id, name, input } of toolUses) yield { type: 'tool_use', id, name, input };
      const answers = await this.#runAll(toolUses, sessionId);
      for (const { result, output } of answers) {
        yield { type: 'tool_result', id: result.toolUseId, output, isError: result.isError };
      }
      input = provider.resumeInput(
        toolUses,
        answers.map(({ result }) => result),
      );
    }
  }

  #failed(kind: FailureKind, why: string): BackendError {
    const { name } = this.#options.provider;
    return new BackendError(failure(name, kind, `The turn ended early: ${why}`, { raw: why }));
  }

  /** In the order of the calls, at most eight at once. */
  async #runAll(uses: readonly ToolUse[], sessionId: string): Promise<Answer[]> {
    const answers: Answer[] = [];
    const left = uses.entries();
    const worker = async () => {
      for (const [index, use] of left) answers[index] = await this.#run(use, sessionId);
    };
    await Promise.all(Array.from({ length: Math.min(maxToolsAtOnce, uses.length) }, worker));
    return answers;
  }

  async #run({ id, name, input }: ToolUse, sessionId: string): Promise<Answer> {
    const { signal } = this.#work;
    const answer = (output: unknown, isError: boolean): Answer => {
      const text = typeof output === 'string' ? output : (JSON.stringify(output) ?? '');
      return { output, result: { toolUseId: id, name, text, isError } };
    };
    const tool = this.#options.tools.find((one) => one.name === name);
    if (tool === undefined) return answer(`There is no tool named ${name}`, true);
    try {
      const call = { toolUseId: id, sessionId, signal };
      return answer(await untilAborted(signal, Promise.resolve(tool.run(input, call))), false);
    } catch (error) {
      signal.throwIfAborted();
      return answer(error instanceof Error ? error.message : String(error), true);
    }
  }
}

interface Answer {
  readonly result: ToolResult;
  readonly output: unknown;
}
