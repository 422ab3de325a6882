import { AgentFlowError, type ErrorCode, type ErrorStatus } from '../errors.js';
import type { BackendFailure, Response } from './backend.js';
import type { FailureKind } from './failure.js';

/** The codes a {@link BackendError} can carry. */
export type BackendErrorCode = Extract<ErrorCode, 'BACKEND_FAILED' | 'BACKEND_NO_TERMINAL' | 'BACKEND_CANCELLED'>;

/** What a {@link BackendError} can be given beside its failure. */
export interface BackendErrorOptions {
  /** @default what the vendor said: the failure's `raw` */
  readonly cause?: unknown;
  /** @default `BACKEND_CANCELLED` for the kind `cancelled`, else `BACKEND_FAILED` */
  readonly code?: BackendErrorCode;
  /** What there was of the turn. */
  readonly response?: Response;
}

/** A backend's turn failed: says who, why, and whether to try again; what the vendor said never crosses the wire. */
export class BackendError extends AgentFlowError {
  override readonly name = 'BackendError';
  /** `BACKEND_CANCELLED`: the caller ended it. `BACKEND_NO_TERMINAL`: its events ended without saying how it went. */
  override readonly code: BackendErrorCode;
  /** All that is known. All of it but `raw` crosses the wire, as the message and the `details`. */
  readonly failure: BackendFailure;
  /** What there was of the turn: its text so far, its events, what it has used. Nothing when it never began. */
  readonly response: Response | undefined;

  constructor(failure: BackendFailure, options: BackendErrorOptions = {}) {
    const { provider, kind, retryable, status, retryAfterMs, message, raw } = failure;
    const code = options.code ?? (kind === 'cancelled' ? 'BACKEND_CANCELLED' : 'BACKEND_FAILED');
    const facts = { provider, kind, retryable, httpStatus: status, retryAfterMs };
    super(code, message, {
      cause: 'cause' in options ? options.cause : raw,
      status: statusOfKind[kind],
      details: Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== undefined)),
    });
    this.code = code;
    this.failure = failure;
    this.response = options.response;
  }

  /** The same error with what there was of its turn. */
  with(response: Response): BackendError {
    return new BackendError(this.failure, { cause: this.cause, code: this.code, response });
  }

  get kind(): FailureKind {
    return this.failure.kind;
  }

  /** Whether the same prompt may succeed later. */
  get retryable(): boolean {
    return this.failure.retryable;
  }

  /** How long the vendor asks to wait before another try, in milliseconds. */
  get retryAfterMs(): number | undefined {
    return this.failure.retryAfterMs;
  }
}

const statusOfKind: Readonly<Record<FailureKind, ErrorStatus>> = {
  authentication: 'UNAUTHENTICATED',
  permission: 'PERMISSION_DENIED',
  rate_limit: 'RESOURCE_EXHAUSTED',
  overloaded: 'UNAVAILABLE',
  invalid_request: 'INVALID_ARGUMENT',
  not_found: 'NOT_FOUND',
  timeout: 'DEADLINE_EXCEEDED',
  network: 'UNAVAILABLE',
  server: 'UNAVAILABLE',
  refused: 'FAILED_PRECONDITION',
  incomplete: 'FAILED_PRECONDITION',
  limit: 'RESOURCE_EXHAUSTED',
  cancelled: 'CANCELLED',
  protocol: 'DATA_LOSS',
  unknown: 'UNKNOWN',
};
