/** The one tool loop, whatever the provider: a session run to its end, one that stays open, or a backend. */
import type { Provider } from '../providers/provider.js';
import { MemoryToolJournal, type ToolJournal } from './tool-loop/journal.js';
import { Limits } from './tool-loop/limits.js';
import { driveRequest, LiveSession } from './tool-loop/live-session.js';
import { openLoopSession } from './tool-loop/loop-session.js';
import {
  type Ask,
  type Confirmation,
  type GuardFacts,
  type LoopLimit,
  type LoopOptions,
  type SessionInfo,
  type SessionResult,
  settings,
  type ToolCallInfo,
  type ToolFunction,
  type ToolHandler,
  type ToolObject,
} from './tool-loop/options.js';
import { type ProviderBackendOptions, providerBackend } from './tool-loop/provider-backend.js';
import { type JournalStore, type SessionToolJournalOptions, sessionToolJournal } from './tool-loop/session-journal.js';

export {
  type Ask,
  type Confirmation,
  type GuardFacts,
  type JournalStore,
  LiveSession,
  type LoopLimit,
  type LoopOptions,
  MemoryToolJournal,
  type ProviderBackendOptions,
  providerBackend,
  type SessionInfo,
  type SessionResult,
  type SessionToolJournalOptions,
  sessionToolJournal,
  type ToolCallInfo,
  type ToolFunction,
  type ToolHandler,
  type ToolJournal,
  type ToolObject,
};

/** How a session that stays open is started. */
export interface LiveSessionOptions<Context = unknown> extends LoopOptions<Context> {
  /** Told the result of every request, however it ended. What it throws changes nothing. */
  readonly onResult?: (result: SessionResult) => void;
}

/**
 * Asks, and runs the session until it is done: `end_turn`, `requires_action` where somebody else has to act, or
 * `terminated`. A limit ends it with the limit as its stop reason; a provider that fails makes it reject.
 *
 * With `sessionId` a session is taken up: calls that wait are answered first, a turn that is going on is read to its
 * end, then the prompt is asked, if there is one.
 *
 * Source: `ReqManagedAgents.Session.run/2`.
 *
 * @example
 * const { text } = await runSession(provider, { prompt: 'Hi', handler: (name, input) => tools[name](input) });
 */
export async function runSession<Context = unknown>(
  provider: Provider,
  options: LoopOptions<Context>,
): Promise<SessionResult> {
  const given = settings(options);
  const limits = new Limits(given.clock, given.timeoutMs, given.signal);
  try {
    const session = await openLoopSession(provider, given, limits.signal);
    try {
      const result = await driveRequest(session, given, given.ask, limits);
      if (result.error !== undefined) throw result.error;
      return result;
    } finally {
      await session.close();
    }
  } finally {
    limits.end();
  }
}

/**
 * Opens a session that stays open: `message` asks, one message after another, `interrupt` ends the one that is being
 * answered, `close` ends the session. With a `prompt`, an `outcome` or a `sessionId`, it begins at once.
 *
 * Source: `ReqManagedAgents.Session.start_link/2`.
 */
export async function startSession<Context = unknown>(
  provider: Provider,
  { onResult = () => {}, ...options }: LiveSessionOptions<Context>,
): Promise<LiveSession> {
  const given = settings(options);
  const opening = new Limits(given.clock, given.timeoutMs, given.signal);
  try {
    const session = new LiveSession(await openLoopSession(provider, given, opening.signal), given, onResult);
    if (given.ask !== undefined || given.sessionId !== undefined) session.message(given.ask);
    return session;
  } finally {
    opening.end();
  }
}
