/** A backend's sessions: how one is started, opened again, and closed. */
import type { Backend, BackendSessionOptions, Message } from '../backends/backend.js';
import { AgentFlowError, isAgentFlowError } from '../errors.js';
import { messageOf } from './host-errors.js';
import { inOrder, type KeptAgent } from './memory.js';

/** Starts a session. Rejects with `BACKEND_START_FAILED`. */
export function startSession(backend: Backend, options: BackendSessionOptions | undefined): Promise<unknown> {
  return opened(backend, () => backend.startSession(options));
}

/** Ends a session that nobody wants. Never rejects. */
export async function closeSession(backend: Backend, session: unknown): Promise<void> {
  try {
    await backend.terminateSession(session);
  } catch {
    // It is left to itself.
  }
}

/**
 * By its id, and with the conversation so far: some backends keep it themselves, others need it. Rejects with
 * `BACKEND_START_FAILED`.
 */
export function reopenSession(
  backend: Backend,
  kept: KeptAgent,
  unfinished: readonly Message[],
  onLostSession: () => void,
): Promise<unknown> {
  return opened(backend, () => resumed(backend, kept, unfinished, onLostSession));
}

async function resumed(
  backend: Backend,
  kept: KeptAgent,
  unfinished: readonly Message[],
  onLostSession: () => void,
): Promise<unknown> {
  const given = (kept.session ?? {}) as BackendSessionOptions;
  const said = inOrder(kept.messages).flatMap(([, turn]) => turn);
  const options = { ...given, messages: [...(given.messages ?? []), ...said, ...unfinished] };
  if (kept.sessionId === null) return backend.startSession(options);
  try {
    if (backend.resumeSession !== undefined) return await backend.resumeSession(kept.sessionId, options);
  } catch (error) {
    if (!isAgentFlowError(error) || error.code !== 'BACKEND_CANNOT_RESUME') throw error;
  }
  onLostSession();
  return backend.startSession(options);
}

async function opened(backend: Backend, open: () => unknown): Promise<unknown> {
  try {
    return await open();
  } catch (cause) {
    const message = `The backend ${backend.name} could not start: ${messageOf(cause)}`;
    throw new AgentFlowError('BACKEND_START_FAILED', message, { cause });
  }
}
