/**
 * The one error base of this package, every code it can carry, and the four errors that carry facts of their own.
 *
 * Nobody needs to parse a message: `code` says what happened, `status` is the Genkit status name that travels over the
 * wire, facts are fields and the cause is chained.
 */

import { statusOfHostCode } from './errors/host-codes.js';

/** Genkit's status names (the canonical gRPC codes), as far as this package uses or passes them on. */
export type ErrorStatus =
  | 'CANCELLED'
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'UNAUTHENTICATED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS';

/** Every cause has one code; every code has one usual status. `docs/errors.md` is this table in prose. */
const statusOfCode = {
  /** A value does not fit its schema or option: see {@link InvalidValueError}. */
  INVALID_VALUE: 'INVALID_ARGUMENT',
  /** A schema that is not a Zod 3 schema (Genkit's own `z`) was given. */
  INVALID_SCHEMA: 'INVALID_ARGUMENT',
  /** A new session was opened without `init`, and neither `stateSchema` nor `initialState` gives a state. */
  NO_INITIAL_STATE: 'INVALID_ARGUMENT',
  /** The stored state no longer fits `stateSchema`, and the agent has no `migrate`. */
  STORED_STATE_INVALID: 'FAILED_PRECONDITION',
  /** Another writer saved first: see {@link SessionConflictError}. */
  SESSION_CONFLICT: 'ABORTED',
  /** This writer lost its lease: it expired, was taken over, or the session was deleted. */
  LEASE_LOST: 'ABORTED',
  /** Another connection holds the session and the policy is `reject`. */
  SESSION_BUSY: 'UNAVAILABLE',
  /** No such session in this store and tenant. */
  SESSION_NOT_FOUND: 'NOT_FOUND',
  /** `fork` was given the id of a session that already exists. */
  SESSION_EXISTS: 'ALREADY_EXISTS',
  /** The session has no such version: never written, or dropped by retention. */
  VERSION_NOT_FOUND: 'NOT_FOUND',
  /** No run is open for this session, as far as can be seen from here, so there is nothing to watch or to abort. */
  SESSION_NOT_RUNNING: 'NOT_FOUND',
  /** The operation needs a store and the agent has none. */
  NO_STORE: 'FAILED_PRECONDITION',
  /** The store could not do its work: the vendor's error is the cause. */
  STORE_FAILED: 'UNAVAILABLE',
  /** What the store holds cannot be read back. */
  STORE_CORRUPT: 'DATA_LOSS',
  /** A package or runtime feature that this part needs is not there. */
  MISSING_DEPENDENCY: 'FAILED_PRECONDITION',
  /** `send` after `close`, or after the run ended. */
  CONNECTION_CLOSED: 'FAILED_PRECONDITION',
  /** The agent is answering and the send policy is `reject`. */
  TURN_BUSY: 'UNAVAILABLE',
  /** The turn was cut short by an input sent with the policy `interrupt`. */
  TURN_INTERRUPTED: 'CANCELLED',
  /** More inputs are waiting than the connection's bound allows. */
  INPUT_QUEUE_FULL: 'RESOURCE_EXHAUSTED',
  /** A handler sent far more chunks without awaiting `send` than the connection's bound allows. */
  CHUNK_BUFFER_FULL: 'RESOURCE_EXHAUSTED',
  /** The run was ended by `abort` or by the caller's signal. */
  RUN_ABORTED: 'CANCELLED',
  /** A handler used its responder or session after its run had ended. */
  RUN_ENDED: 'FAILED_PRECONDITION',
  /** The handler threw something that is not an error of this package: it is the cause. */
  HANDLER_FAILED: 'INTERNAL',
  /** A watcher asked for chunks that are no longer kept. */
  CURSOR_EXPIRED: 'OUT_OF_RANGE',
  /** A backend's turn failed; a `BackendError` says whose, why and whether to try again. Its status follows the cause. */
  BACKEND_FAILED: 'UNAVAILABLE',
  /** A backend's events ended without saying how the turn went. */
  BACKEND_NO_TERMINAL: 'DATA_LOSS',
  /** A backend's turn was ended by its caller's signal. */
  BACKEND_CANCELLED: 'CANCELLED',
  /** A session was to be taken up by its id, and the backend cannot do that. */
  BACKEND_CANNOT_RESUME: 'FAILED_PRECONDITION',
  ...statusOfHostCode,
} as const satisfies Record<string, ErrorStatus>;

