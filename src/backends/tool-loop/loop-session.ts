/** A session of a provider that is open: one request after another, each from what the one before has left. */
import { type AgentFlowError, isAgentFlowError } from '../../errors.js';
import type { Provider } from '../../providers/provider.js';
import type { AnsweredCall } from '../backend.js';
import { BackendError } from '../backend-error.js';
import { failure, failureOf } from '../failure.js';
import type { OperationSpan } from '../telemetry.js';
import { untilAborted } from '../until-aborted.js';
import { type Standing, TurnFeed } from './feed.js';
import { type Limits, Stopped } from './limits.js';
import type { Ask, SessionInfo, SessionResult, Settings } from './options.js';
import { type Ending, type LoopEvent, LoopRequest, outcomeInput } from './request.js';
import { RequestTally } from './tally.js';
import { ToolRunner, textOf } from './tools.js';

const interruptPatienceMs = 5_000;

/** Opens a session of a provider. Throws a `BackendError`. */
export async function openLoopSession(
  provider: Provider,
  settings: Settings,
  signal: AbortSignal,
): Promise<LoopSession> {
  const { sessionId, system, messages, clock, outcome } = settings;
  if (outcome !== undefined) outcomeInput(provider, outcome);
  const given = Object.entries({ sessionId, system, messages }).filter(([, value]) => value !== undefined);
  try {
    signal.throwIfAborted();
    const session = await untilAborted(signal, provider.open(Object.fromEntries(given), { signal }));
    return new LoopSession(provider, session, settings);
  } catch (error) {
    if (error instanceof Stopped) {
      const kind = error.limit === 'timeout' ? 'timeout' : 'cancelled';
      const message = `The session was not open yet when the request was stopped: ${error.limit}`;
      throw new BackendError(failure(provider.name, kind, message), { cause: error.detail });
    }
    throw asError(error, provider, clock.now());
  }
}

/** A session of a provider that is open. */
export class LoopSession {
  readonly info: SessionInfo;
  readonly #provider: Provider;
  readonly #session: unknown;
  readonly #settings: Settings;
  readonly #feed: TurnFeed;
  readonly #tools: ToolRunner;
  #isNew: boolean;
  /** Why it has to be looked up what the provider is doing: the session was found, or a request was cut off. */
  #mustLook: 'found' | 'cut' | undefined;

  constructor(provider: Provider, session: unknown, settings: Settings) {
    const { metadata, clock, maxReconnects, sessionId } = settings;
    this.#provider = provider;
    this.#session = session;
    this.#settings = settings;
    this.info = { sessionId: provider.sessionId(session), provider: provider.name, metadata };
    this.#feed = new TurnFeed({ provider, session, clock, maxReconnects });
    this.#tools = new ToolRunner(settings, this.info);
    this.#isNew = sessionId === undefined;
    this.#mustLook = sessionId === undefined ? undefined : 'found';
  }

  /**
   * Runs one request to its end; its result is what the generator returns. Never throws: a provider that fails is a
   * result with an error. A consumer that leaves interrupts the request.
   */
  async *request(
    ask: Ask | undefined,
    limits: Limits,
    span?: OperationSpan,
  ): AsyncGenerator<LoopEvent, SessionResult, void> {
    const { clock } = this.#settings;
    const startedAt = clock.now();
    const tally = new RequestTally(this.#settings);
    const parts = { provider: this.#provider, settings: this.#settings, info: this.info, feed: this.#feed };
    const request = new LoopRequest({ ...parts, tools: this.#tools, tally, limits, span });
    let ending: Ending | undefined;
    let error: AgentFlowError | undefined;
    try {
      limits.signal.throwIfAborted();
      const standing = await this.#standing(limits.signal);
      const isNew = this.#isNew;
      this.#isNew = false;
      ending = yield* request.run(ask, standing, isNew);
    } catch (thrown) {
      const stopped = limits.stopped ?? (thrown instanceof Stopped ? thrown : undefined);
      if (stopped === undefined) error = asError(thrown, this.#provider, clock.now());
      ending = { terminal: 'terminated', stopReason: 'error', ...(stopped && endingOf(stopped)) };
      await this.#cutOff(request, limits, stopped !== undefined);
    } finally {
      if (ending === undefined) await this.#cutOff(request, limits, true);
      limits.end();
    }
    // Who has to decide may have done so when the next request begins.
    if (tally.hasUndecided) this.#mustLook ??= 'cut';
    return this.#result(ending, tally, clock.now() - startedAt, error);
  }

  /** Has the session go on from calls whose results are known: the next request sends them, and runs none of them. */
  async goOnFrom(answered: readonly AnsweredCall[]): Promise<void> {
    const { journal } = this.#settings;
    const { sessionId } = this.info;
    for (const { id, name, input, output, isError } of answered) {
      await journal.begin(sessionId, { id, name, input });
      await journal.record(sessionId, { toolUseId: id, name, text: textOf(output), isError });
    }
    this.#isNew = false;
    this.#mustLook ??= 'found';
  }

  /** Lets go of the session on this side. */
  async close(): Promise<void> {
    this.#feed.leave();
    await this.#provider.close?.(this.#session);
  }

  #result(ending: Ending, tally: RequestTally, durationMs: number, error: AgentFlowError | undefined): SessionResult {
    const transcript = this.#provider.transcript?.(this.#session);
    return {
      ...ending,
      ...tally.result(),
      sessionId: this.info.sessionId,
      durationMs,
      ...(transcript === undefined ? {} : { transcript }),
      ...(error === undefined ? {} : { error }),
    };
  }

  async #standing(signal: AbortSignal): Promise<Standing> {
    const isFound = this.#mustLook === 'found';
    const nothing: Standing = { pending: [], unconfirmed: [], isInFlight: false, lastTurn: [] };
    while (this.#mustLook !== undefined) {
      const standing = await this.#feed.standing(isFound, signal);
      if (standing === undefined) {
        this.#mustLook = undefined;
        return { ...nothing, pending: await this.#settings.journal.unsent(this.info.sessionId) };
      }
      if (isFound || !standing.isInFlight) {
        this.#mustLook = undefined;
        return standing;
      }
      // What is left of a turn that was cut off is nobody's; its end is waited for, because the next one begins there.
      for await (const _ of this.#feed.turn(undefined, signal));
    }
    return nothing;
  }

  /** A request ends before its turn does: nothing of it may go on. */
  async #cutOff(request: LoopRequest, limits: Limits, mayInterrupt: boolean): Promise<void> {
    limits.stop(new Stopped('interrupted'));
    this.#feed.leave();
    this.#mustLook ??= 'cut';
    const { interrupt } = this.#provider;
    if (!request.isInTurn || !mayInterrupt || interrupt === undefined) return;
    const interrupted = Promise.resolve(interrupt.call(this.#provider, this.#session)).catch(() => {});
    let cancel = () => {};
    const patience = new Promise<void>((resolve) => {
      cancel = this.#settings.clock.after(interruptPatienceMs, resolve, { keepAlive: true });
    });
    await Promise.race([interrupted, patience]);
    cancel();
  }
}

function endingOf({ limit, detail }: Stopped): Partial<Ending> {
  return { stopReason: limit, limit, ...(detail === undefined ? {} : { detail }) };
}

function asError(thrown: unknown, { name }: Provider, now: number): AgentFlowError {
  if (isAgentFlowError(thrown)) return thrown;
  return new BackendError(failureOf(thrown, { provider: name, now }));
}
