/** One prompt through a backend, read to its first terminal event and no further. */
import type {
  AnsweredCall,
  Backend,
  BackendEvent,
  BackendTurn,
  Prompt,
  Response,
  ResultEvent,
} from '../backends/backend.js';
import { AgentFlowError, isAgentFlowError } from '../errors.js';
import { backendFailed, toldFailure } from './host-errors.js';
import type { QueueLimits } from './queue.js';
import { bytesOf } from './request.js';

type Usage = NonNullable<Response['usage']>;

/** What a turn is run with. */
export interface TurnParts {
  readonly backend: Backend;
  readonly session: unknown;
  readonly prompt: Prompt;
  /** Calls that the turn is to go on from, instead of being asked. */
  readonly answered: readonly AnsweredCall[] | undefined;
  /** Its reason, an error of this package, is why the turn failed. */
  readonly signal: AbortSignal;
  /** Told every event, the terminal one too, before it is acted on. What it throws fails the turn. */
  readonly onEvent: (event: BackendEvent) => void | PromiseLike<void>;
  /** What is kept of the events: the first ones. */
  readonly events: QueueLimits;
  /** A turn with more events fails instead of leaving some out of its response. */
  readonly isLossless: boolean;
  readonly now: () => number;
}

/** How a turn ended. */
export interface TurnEnd {
  readonly session: unknown;
  readonly response: Response;
  readonly error: AgentFlowError | undefined;
  /** The backend answered, be it with a result that it calls an error. */
  readonly isAnswered: boolean;
}

/** Runs one turn. Never rejects; ends at once when the signal fires, whether or not the backend notices. */
export async function runTurn(parts: TurnParts): Promise<TurnEnd> {
  const turn = new Turn(parts);
  const error = await turn.toEnd();
  return turn.end(error);
}

class Turn {
  readonly #parts: TurnParts;
  readonly #startedAt: number;
  readonly #events: BackendEvent[] = [];
  #bytes = 0;
  #omitted = 0;
  #text = '';
  #usage: Usage | undefined;
  #sessionId: string | undefined;
  #result: ResultEvent | undefined;
  #session: unknown;

  constructor(parts: TurnParts) {
    this.#parts = parts;
    this.#session = parts.session;
    this.#startedAt = parts.now();
  }

