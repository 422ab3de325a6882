import { describe, expect, test } from 'vitest';
import { BackendError } from '../../src/backends/backend-error.js';
import { type FailureKind, failure, failureOf, kindOfStatus } from '../../src/backends/failure.js';
import { AgentFlowError, InvalidValueError, toAgentFlowError } from '../../src/errors.js';

const of = (thrown: unknown) => failureOf(thrown, { provider: 'vendor' });
const error = (facts: object, message = 'as said') => Object.assign(new TypeError(message), facts);

describe('a failure', () => {
  test.each<[number, FailureKind, boolean]>([
    [400, 'invalid_request', false],
    [401, 'authentication', false],
    [403, 'permission', false],
    [404, 'not_found', false],
    [408, 'timeout', true],
    [409, 'overloaded', true],
    [413, 'invalid_request', false],
    [422, 'invalid_request', false],
    [429, 'rate_limit', true],
    [500, 'server', true],
    [502, 'server', true],
    [503, 'overloaded', true],
    [504, 'timeout', true],
    [529, 'overloaded', true],
  ])('of HTTP status %i is %s', (status, kind, retryable) => {
    for (const facts of [{ status }, { statusCode: status }, { $metadata: { httpStatusCode: status } }])
      expect(of(error(facts))).toMatchObject({ provider: 'vendor', kind, retryable, status, message: 'as said' });
    expect(kindOfStatus(status)).toBe(kind);
  });

  test.each<[string, FailureKind]>([
    ['UNAUTHENTICATED', 'authentication'],
    ['PERMISSION_DENIED', 'permission'],
    ['RESOURCE_EXHAUSTED', 'rate_limit'],
    ['INVALID_ARGUMENT', 'invalid_request'],
    ['NOT_FOUND', 'not_found'],
    ['DEADLINE_EXCEEDED', 'timeout'],
    ['UNAVAILABLE', 'overloaded'],
    ['INTERNAL', 'server'],
    ['CANCELLED', 'cancelled'],
    ['UNKNOWN', 'unknown'],
    ['constructor', 'unknown'],
  ])('of Genkit’s status %s is %s', (status, kind) => {
    expect(of(error({ status })).kind).toBe(kind);
  });

  test('of a network error is found in its causes', () => {
    const lost = error({ code: 'ECONNRESET' });
    expect(of(lost)).toMatchObject({ kind: 'network', retryable: true });
    expect(of(new TypeError('fetch failed', { cause: lost })).kind).toBe('network');
    expect(of(new TypeError('deep', { cause: new TypeError('er', { cause: error({ status: 429 }) }) })).kind).toBe(
      'rate_limit',
    );
    expect(of(error({ code: 'UND_ERR_HEADERS_TIMEOUT' })).kind).toBe('timeout');
    expect(of(error({ name: 'AbortError' })).kind).toBe('timeout');
    const own = error({});
    own.cause = own;
    expect(of(own).kind).toBe('unknown');
  });

  test('keeps what was thrown, and has something to say', () => {
    const thrown = error({ status: 500 });
    expect(of(thrown).raw).toBe(thrown);
    expect(of('just text')).toMatchObject({
      kind: 'unknown',
      retryable: false,
      message: 'just text',
      raw: 'just text',
    });
    for (const nothing of [undefined, null, '', {}, error({}, '')]) expect(of(nothing).message).not.toBe('');
  });

  test('tells how long to wait, from headers of any kind', () => {
    const waitFor = (headers: unknown, now = 0) =>
      failureOf(error({ status: 429, headers }), { provider: 'v', now }).retryAfterMs;
    expect(waitFor(new Headers({ 'Retry-After': '2' }))).toBe(2_000);
    expect(waitFor({ 'retry-after': '0.5' })).toBe(500);
    expect(waitFor({ 'Retry-After': '2', 'retry-after-ms': '150' })).toBe(150);
    expect(waitFor({ 'retry-after': 'Thu, 01 Jan 1970 00:01:00 GMT' }, 10_000)).toBe(50_000);
    expect(waitFor({ 'retry-after': 'Thu, 01 Jan 1970 00:00:05 GMT' }, 10_000)).toBe(0);
    expect(waitFor({ 'retry-after': 'soon' })).toBeUndefined();
    expect(waitFor(undefined)).toBeUndefined();
    expect(of(error({ status: 'UNAVAILABLE', responseMetadata: { retryAfterMs: 70 } })).retryAfterMs).toBe(70);
  });

  test('is a cancellation when, and only when, the signal has fired', () => {
    const aborted = { provider: 'v', signal: AbortSignal.abort() };
    expect(failureOf(error({ code: 'ECONNRESET' }), aborted)).toMatchObject({ kind: 'cancelled', retryable: false });
    const open = { provider: 'v', signal: new AbortController().signal };
    expect(failureOf(error({ code: 'ECONNRESET' }), open)).toMatchObject({ kind: 'network', retryable: true });
  });

  test('that an error carries is taken as it is', () => {
    const told = failure('inner', 'refused', 'no');
    expect(of(new BackendError(told))).toBe(told);
    expect(of(error({ failure: told }))).toBe(told);
    expect(of(error({ failure: 'none' })).kind).toBe('unknown');
  });

  test('of this package’s own errors follows their status', () => {
    expect(of(new InvalidValueError('input', [])).kind).toBe('invalid_request');
    expect(of(new AgentFlowError('SESSION_NOT_FOUND', 'x')).kind).toBe('not_found');
    expect(of(toAgentFlowError(error({ code: 'ECONNRESET' }))).kind).toBe('network');
  });
});

describe('BackendError', () => {
  test('is an error of this package whose status says what its caller needs', () => {
    const told = failure('vendor', 'overloaded', 'later', { retryAfterMs: 5, raw: 'secret' });
    const thrown = new BackendError(told);
    expect(thrown).toMatchObject({
      name: 'BackendError',
      code: 'BACKEND_FAILED',
      status: 'UNAVAILABLE',
      cause: 'secret',
    });
    expect(JSON.parse(JSON.stringify(thrown))).toEqual({
      status: 'UNAVAILABLE',
      code: 'BACKEND_FAILED',
      message: 'later',
      details: { provider: 'vendor', kind: 'overloaded', retryable: true, retryAfterMs: 5 },
    });
    expect(toAgentFlowError(thrown)).toBe(thrown);
    expect(new BackendError(failure('v', 'cancelled', 'x')).code).toBe('BACKEND_CANCELLED');
  });
});
