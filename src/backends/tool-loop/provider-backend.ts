/** A provider and its tools as a backend: so a hosted agent too can sit behind an agent or a host. */
import type { Prompt, Provider } from '../../providers/provider.js';
import type { AnsweredCall, Backend, BackendEvent, BackendSessionOptions } from '../backend.js';
import { BackendError } from '../backend-error.js';
import { type BackendFailure, type FailureKind, failure, failureOf } from '../failure.js';
import { UsageLedger, usageEvents } from '../usage-ledger.js';
import { Limits } from './limits.js';
import { type LoopSession, openLoopSession } from './loop-session.js';
import { type LoopLimit, type LoopOptions, type SessionResult, settings } from './options.js';
import type { LoopEvent } from './request.js';

/** Options of {@link providerBackend}: those of the loop that do not belong to one prompt. */
export type ProviderBackendOptions<Context = unknown> = Omit<
  LoopOptions<Context>,
  'prompt' | 'outcome' | 'sessionId' | 'messages' | 'signal'
>;

/** A session of {@link providerBackend}. */
export interface ProviderBackendSession {
  /** What runs its turns and tools. */
  readonly loop: LoopSession;
  /** Fires when the session is terminated. */
  readonly ended: AbortController;
}

/**
 * A provider as a backend; a prompt is one request of the loop, with all its turns and tool calls. A limit that is
 * reached is a failure of the kind `limit` (`timeout`, `cancelled`), whose `raw` is the `SessionResult`.
 *
 * A turn that another process has left is gone on with from the results that are known; calls beside them that wait are
 * run as the journal says. One that has ended meanwhile is answered with what the provider remembers of it, and fails as
 * `incomplete` where it remembers nothing.
 */
export function providerBackend<Context = unknown>(
  provider: Provider,
  options: ProviderBackendOptions<Context>,
): Backend<ProviderBackendSession> {
  const open = async (own: BackendSessionOptions, sessionId?: string): Promise<ProviderBackendSession> => {
    const given = settings({ ...options, ...own, ...(sessionId === undefined ? {} : { sessionId }) });
    const opening = new Limits(given.clock, given.timeoutMs);
    try {
      return { loop: await openLoopSession(provider, given, opening.signal), ended: new AbortController() };
    } finally {
      opening.end();
    }
  };
  const { clock, timeoutMs } = settings(options);
  const turn = (session: ProviderBackendSession, task: Task, signal: AbortSignal) => {
    signal.throwIfAborted();
    const either = AbortSignal.any([signal, session.ended.signal]);
    const limits = () => new Limits(clock, timeoutMs, either);
    return { session, events: events(session.loop, task, limits, signal) };
  };
  return {
    name: provider.name,
    startSession: (own = {}) => open(own),
    resumeSession: (sessionId, own = {}) => open(own, sessionId),
    prompt: (session, prompt, { signal }) => turn(session, { prompt, answered: [] }, signal),
    resumeTurn: (session, answered, { signal }) => turn(session, { prompt: undefined, answered }, signal),
    async terminateSession({ loop, ended }) {
      ended.abort();
      await loop.close().catch(() => {});
    },
  };
}

/** What a turn begins with: a prompt, or calls that have their results. */
interface Task {
  readonly prompt: Prompt | undefined;
  readonly answered: readonly AnsweredCall[];
}

async function* events(
  loop: LoopSession,
  { prompt, answered }: Task,
  limits: () => Limits,
  signal: AbortSignal,
): AsyncGenerator<BackendEvent, void, void> {
  const { sessionId, provider } = loop.info;
  yield { type: 'session', sessionId };
  if (prompt === undefined) await loop.goOnFrom(answered);
  const request = loop.request(prompt, limits());
  const teller = new Teller(answered);
  try {
    for (;;) {
      const next = await request.next();
      if (next.done) return yield* endOf(next.value, provider, signal, prompt === undefined);
      yield* teller.tell(next.value);
    }
  } finally {
    await request.return(undefined as never);
  }
}

