/** Whatever a vendor throws, told in one way. Facts are read from fields, never from a message. */
import { isAgentFlowError } from '../errors.js';

/**
 * Why a turn failed, whatever the vendor. `limit` is one the caller has set, `incomplete` an answer the vendor cut short,
 * `protocol` a stream that does not keep its contract.
 */
export type FailureKind =
  | 'authentication'
  | 'permission'
  | 'rate_limit'
  | 'overloaded'
  | 'invalid_request'
  | 'not_found'
  | 'timeout'
  | 'network'
  | 'server'
  | 'refused'
  | 'incomplete'
  | 'limit'
  | 'cancelled'
  | 'protocol'
  | 'unknown';

/** A failure as every backend tells it. */
export interface BackendFailure {
  /** The backend's or the provider's `name`. */
  readonly provider: string;
  /** Why, whatever the vendor: the word to decide by. */
  readonly kind: FailureKind;
  /** Whether the same prompt may succeed later. */
  readonly retryable: boolean;
  /** The HTTP status or the exit code. */
  readonly status?: number;
  /** Milliseconds the vendor asks to wait before another try; absent when it does not say. */
  readonly retryAfterMs?: number;
  /** For people. Nothing is decided by it. */
  readonly message: string;
  /** What the vendor said, untouched. Stays in this process. */
  readonly raw: unknown;
}

/** Who failed, and what else is known. */
export interface FailureContext {
  readonly provider: string;
  /** The signal the work was given: only it tells a cancelled turn from a lost connection. */
  readonly signal?: AbortSignal;
  /** Milliseconds since the Unix epoch, for a `retry-after` that is a date. */
  readonly now?: number;
}

const retryableKinds: ReadonlySet<FailureKind> = new Set(['rate_limit', 'overloaded', 'timeout', 'network', 'server']);

/** A failure of a known kind. Whether it is retryable follows from the kind unless said otherwise. */
export function failure(
  provider: string,
  kind: FailureKind,
  message: string,
  facts: Partial<Omit<BackendFailure, 'provider' | 'kind' | 'message'>> = {},
): BackendFailure {
  return { provider, kind, retryable: retryableKinds.has(kind), message, raw: undefined, ...facts };
}

/**
 * What was thrown, as a failure. Understands HTTP statuses as SDKs carry them (`status`, `statusCode`, `$metadata`),
 * Genkit's status names, Node's error codes, `retry-after`, and causes; an error that carries `failure` says it itself.
 */
export function failureOf(thrown: unknown, { provider, signal, now = 0 }: FailureContext): BackendFailure {
  if (signal?.aborted) return failure(provider, 'cancelled', 'The turn was cancelled', { raw: thrown });
  const own = member(thrown, 'failure');
  if (isFailure(own)) return own;
  const status = httpStatus(thrown);
  const kind = kindOf(thrown, status);
  const retryAfterMs = retryAfter(thrown, now);
  return failure(provider, kind, messageOf(thrown), {
    raw: thrown,
    ...(status === undefined ? {} : { status }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** The kind an HTTP status stands for. */
export function kindOfStatus(status: number): FailureKind {
  const known = httpKinds[status];
  if (known !== undefined) return known;
  if (status >= 500) return 'server';
  return status >= 400 ? 'invalid_request' : 'unknown';
}

const httpKinds: Readonly<Record<number, FailureKind>> = {
  401: 'authentication',
  403: 'permission',
  404: 'not_found',
  408: 'timeout',
  409: 'overloaded',
  425: 'overloaded',
  429: 'rate_limit',
  503: 'overloaded',
  504: 'timeout',
  529: 'overloaded',
};

const statusNameKinds: Readonly<Record<string, FailureKind>> = {
  UNAUTHENTICATED: 'authentication',
  PERMISSION_DENIED: 'permission',
  RESOURCE_EXHAUSTED: 'rate_limit',
  INVALID_ARGUMENT: 'invalid_request',
  FAILED_PRECONDITION: 'invalid_request',
  OUT_OF_RANGE: 'invalid_request',
  UNIMPLEMENTED: 'invalid_request',
  NOT_FOUND: 'not_found',
  DEADLINE_EXCEEDED: 'timeout',
  UNAVAILABLE: 'overloaded',
  INTERNAL: 'server',
  DATA_LOSS: 'server',
  CANCELLED: 'cancelled',
};

const codeKinds: Readonly<Record<string, FailureKind>> = {
  ETIMEDOUT: 'timeout',
  ESOCKETTIMEDOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  ECONNRESET: 'network',
  ECONNREFUSED: 'network',
  ECONNABORTED: 'network',
  EPIPE: 'network',
  ENOTFOUND: 'network',
  EAI_AGAIN: 'network',
  EHOSTUNREACH: 'network',
  ENETUNREACH: 'network',
  UND_ERR_SOCKET: 'network',
  ERR_STREAM_PREMATURE_CLOSE: 'network',
};

function kindOf(thrown: unknown, status: number | undefined): FailureKind {
  if (status !== undefined) return kindOfStatus(status);
  const name = member(thrown, 'name');
  if (name === 'TimeoutError' || name === 'AbortError') return 'timeout';
  const statusName = member(thrown, 'status');
  // Errors of this package that only wrap another keep their secret in the cause.
  const isWrapped = isAgentFlowError(thrown) && thrown.code === 'HANDLER_FAILED' && thrown.cause !== undefined;
  if (typeof statusName === 'string' && !isWrapped) return known(statusNameKinds, statusName) ?? 'unknown';
  const code = member(thrown, 'code');
  const byCode = typeof code === 'string' ? known(codeKinds, code) : undefined;
  if (byCode !== undefined) return byCode;
  const cause = member(thrown, 'cause');
  return cause === undefined || cause === thrown ? 'unknown' : kindOf(cause, httpStatus(cause));
}

function httpStatus(thrown: unknown): number | undefined {
  const candidates = [
    member(thrown, 'status'),
    member(thrown, 'statusCode'),
    member(member(thrown, '$metadata'), 'httpStatusCode'),
  ];
  return candidates.find((status): status is number => typeof status === 'number' && status >= 100 && status < 600);
}

/** How long the vendor asks to wait: from headers, or where Genkit's plugins put it. */
function retryAfter(thrown: unknown, now: number): number | undefined {
  const told = member(member(thrown, 'responseMetadata'), 'retryAfterMs');
  if (typeof told === 'number') return told;
  const headers = member(thrown, 'headers');
  const inMs = Number(header(headers, 'retry-after-ms') ?? Number.NaN);
  if (inMs >= 0) return inMs;
  const value = header(headers, 'retry-after');
  if (value === undefined) return undefined;
  const seconds = Number(value);
  if (seconds >= 0) return seconds * 1_000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

function header(headers: unknown, name: string): string | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  if (headers instanceof Headers) return headers.get(name) ?? undefined;
  const [, value] = Object.entries(headers).find(([key]) => key.toLowerCase() === name) ?? [];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function messageOf(thrown: unknown): string {
  const message = member(thrown, 'message');
  if (typeof message === 'string' && message !== '') return message;
  return typeof thrown === 'string' && thrown !== '' ? thrown : 'The backend failed without saying why';
}

function isFailure(value: unknown): value is BackendFailure {
  return (
    typeof member(value, 'kind') === 'string' &&
    typeof member(value, 'provider') === 'string' &&
    typeof member(value, 'retryable') === 'boolean'
  );
}

function known<Value>(table: Readonly<Record<string, Value>>, key: string): Value | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}