/** Every code of this package. */
export type ErrorCode = keyof typeof statusOfCode;

/** Every code with its usual status, for tables and tests. */
export const errorCodes: Readonly<Record<ErrorCode, ErrorStatus>> = statusOfCode;

/** What an {@link AgentFlowError} can be given beside its code and message. */
export interface AgentFlowErrorOptions {
  /** What led to this error; chained as the standard `cause`. */
  readonly cause?: unknown;
  /** Overrides the code's usual status, for a cause that carries a better one (`PERMISSION_DENIED` from a tool). */
  readonly status?: ErrorStatus;
  /** JSON meant for the caller; travels over the wire. */
  readonly details?: unknown;
}

/** The one error base of this package. */
export class AgentFlowError extends Error {
  override readonly name: string = 'AgentFlowError';
  readonly code: ErrorCode;
  readonly status: ErrorStatus;
  /** JSON for the caller, which differs from code to code; `undefined` where the code says it all. */
  readonly details: unknown;

  constructor(code: ErrorCode, message: string, options: AgentFlowErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.status = options.status ?? statusOfCode[code];
    this.details = options.details;
  }

  /** What may cross the wire: status, code, message and details; never a stack or a cause. */
  toJSON(): ErrorJson {
    const json: ErrorJson = { status: this.status, code: this.code, message: this.message };
    return this.details === undefined ? json : { ...json, details: this.details };
  }
}

/** An error as it crosses the wire. */
export interface ErrorJson {
  readonly status: ErrorStatus;
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: unknown;
}

/** The kinds of value that are checked. */
export type ValueKind = 'input' | 'init' | 'state' | 'chunk' | 'output' | 'artifact' | 'option' | 'id';

/** One thing wrong with a value. */
export interface ValueIssue {
  /** Where in the value, as a dotted path; `''` is the value itself. */
  readonly path: string;
  /** What was expected there. */
  readonly expected: string;
  /** What came instead. */
  readonly received: string;
}

/** A value did not fit: says which kind of value, where, what was expected and what came. */
export class InvalidValueError extends AgentFlowError {
  override readonly name = 'InvalidValueError';
  override readonly code = 'INVALID_VALUE' as const;
  readonly kind: ValueKind;
  readonly issues: readonly ValueIssue[];

  constructor(kind: ValueKind, issues: readonly ValueIssue[], options: AgentFlowErrorOptions = {}) {
    super('INVALID_VALUE', `Invalid ${kind}: ${describeIssues(issues)}`, { details: { kind, issues }, ...options });
    this.kind = kind;
    this.issues = issues;
  }
}

/** Throws `INVALID_VALUE` naming every option there is none of. For bounds: one that is misspelt would be none at all. */
export function assertKnownOptions<Options extends object>(
  options: Options,
  known: Readonly<Record<keyof Options, unknown>>,
  path: string,
): void {
  const unknown = Object.keys(options).filter((name) => !Object.hasOwn(known, name));
  if (unknown.length === 0) return;
  const expected = `one of ${Object.keys(known).join(', ')}`;
  const issues = unknown.map((name) => ({ path: `${path}.${name}`, expected, received: 'no such option' }));
  throw new InvalidValueError('option', issues);
}

/** The path, the expectation and the find of each issue, as one sentence. */
export function describeIssues(issues: readonly ValueIssue[]): string {
  return issues
    .map(({ path, expected, received }) => `${path === '' ? '' : `at "${path}" `}expected ${expected}, got ${received}`)
    .join('; ');
}

