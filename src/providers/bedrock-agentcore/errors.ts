/** What the AWS SDK throws, as an error with a status. */
import { AgentFlowError, type ErrorStatus } from '../../errors.js';

/** Exceptions within the stream come without an HTTP status; their names are the service's model. */
const statusOfName: Readonly<Record<string, ErrorStatus>> = {
  AccessDeniedException: 'PERMISSION_DENIED',
  UnauthorizedException: 'UNAUTHENTICATED',
  ResourceNotFoundException: 'NOT_FOUND',
  ConflictException: 'UNAVAILABLE',
  ValidationException: 'INVALID_ARGUMENT',
  ThrottlingException: 'RESOURCE_EXHAUSTED',
  ServiceQuotaExceededException: 'RESOURCE_EXHAUSTED',
  InternalServerException: 'INTERNAL',
  RuntimeClientError: 'INTERNAL',
  TimeoutError: 'DEADLINE_EXCEEDED',
};

/** Errors that say by themselves what they are pass through; the others are named, with the SDK's own as the cause. */
export function harnessError(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const { $metadata } = thrown as { readonly $metadata?: { readonly httpStatusCode?: number } };
  if (($metadata?.httpStatusCode ?? 0) >= 400 || hasCode(thrown)) return thrown;
  const status = statusOfName[thrown.name];
  if (status !== undefined) return new AgentFlowError('BACKEND_FAILED', thrown.message, { cause: thrown, status });
  if (thrown.name === 'Error') return brokenStream(thrown);
  return thrown;
}

/** The bytes of the stream are not what they should be, or not all of them. */
export function brokenStream(cause?: unknown): AgentFlowError {
  const message = 'The event stream is broken, or ended in the middle of the answer';
  return new AgentFlowError('BACKEND_FAILED', message, { cause, status: 'DATA_LOSS' });
}

/** Nothing came for too long. */
export function silentStream(idleTimeoutMs: number): AgentFlowError {
  const message = `The event stream said nothing for ${idleTimeoutMs} ms`;
  return new AgentFlowError('BACKEND_FAILED', message, { status: 'DEADLINE_EXCEEDED' });
}

function hasCode(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && /^(E[A-Z]+|UND_ERR_.+)$/.test(error.code);
}
