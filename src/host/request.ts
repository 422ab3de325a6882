/** One prompt on its way through an agent, and those who wait for its answer. */
import type { BackendEvent, Prompt, Response } from '../backends/backend.js';
import type { AgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { Origin, TurnOutcome } from './behaviour.js';
import { runAsNobody } from './current.js';
import type { QueueItem } from './queue.js';

/** What became of a request, for `onCompletion`. */
export type Completion = { readonly agent: string; readonly ref: string } & TurnOutcome;

/** How a caller follows its request. */
export interface Following {
  /** Told every event of the turn, in order, before the completion; what it throws changes nothing. Source: `stream_to`. */
  readonly onEvent?: (event: BackendEvent, ref: string) => void;
  /** Told once what became of the request, also when the agent ends. Source: `tell_with_completion`. */
  readonly onCompletion?: (completion: Completion) => void;
  /** Wait for the resume of a halted agent, or be refused with `AGENT_HALTED`. @default 'queue' */
  readonly onHalt?: 'queue' | 'fail';
}

/** How long a caller waits. The agent works on whatever happens to its caller. */
export interface Waiting {
  /** Milliseconds; then the wait rejects with `WAIT_TIMEOUT`. @default for ever */
  readonly timeoutMs?: number;
  /** Ends the wait; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How something is asked. */
export interface Asking extends Following, Waiting {}

/** A prompt that was taken in. */
export interface Request extends QueueItem {
  readonly origin: Origin;
  readonly prompt: Prompt;
  readonly following: Following;
  /** Grows when `handleError` tries again. */
  attempt: number;
  /** Those who wait; made when the first one comes. */
  waiting: Deferred<Response> | undefined;
  /** Not before this moment, in milliseconds since the Unix epoch. */
  notBefore: number | undefined;
}

/** Whose answer somebody outside waits for. */
export function hasCaller({ origin }: Request): boolean {
  return origin === 'ask' || origin === 'tell';
}

/** Resolves with the request's answer, rejects with its error; ignoring it is safe. */
export function answerOf(request: Request): Promise<Response> {
  request.waiting ??= new Deferred<Response>();
  return request.waiting.promise;
}

/** Tells everybody who waits. */
export function answer(agent: string, request: Request, outcome: TurnOutcome): void {
  if (outcome.ok) request.waiting?.resolve(outcome.response);
  else request.waiting?.reject(outcome.error);
  const { onCompletion } = request.following;
  if (onCompletion !== undefined) quietly(() => onCompletion({ agent, ref: request.ref, ...outcome }));
}

/** Passes an event on to the caller. */
export function passOn(request: Request, event: BackendEvent): void {
  const { onEvent } = request.following;
  if (onEvent !== undefined) quietly(() => onEvent(event, request.ref));
}

/** Refuses without anybody having waited. */
export function failed(error: AgentFlowError): TurnOutcome {
  return { ok: false, error };
}

/** How much a prompt or an event weighs in a queue: the bytes of its text, or of its JSON. */
export function bytesOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  try {
    return Buffer.byteLength(JSON.stringify(value) ?? '');
  } catch {
    // Cyclic or with a BigInt: it weighs nothing, and counts.
    return 0;
  }
}

function quietly(work: () => unknown): void {
  try {
    // Whoever listens stands outside, also where it is told from within a turn.
    const answer = runAsNobody(work);
    if (answer instanceof Promise) answer.catch(() => {});
  } catch {
    // A caller's own listener is not the agent's business.
  }
}
