/** What OpenAI's SDK throws, and what a stream says of a response that failed, as a failure. */
import type { BackendFailure } from '../backend.js';
import { type FailureContext, type FailureKind, failure, failureOf } from '../failure.js';

/** Error codes of the API, which an error within a stream has in the place of a status. */
const codeKinds: Readonly<Record<string, FailureKind>> = {
  server_error: 'server',
  rate_limit_exceeded: 'rate_limit',
  insufficient_quota: 'rate_limit',
  invalid_prompt: 'invalid_request',
  context_length_exceeded: 'invalid_request',
  invalid_api_key: 'authentication',
  model_not_found: 'not_found',
  previous_response_not_found: 'not_found',
  vector_store_timeout: 'timeout',
  server_is_overloaded: 'overloaded',
};

const classKinds: Readonly<Record<string, FailureKind>> = {
  APIConnectionTimeoutError: 'timeout',
  APIConnectionError: 'network',
  SyntaxError: 'protocol',
};

/** Whether OpenAI no longer has the response that a request was to go on from. */
export function isLostResponse(thrown: unknown): boolean {
  const { code, param, status } = members(thrown);
  return (
    code === 'previous_response_not_found' || (param === 'previous_response_id' && (status === 400 || status === 404))
  );
}

/** Adds to {@link failureOf} what only this SDK says: codes within a stream, its time-out, frames that are no JSON. */
export function openaiFailure(thrown: unknown, context: FailureContext): BackendFailure {
  const told = failureOf(thrown, context);
  const { code } = members(thrown);
  // A quota that is used up comes with the status of a rate limit, and waiting changes nothing.
  if (code === 'insufficient_quota') return { ...told, kind: 'rate_limit', retryable: false };
  // Refused as a bad request, though it is what the request names that is gone.
  if (isLostResponse(thrown)) return { ...told, kind: 'not_found', retryable: false };
  if (told.kind !== 'unknown') return told;
  const kind = codeKinds[String(code)] ?? (thrown instanceof Error ? classKinds[thrown.constructor.name] : undefined);
  if (kind === undefined) return told;
  return failure(context.provider, kind, told.message, {
    raw: thrown,
    ...(kind === 'protocol' ? { retryable: true } : {}),
  });
}

/** A response that failed, by the code and the message its last event has. */
export function failedResponse(provider: string, { code, message }: Readonly<Record<string, unknown>>): BackendFailure {
  const text = typeof message === 'string' && message !== '' ? message : 'The response failed';
  const kind = codeKinds[String(code)] ?? 'unknown';
  const isFinal = code === 'insufficient_quota';
  return failure(provider, kind, text, { raw: { code, message }, ...(isFinal ? { retryable: false } : {}) });
}

function members(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