/** Says in a backend's words what goes on in the loop. */
class Teller {
  /** Calls that were told by whoever ran them. */
  readonly #told: ReadonlySet<string>;
  #hasSaid = false;
  #ledger = new UsageLedger();

  constructor(answered: readonly AnsweredCall[]) {
    this.#told = new Set(answered.map(({ id }) => id));
  }

  *tell(event: LoopEvent): Generator<BackendEvent, void, void> {
    if (event.type === 'event') {
      if (event.text) {
        this.#hasSaid = true;
        yield { type: 'text', text: event.text };
      }
      // At once: a turn that is cut off is never told as a whole.
      yield* usageEvents(this.#ledger.tell(event.usage));
    }
    if (event.type === 'tool_use' && !this.#told.has(event.use.id)) yield { type: 'tool_use', ...event.use };
    if (event.type === 'tool_result' && !this.#told.has(event.result.toolUseId)) {
      const { toolUseId: id, text: output, isError } = event.result;
      yield { type: 'tool_result', id, output, isError };
    }
    if (event.type === 'turn') {
      const { text, usage, serverToolUses } = event.turn;
      for (const use of serverToolUses) yield { type: 'tool_use', ...use };
      if (!this.#hasSaid && text !== '') yield { type: 'text', text };
      yield* usageEvents(this.#ledger.rest(usage));
      this.#hasSaid = false;
      this.#ledger = new UsageLedger();
    }
  }
}

function* endOf(
  result: SessionResult,
  provider: string,
  signal: AbortSignal,
  isResumed: boolean,
): Generator<BackendEvent, void, void> {
  const { sessionId, stopReason, turns, costUsd, usage, text } = result;
  const error = isResumed && isNothing(result) ? lostTurn(provider) : failureIn(result, provider, signal);
  if (error === undefined) {
    const cost = costUsd === undefined ? {} : { costUsd };
    yield { type: 'result', sessionId, stopReason, numTurns: turns, text, ...cost };
    return;
  }
  // What it cost all the same, for an error has no member for it.
  if (usage?.costUsd === undefined && costUsd !== undefined) yield { type: 'usage', usage: { costUsd } };
  yield { type: 'error', error };
}

function failureIn(result: SessionResult, provider: string, signal: AbortSignal): BackendFailure | undefined {
  const { error, terminal, limit } = result;
  if (error !== undefined)
    return error instanceof BackendError ? error.failure : failureOf(error, { provider, signal });
  return terminal === 'terminated' || limit !== undefined ? stopFailure(result, provider) : undefined;
}

/** Nothing waited, and nothing is remembered. */
function isNothing({ terminal, turns, events }: SessionResult): boolean {
  return terminal === 'end_turn' && turns === 0 && events.length === 0;
}

function lostTurn(provider: string): BackendFailure {
  return failure(
    provider,
    'incomplete',
    'The session does not wait for these results, and tells nothing of their turn',
  );
}

function stopFailure(result: SessionResult, provider: string): BackendFailure {
  const { limit, stopReason } = result;
  const kind = limit === undefined ? (kinds[stopReason] ?? 'unknown') : limitKinds[limit];
  return failure(provider, kind, `The session was stopped: ${stopReason}`, { raw: result, retryable: false });
}

const limitKinds: Readonly<Record<LoopLimit, FailureKind>> = {
  max_turns: 'limit',
  timeout: 'timeout',
  token_budget: 'limit',
  cost_budget: 'limit',
  turn_guard: 'limit',
  interrupted: 'cancelled',
  no_terminal_tool: 'incomplete',
};

const kinds: Readonly<Record<string, FailureKind>> = {
  max_tokens: 'incomplete',
  length: 'incomplete',
  refusal: 'refused',
  content_filter: 'refused',
  blocked: 'refused',
};
