/** What Anthropic's SDK throws, as a failure. */
import type { BackendFailure } from '../backend.js';
import { type FailureContext, type FailureKind, failure, failureOf } from '../failure.js';

/** Error types of the API, which an error within a stream has in the place of a status. */
const typeKinds: Readonly<Record<string, FailureKind>> = {
  invalid_request_error: 'invalid_request',
  authentication_error: 'authentication',
  billing_error: 'permission',
  permission_error: 'permission',
  not_found_error: 'not_found',
  request_too_large: 'invalid_request',
  rate_limit_error: 'rate_limit',
  timeout_error: 'timeout',
  api_error: 'server',
  overloaded_error: 'overloaded',
};

/** Adds to {@link failureOf} what only this SDK says: error frames, its time-out, frames that are no JSON. */
export function anthropicFailure(thrown: unknown, context: FailureContext): BackendFailure {
  const told = failureOf(thrown, context);
  if (told.kind !== 'unknown') return told;
  const { error, type } = members(thrown);
  const body = members(members(error).error);
  const kind =
    typeKinds[String(body.type ?? type)] ?? (thrown instanceof Error ? classKinds[className(thrown)] : undefined);
  if (kind === undefined) return told;
  const message = typeof body.message === 'string' ? body.message : told.message;
  const isBroken = kind === 'protocol';
  return failure(context.provider, kind, message, { raw: thrown, ...(isBroken ? { retryable: true } : {}) });
}

const classKinds: Readonly<Record<string, FailureKind>> = {
  APIConnectionTimeoutError: 'timeout',
  APIConnectionError: 'network',
  SyntaxError: 'protocol',
};

function className(error: Error): string {
  return error.constructor.name;
}

function members(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
