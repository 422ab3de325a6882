/** One prompt through any backend, to its end: what every caller of a backend does alike. */
import { type AgentFlowError, toAgentFlowError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import type { Backend, BackendEvent, BackendTurn, Prompt, Response, ResultEvent } from './backend.js';
import { BackendError } from './backend-error.js';
import { failure, failureOf } from './failure.js';
import { ResponseBuilder } from './response-builder.js';
import { OperationSpan, type TelemetryOptions } from './telemetry.js';
import { untilAborted } from './until-aborted.js';

/** How one prompt is run. */
export interface RunPromptOptions {
  /** Cancels the turn. */
  readonly signal?: AbortSignal;
  /** Told every event, the terminal one too, in order; the next is read when it has returned. What it throws ends the turn. */
  readonly onEvent?: (event: BackendEvent) => void | Promise<void>;
  /** Events kept in the response. @default 10_000 */
  readonly maxEvents?: number;
  /** For the span of the prompt. @default names and figures, no content */
  readonly telemetry?: TelemetryOptions;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** What became of a prompt. */
export interface PromptOutcome<Session> {
  /** To be prompted next, whether the turn succeeded or not. */
  readonly session: Session;
  /** The turn; of one that failed, what there was of it. */
  readonly response: Response;
  /** Why it failed: a {@link BackendError}, or what `onEvent` threw. */
  readonly error: AgentFlowError | undefined;
}

const defaultMaxEvents = 10_000;

/**
 * Asks, reads the events up to the first terminal and nothing after it, and folds a successful result into the session,
 * once. Never rejects: a turn that fails, is cancelled or ends without a terminal is an outcome with an error.
 */
export async function runPrompt<Session>(
  backend: Backend<Session>,
  session: Session,
  prompt: Prompt,
  options: RunPromptOptions = {},
): Promise<PromptOutcome<Session>> {
  const { clock = systemClock, telemetry = {}, maxEvents = defaultMaxEvents } = options;
  const startedAt = clock.now();
  const builder = new ResponseBuilder(maxEvents);
  const run = new PromptRun(backend, session, builder, options);
  const { agentName } = telemetry;
  const span = new OperationSpan('invoke_agent', agentName ?? backend.name, telemetry);
  span.tell({ provider: backend.name, agentName });
  span.tellContent({ prompt });
  const error = await span.run(() => run.toEnd(prompt));
  const response = builder.build(clock.now() - startedAt, error !== undefined);
  span.tell({ conversationId: response.sessionId, usage: response.usage, finishReason: response.stopReason });
  span.tellContent({ answer: response.text });
  span.end(error instanceof BackendError ? error.kind : error?.code);
  return { session: run.session, response, error: error instanceof BackendError ? error.with(response) : error };
}

/** One prompt while it runs. */
class PromptRun<Session> {
  readonly #backend: Backend<Session>;
  readonly #builder: ResponseBuilder;
  readonly #signal: AbortSignal;
  readonly #onEvent: RunPromptOptions['onEvent'];
  readonly #clock: Clock;
  #session: Session;

  constructor(
    backend: Backend<Session>,
    session: Session,
    builder: ResponseBuilder,
    { signal = new AbortController().signal, onEvent, clock = systemClock }: RunPromptOptions,
  ) {
    this.#backend = backend;
    this.#session = session;
    this.#builder = builder;
    this.#signal = signal;
    this.#onEvent = onEvent;
    this.#clock = clock;
  }

  get session(): Session {
    return this.#session;
  }

  /** Answers why the turn failed, if it did. */
  async toEnd(prompt: Prompt): Promise<AgentFlowError | undefined> {
    try {
      this.#signal.throwIfAborted();
      const turn = await this.#begin(prompt);
      this.#session = turn.session;
      const result = await this.#read(turn.events);
      const { updateSession } = this.#backend;
      if (updateSession !== undefined) this.#session = await updateSession.call(this.#backend, this.#session, result);
      return undefined;
    } catch (thrown) {
      return thrown instanceof ObserverFailure ? toAgentFlowError(thrown.thrown) : this.#failure(thrown);
    }
  }

  async #begin(prompt: Prompt): Promise<BackendTurn<Session>> {
    const signal = this.#signal;
    const turn = Promise.resolve(this.#backend.prompt(this.#session, prompt, { signal }));
    try {
      return await untilAborted(signal, turn);
    } catch (error) {
      // A turn that comes too late is nobody's: nothing of it may be left running.
      turn.then(({ events }) => leave(events[Symbol.asyncIterator]())).catch(() => {});
      throw error;
    }
  }

  async #read(events: AsyncIterable<BackendEvent>): Promise<ResultEvent> {
    const iterator = events[Symbol.asyncIterator]();
    let isOver = false;
    try {
      for (;;) {
        const next = await untilAborted(this.#signal, iterator.next());
        isOver = next.done === true;
        if (next.done) throw noTerminal(this.#backend.name);
        this.#builder.add(next.value);
        await this.#tell(next.value);
        if (next.value.type === 'error') throw new BackendError(next.value.error);
        if (next.value.type === 'result') return this.#succeeded(next.value);
      }
    } finally {
      if (!isOver) await leave(iterator, this.#signal);
    }
  }

  async #tell(event: BackendEvent): Promise<void> {
    try {
      await this.#onEvent?.(event);
    } catch (error) {
      throw new ObserverFailure(error);
    }
  }

  #succeeded(result: ResultEvent): ResultEvent {
    if (!result.isError) return result;
    const { stopReason = 'without saying why', text } = result;
    const message = text || `The backend marked its result as an error: ${stopReason}`;
    throw new BackendError(failure(this.#backend.name, 'unknown', message, { raw: result }));
  }

  /** Whatever a turn fails with once its signal has fired, it was cancelled. */
  #failure(thrown: unknown): BackendError {
    const { aborted, reason } = this.#signal;
    if (thrown instanceof BackendError && !aborted) return thrown;
    const { name: provider } = this.#backend;
    const told = failureOf(thrown, { provider, signal: this.#signal, now: this.#clock.now() });
    return new BackendError(told, { cause: aborted ? reason : thrown });
  }
}

function noTerminal(provider: string): BackendError {
  const message = 'The backend ended its events without saying how the turn went';
  return new BackendError(failure(provider, 'protocol', message, { retryable: true }), { code: 'BACKEND_NO_TERMINAL' });
}

/** What `onEvent` threw, on its way past the errors of the backend. */
class ObserverFailure {
  readonly thrown: unknown;

  constructor(thrown: unknown) {
    this.thrown = thrown;
  }
}

/** Lets the backend clean up. It is not waited for beyond the signal, and what it throws changes nothing any more. */
async function leave(iterator: AsyncIterator<BackendEvent>, signal?: AbortSignal): Promise<void> {
  const left = Promise.resolve(iterator.return?.()).catch(() => {});
  await (signal === undefined ? left : untilAborted(signal, left)).catch(() => {});
}
