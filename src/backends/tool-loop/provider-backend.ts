/** A provider and its tools as a backend: so a hosted agent too can sit behind an agent or a host. */
import type { Prompt, Provider } from '../../providers/provider.js';
import type { Backend, BackendEvent, BackendSessionOptions } from '../backend.js';
import { BackendError } from '../backend-error.js';
import { type BackendFailure, type FailureKind, failure, failureOf } from '../failure.js';
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
  readonly loop: LoopSession;
  /** Fires when the session is terminated. */
  readonly ended: AbortController;
}

/**
 * A provider as a backend; a prompt is one request of the loop, with all its turns and tool calls. A limit that is
 * reached is a failure of the kind `limit` (`timeout`, `cancelled`), whose `raw` is the `SessionResult`.
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
  return {
    name: provider.name,
    startSession: (own = {}) => open(own),
    resumeSession: (sessionId, own = {}) => open(own, sessionId),
    prompt(session, prompt, { signal }) {
      signal.throwIfAborted();
      const either = AbortSignal.any([signal, session.ended.signal]);
      const limits = () => new Limits(clock, timeoutMs, either);
      return { session, events: events(session.loop, prompt, limits, signal) };
    },
    async terminateSession({ loop, ended }) {
      ended.abort();
      await loop.close().catch(() => {});
    },
  };
}

async function* events(
  loop: LoopSession,
  prompt: Prompt,
  limits: () => Limits,
  signal: AbortSignal,
): AsyncGenerator<BackendEvent, void, void> {
  const { sessionId, provider } = loop.info;
  yield { type: 'session', sessionId };
  const request = loop.request(prompt, limits());
  const teller = new Teller();
  try {
    for (;;) {
      const next = await request.next();
      if (next.done) return yield endOf(next.value, provider, signal);
      yield* teller.tell(next.value);
    }
  } finally {
    await request.return(undefined as never);
  }
}

/** Says in a backend's words what goes on in the loop. */
class Teller {
  #hasSaid = false;

  *tell(event: LoopEvent): Generator<BackendEvent, void, void> {
    if (event.type === 'event' && event.text) {
      this.#hasSaid = true;
      yield { type: 'text', text: event.text };
    }
    if (event.type === 'tool_use') yield { type: 'tool_use', ...event.use };
    if (event.type === 'tool_result') {
      const { toolUseId: id, text: output, isError } = event.result;
      yield { type: 'tool_result', id, output, isError };
    }
    if (event.type === 'turn') {
      const { text, usage, serverToolUses } = event.turn;
      for (const use of serverToolUses) yield { type: 'tool_use', ...use };
      if (!this.#hasSaid && text !== '') yield { type: 'text', text };
      if (usage !== undefined) yield { type: 'usage', usage };
      this.#hasSaid = false;
    }
  }
}

function endOf(result: SessionResult, provider: string, signal: AbortSignal): BackendEvent {
  const { error, sessionId, stopReason, turns, costUsd, text } = result;
  if (error !== undefined) {
    const told = error instanceof BackendError ? error.failure : failureOf(error, { provider, signal });
    return { type: 'error', error: told };
  }
  if (result.terminal === 'terminated' || result.limit !== undefined)
    return { type: 'error', error: stopFailure(result, provider) };
  const cost = costUsd === undefined ? {} : { costUsd };
  return { type: 'result', sessionId, stopReason, numTurns: turns, text, ...cost };
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