  end(error: AgentFlowError | undefined): TurnEnd {
    const { text = this.#text, costUsd = this.#usage?.costUsd, numTurns, stopReason, sessionId } = this.#result ?? {};
    const response: Response = {
      text,
      events: this.#events,
      ...(this.#omitted === 0 ? {} : { omittedEvents: this.#omitted }),
      usage: this.#usage,
      durationMs: this.#parts.now() - this.#startedAt,
      sessionId: sessionId ?? this.#sessionId,
      ...(costUsd === undefined ? {} : { costUsd }),
      ...(numTurns === undefined ? {} : { numTurns }),
      ...(stopReason === undefined ? {} : { stopReason }),
      isError: error !== undefined,
    };
    return { session: this.#session, response, error, isAnswered: this.#result !== undefined };
  }

  async toEnd(): Promise<AgentFlowError | undefined> {
    const { backend, signal } = this.#parts;
    try {
      signal.throwIfAborted();
      const begun = await this.#begin(this.#ask());
      this.#session = begun.session;
      const result = await this.#read(begun.events[Symbol.asyncIterator]());
      if (result.isError) return this.#markedAsError(result);
      if (backend.updateSession !== undefined) {
        this.#session = await untilAborted(signal, backend.updateSession(this.#session, result));
      }
      return undefined;
    } catch (thrown) {
      return signal.aborted && isAgentFlowError(signal.reason) ? signal.reason : backendFailed(backend.name, thrown);
    }
  }

  #ask(): Promise<BackendTurn<unknown>> | BackendTurn<unknown> {
    const { backend, prompt, answered, signal } = this.#parts;
    return answered === undefined || backend.resumeTurn === undefined
      ? backend.prompt(this.#session, prompt, { signal })
      : backend.resumeTurn(this.#session, answered, { signal });
  }

  async #begin(prompted: Promise<BackendTurn<unknown>> | BackendTurn<unknown>): Promise<BackendTurn<unknown>> {
    if (!isPromise(prompted)) return prompted;
    try {
      return await untilAborted(this.#parts.signal, prompted);
    } catch (error) {
      // A turn that comes too late is nobody's: nothing of it may be left running.
      prompted.then(({ events }) => leave(events[Symbol.asyncIterator]())).catch(() => {});
      throw error;
    }
  }

  async #read(iterator: AsyncIterator<BackendEvent>): Promise<ResultEvent> {
    const { signal, onEvent } = this.#parts;
    let isOver = false;
    try {
      for (;;) {
        const next = await untilAborted(signal, iterator.next());
        isOver = next.done === true;
        if (next.done) throw noTerminal();
        this.#keep(next.value);
        const told = onEvent(next.value);
        if (isPromise(told)) await untilAborted(signal, told);
        signal.throwIfAborted();
        if (next.value.type === 'error') throw toldFailure(next.value.error);
        if (next.value.type === 'result') return next.value;
      }
    } finally {
      if (!isOver) leave(iterator);
    }
  }

  #keep(event: BackendEvent): void {
    this.#keepWhole(event);
    if (event.type === 'text') this.#text += event.text;
    else if (event.type === 'usage') this.#usage = addUsage(this.#usage, event.usage);
    else if (event.type === 'session') this.#sessionId = event.sessionId;
    else if (event.type === 'result') this.#result = event;
  }

  /** The first ones that fit; from the first that does not, they are only counted. */
  #keepWhole(event: BackendEvent): void {
    const { events, isLossless } = this.#parts;
    const bytes = bytesOf(event);
    const fits = this.#events.length < events.maxCount && this.#bytes + bytes <= events.maxBytes;
    if (!fits && isLossless) throw tooManyEvents(events);
    if (!fits || this.#omitted > 0) {
      this.#omitted += 1;
      return;
    }
    this.#events.push(event);
    this.#bytes += bytes;
  }

  #markedAsError({ stopReason, text }: ResultEvent): AgentFlowError {
    const message =
      text || `The backend marked its result as an error${stopReason === undefined ? '' : `: ${stopReason}`}`;
    return new AgentFlowError('BACKEND_FAILED', message, {
      details: { provider: this.#parts.backend.name, stopReason },
    });
  }
}

function noTerminal(): AgentFlowError {
  return new AgentFlowError('BACKEND_NO_TERMINAL', 'The backend ended its events without saying how the turn went');
}

function tooManyEvents({ maxCount, maxBytes }: QueueLimits): AgentFlowError {
  const message = `The turn had more than ${maxCount} events, or ${maxBytes} bytes of them`;
  return new AgentFlowError('TURN_EVENTS_OVERFLOW', message, { details: { maxCount, maxBytes } });
}

function addUsage(first: Usage | undefined, second: Usage): Usage {
  if (first === undefined) return second;
  const sum: Record<string, number> = { ...first };
  for (const [counter, count] of Object.entries(second)) {
    if (count !== undefined) sum[counter] = (sum[counter] ?? 0) + count;
  }
  return sum;
}

function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> & Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value;
}

/** The work's own end, or the signal's reason as soon as it fires; the work is then left to itself. */
function untilAborted<T>(signal: AbortSignal, work: T | PromiseLike<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    const settle = () => signal.removeEventListener('abort', stop);
    Promise.resolve(work).then(resolve, reject).then(settle);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/** Lets the backend clean up; nobody waits for it, and what it throws changes nothing any more. */
function leave(iterator: AsyncIterator<BackendEvent>): void {
  Promise.resolve()
    .then(() => iterator.return?.())
    .catch(() => {});
}
