/** What can go wrong while a harness is made ready. */
import { AgentFlowError, type ErrorStatus } from '../../errors.js';
import { members } from '../raw-event.js';

/** How far it had come. */
export interface HarnessWait {
  /** Absent before a harness was found or made. */
  readonly harnessId?: string;
  /** What was waited for: the list, a creation, a harness to be ready, or to be gone. */
  readonly phase: 'finding' | 'creating' | 'waiting' | 'deleting';
  /** AWS's own word, when it was last looked at. */
  readonly lastStatus?: string;
  /** Milliseconds since `provisionHarness` was called. */
  readonly elapsedMs: number;
  /** How often it was looked at. */
  readonly polls: number;
}

/** A harness has failed, or was not ready in time: says how far it had come. */
export class ProvisioningError extends AgentFlowError {
  override readonly name = 'ProvisioningError';
  /** Also its `details`. */
  readonly wait: HarnessWait;

  constructor(message: string, status: ErrorStatus, wait: HarnessWait, cause?: unknown) {
    super('BACKEND_FAILED', message, { status, details: wait, ...(cause === undefined ? {} : { cause }) });
    this.wait = wait;
  }
}

/** The name is taken. */
export function isConflict(error: unknown): boolean {
  return httpStatusOf(error) === 409;
}

/** There is no such harness. */
export function isMissing(error: unknown): boolean {
  return httpStatusOf(error) === 404;
}

/** May be over by itself: AWS is busy, or the connection was lost. */
export function isPassing(error: unknown): boolean {
  const status = httpStatusOf(error);
  if (status !== undefined && status >= 400) return status === 429 || status >= 500;
  const { code, name, $retryable } = members(error);
  const isNodeCode = typeof code === 'string' && /^(E[A-Z]+|UND_ERR_.+)$/.test(code);
  return isNodeCode || name === 'TimeoutError' || $retryable !== undefined;
}

function httpStatusOf(error: unknown): number | undefined {
  const { httpStatusCode } = members(members(error).$metadata);
  return typeof httpStatusCode === 'number' ? httpStatusCode : undefined;
}
