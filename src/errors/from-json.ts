/** Errors that have crossed the wire, as errors again. */
import {
  AgentFlowError,
  type ErrorCode,
  type ErrorStatus,
  errorCodes,
  InvalidValueError,
  LeaseLostError,
  SessionConflictError,
  StoredStateError,
  type ValueIssue,
  type ValueKind,
} from '../errors.js';

/**
 * The error that was written with `toJSON`: same code, status, message and details, and the facts that its code promises.
 * A code that this version of the package does not know becomes `HANDLER_FAILED`, like every error that is not ours.
 *
 * @param sessionId the session it came from, for those that name it
 */
export function errorFromJson(json: unknown, sessionId: string): AgentFlowError {
  const { code, status, message, details } = asRecord(json);
  const text = typeof message === 'string' ? message : 'An error that cannot be read';
  if (typeof code !== 'string' || !Object.hasOwn(errorCodes, code)) {
    return new AgentFlowError('HANDLER_FAILED', text, details === undefined ? {} : { details });
  }
  const options = {
    ...(typeof status === 'string' ? { status: status as ErrorStatus } : {}),
    ...(details === undefined ? {} : { details }),
  };
  return (
    withFacts({ code, message: text }, asRecord(details), sessionId, options) ??
    new AgentFlowError(code as ErrorCode, text, options)
  );
}

function withFacts(
  { code, message }: { readonly code: string; readonly message: string },
  details: Record<string, unknown>,
  sessionId: string,
  options: { readonly status?: ErrorStatus; readonly details?: unknown },
): AgentFlowError | undefined {
  const issues = (Array.isArray(details.issues) ? details.issues : []) as ValueIssue[];
  if (code === 'INVALID_VALUE') return new InvalidValueError(String(details.kind) as ValueKind, issues, options);
  if (code === 'STORED_STATE_INVALID') return new StoredStateError(sessionId, issues);
  if (code === 'LEASE_LOST') return new LeaseLostError(sessionId, message);
  if (code !== 'SESSION_CONFLICT') return undefined;
  return new SessionConflictError(sessionId, Number(details.expectedVersion), Number(details.actualVersion));
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
