/** A session that stays open: messages, one after another, and their results. */
import { AgentFlowError } from '../../errors.js';
import { Deferred } from '../../internal/deferred.js';
import { OperationSpan } from '../telemetry.js';
import { Limits, Stopped } from './limits.js';
import type { LoopSession } from './loop-session.js';
import { type Ask, isOutcome, type SessionResult, type Settings } from './options.js';

interface Message {
  readonly ask: Ask | undefined;
  readonly result: Deferred<SessionResult>;
}

/** Drives one request to its end, inside a span of its own. */
export async function driveRequest(
  session: LoopSession,
  settings: Settings,
  ask: Ask | undefined,
  limits: Limits,
): Promise<SessionResult> {
  const { telemetry } = settings;
  const { provider, sessionId } = session.info;
  const span = new OperationSpan('invoke_agent', telemetry.agentName ?? provider, telemetry);
  span.tell({ provider, agentName: telemetry.agentName, conversationId: sessionId });
  span.tellContent({ prompt: isOutcome(ask) ? ask.description : ask, system: settings.system });
  const request = session.request(ask, limits, span);
  for (;;) {
    const next = await request.next();
    if (!next.done) continue;
    const { usage, stopReason, text, error, limit } = next.value;
    span.tell({ usage, finishReason: stopReason });
    span.tellContent({ answer: text });
    span.end(error?.code ?? limit);
    return next.value;
  }
}

/** A session that stays open after a request, for more. */
export class LiveSession implements AsyncDisposable {
  readonly #session: LoopSession;
  readonly #settings: Settings;
  readonly #onResult: (result: SessionResult) => void;
  readonly #queue: Message[] = [];
  readonly #closed = new Deferred<void>();
  #limits: Limits | undefined;
  #isRunning = false;
  #isClosing = false;

  constructor(session: LoopSession, settings: Settings, onResult: (result: SessionResult) => void) {
    this.#session = session;
    this.#settings = settings;
    this.#onResult = onResult;
  }

  /** The id to take the session up by, as the provider names it. */
  get sessionId(): string {
    return this.#session.info.sessionId;
  }

  /** True while a request is being answered. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Messages that wait for their turn. */
  get queued(): number {
    return this.#queue.length;
  }

  /**
   * Asks, when what was asked before has been answered. Resolves with the request's result, also when a limit or an
   * interrupt ended it; rejects when the provider failed, or with `CONNECTION_CLOSED` after `close`. Ignoring it is safe.
   *
   * @param ask a prompt, or an outcome to work towards; without one, a session that was taken up, or that waits for
   *   somebody's word, is brought to its end
   */
  message(ask?: Ask): Promise<SessionResult> {
    const message: Message = { ask, result: new Deferred() };
    if (this.#isClosing) message.result.reject(closed());
    else {
      this.#queue.push(message);
      void this.#work();
    }
    return message.result.promise;
  }

  /** Ends the request that is running, on the provider's side too; it resolves as `interrupted`, and the next one begins. */
  interrupt(reason?: unknown): void {
    this.#limits?.stop(new Stopped('interrupted', reason));
  }

  /** No more messages. Those that wait are answered, then the session is let go of; resolves when that is done. */
  close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      void this.#work();
    }
    return this.#closed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #work(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) await this.#answer(next);
    this.#isRunning = false;
    if (this.#isClosing) this.#session.close().then(this.#closed.resolve, this.#closed.reject);
  }

  async #answer({ ask, result: told }: Message): Promise<void> {
    const { clock, timeoutMs, signal } = this.#settings;
    this.#limits = new Limits(clock, timeoutMs, signal);
    try {
      const result = await driveRequest(this.#session, this.#settings, ask, this.#limits);
      if (result.error === undefined) told.resolve(result);
      else told.reject(result.error);
      this.#onResult(result);
    } catch (error) {
      // Whoever is told changes nothing; a result that could not be made is the asker's to know.
      told.reject(error);
    }
    this.#limits = undefined;
  }
}

function closed(): AgentFlowError {
  return new AgentFlowError('CONNECTION_CLOSED', 'Cannot send: the session was closed');
}