/** A save was based on version `expected`, but the store already holds `actual`. Nothing was written. */
export class SessionConflictError extends AgentFlowError {
  override readonly name = 'SessionConflictError';
  override readonly code = 'SESSION_CONFLICT' as const;
  readonly sessionId: string;
  readonly expectedVersion: number;
  readonly actualVersion: number;

  constructor(sessionId: string, expectedVersion: number, actualVersion: number) {
    super(
      'SESSION_CONFLICT',
      `Session was saved by another writer: expected version ${expectedVersion}, found ${actualVersion}`,
      { details: { expectedVersion, actualVersion } },
    );
    this.sessionId = sessionId;
    this.expectedVersion = expectedVersion;
    this.actualVersion = actualVersion;
  }
}

/** This writer's lease is gone, so nothing it does may reach the session any more. Nothing was written. */
export class LeaseLostError extends AgentFlowError {
  override readonly name = 'LeaseLostError';
  override readonly code = 'LEASE_LOST' as const;
  readonly sessionId: string;

  constructor(
    sessionId: string,
    message = 'This connection no longer holds its session: the lease expired, was taken over or the session was deleted',
  ) {
    super('LEASE_LOST', message);
    this.sessionId = sessionId;
  }
}

/** Stored state that does not fit the agent's schema; `issues` name the paths. */
export class StoredStateError extends AgentFlowError {
  override readonly name = 'StoredStateError';
  override readonly code = 'STORED_STATE_INVALID' as const;
  readonly sessionId: string;
  readonly issues: readonly ValueIssue[];

  constructor(sessionId: string, issues: readonly ValueIssue[], options: AgentFlowErrorOptions = {}) {
    super('STORED_STATE_INVALID', `Stored state does not fit stateSchema: ${describeIssues(issues)}`, {
      details: { issues },
      ...options,
    });
    this.sessionId = sessionId;
    this.issues = issues;
  }
}

/** Codes whose errors carry facts of their own. */
type CodeWithFacts = 'INVALID_VALUE' | 'SESSION_CONFLICT' | 'LEASE_LOST' | 'STORED_STATE_INVALID';

/** Every error this package throws, told apart by `code`. */
export type AnyAgentFlowError =
  | InvalidValueError
  | SessionConflictError
  | LeaseLostError
  | StoredStateError
  | (AgentFlowError & { readonly code: Exclude<ErrorCode, CodeWithFacts> });

/** Is this an error of this package? True across duplicate copies of the package too, where `instanceof` is not. */
export function isAgentFlowError(value: unknown): value is AnyAgentFlowError {
  return (
    value instanceof Error &&
    'code' in value &&
    typeof value.code === 'string' &&
    Object.hasOwn(statusOfCode, value.code) &&
    'status' in value
  );
}

const statuses: ReadonlySet<string> = new Set<ErrorStatus>([
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
]);

/**
 * Whatever a handler threw, as an error of this package. Errors of ours pass through untouched; everything else
 * becomes `HANDLER_FAILED` with the thrown value as cause, and keeps a Genkit status it already carried (read from
 * `status`, never by `instanceof`: an ESM app and a CJS plugin have two copies of `GenkitError`).
 */
export function toAgentFlowError(thrown: unknown): AgentFlowError {
  try {
    return asAgentFlowError(thrown);
  } catch {
    // A value may be made so that even looking at it throws.
    return new AgentFlowError('HANDLER_FAILED', 'The handler threw something that cannot be read', { cause: thrown });
  }
}

function asAgentFlowError(thrown: unknown): AgentFlowError {
  if (isAgentFlowError(thrown)) return thrown;
  const status = typeof thrown === 'object' && thrown !== null && 'status' in thrown ? thrown.status : undefined;
  const known = typeof status === 'string' && statuses.has(status) ? { status: status as ErrorStatus } : {};
  const message = thrown instanceof Error ? thrown.message : `The handler threw ${describeThrown(thrown)}`;
  return new AgentFlowError('HANDLER_FAILED', message, { cause: thrown, ...known });
}

function describeThrown(thrown: unknown): string {
  return typeof thrown === 'string' ? JSON.stringify(thrown) : String(thrown === null ? 'null' : typeof thrown);
}
