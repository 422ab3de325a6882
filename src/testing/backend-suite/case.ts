/** What a case of the backend suite gets, and the steps that many cases share. */
import assert from 'node:assert/strict';
import type { Usage } from '../../../schemas/index.js';
import type {
  AnsweredCall,
  Backend,
  BackendEvent,
  BackendFailure,
  BackendSessionOptions,
  BackendTurn,
} from '../../backends/backend.js';
import { betweenQuestions, betweenQuestionsMs, type Case } from '../cases.js';

/** A failure that a vendor can be made to answer with. */
export type ModelFailure = 'rate_limit' | 'authentication' | 'invalid_request' | 'server';

/** What the model does in one turn. */
export interface ModelTurn {
  /** Pieces of its answer, in order. */
  readonly text?: readonly string[];
  /** A tool it calls before it answers; the backend, or the vendor, has it give `output`. */
  readonly tool?: { readonly name: string; readonly input: Record<string, unknown>; readonly output: string };
  /** What the turn uses; a vendor whose counters only grow adds it to them. */
  readonly usage?: { readonly inputTokens: number; readonly outputTokens: number };
  /**
   * How it goes on after that: it is done (the default), never goes on, loses the connection, or fails. A failure comes
   * instead of an answer.
   */
  readonly end?: 'done' | 'hang' | 'drop' | ModelFailure;
}

/** What the model was asked. */
export interface AskedTurn {
  readonly prompt: string;
  /** Turns of this conversation that the model knew to be answered when it was asked. */
  readonly earlier: number;
  /** What it was told before everything else. */
  readonly system?: string;
}

/** A backend, and the model behind it in the hands of the suite: a local server, a scripted executable. */
export interface BackendUnderTest {
  readonly backend: Backend;
  /** Has the model do this in its next turn; several are done in order. */
  play(turn: ModelTurn): void | Promise<void>;
  /** What the model has been asked, oldest first. */
  asked(): readonly AskedTurn[] | Promise<readonly AskedTurn[]>;
  /** How much is going on at the model: open requests, living processes. */
  working(): number | Promise<number>;
  /** How long the suite waits for what must come, in milliseconds; more for a slow executable. @default 5_000 */
  readonly patienceMs?: number;
  /** Called after the case, whether it passed or not. */
  dispose?(): void | Promise<void>;
}

/** One rule of the contract. */
export type BackendCase = Case<BackendUnderTest>;

/** How a turn went. */
export interface Turn {
  readonly events: readonly BackendEvent[];
  readonly text: string;
  /** Why it failed, when it did: told by an `error` event, or thrown. */
  readonly failure: BackendFailure | undefined;
  /** What was thrown, when something was. */
  readonly thrown: unknown;
  /** The session for the next prompt. */
  readonly session: unknown;
}

/** How soon work must have stopped after it was cancelled. */
export const cancelMs = 1_000;
const defaultPatienceMs = 5_000;

/** A signal that never fires. */
export function noSignal(): AbortSignal {
  return new AbortController().signal;
}

export async function start(given: BackendUnderTest, options?: BackendSessionOptions): Promise<unknown> {
  return given.backend.startSession(options);
}

/** Prompts and reads to the end, as every caller does; checks on the way that the stream is well formed. */
export function ask(
  given: BackendUnderTest,
  session: unknown,
  prompt: string,
  signal: AbortSignal = noSignal(),
): Promise<Turn> {
  return read(given, session, () => given.backend.prompt(session, prompt, { signal }));
}

/** Goes on with a turn from calls that have their results, and reads to the end as {@link ask} does. */
export function askResumed(given: BackendUnderTest, session: unknown, calls: readonly AnsweredCall[]): Promise<Turn> {
  return read(given, session, () => {
    const { backend } = given;
    assert.ok(backend.resumeTurn, 'expected a backend that goes on with a turn');
    return backend.resumeTurn(session, calls, { signal: noSignal() });
  });
}

type Begin = () => Promise<BackendTurn<unknown>> | BackendTurn<unknown>;

function read(given: BackendUnderTest, session: unknown, begin: Begin): Promise<Turn> {
  const turn = inTime(given, readTurn(given, session, begin), 'the turn to end');
  // A case that fails meanwhile waits for it no more.
  turn.catch(() => {});
  return turn;
}

async function readTurn({ backend }: BackendUnderTest, session: unknown, begin: Begin): Promise<Turn> {
  const events: BackendEvent[] = [];
  let current = session;
  let thrown: unknown;
  try {
    const turn = await begin();
    current = turn.session;
    for await (const event of turn.events) {
      assertWellFormed(event);
      assert.ok(!events.some(isTerminal), `expected nothing after the terminal, got ${event.type}`);
      events.push(event);
    }
    const result = events.at(-1);
    if (result?.type === 'result' && !result.isError && backend.updateSession !== undefined)
      current = await backend.updateSession(current, result);
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    thrown = error;
  }
  const text = events.map((event) => (event.type === 'text' ? event.text : '')).join('');
  return { events, text, failure: failureOf(events, thrown), thrown, session: current };
}

/** A turn that is about to be cancelled: it is at work when this resolves, and `cancelled` waits for its end. */
export async function hanging(
  given: BackendUnderTest,
  session: unknown,
  prompt: string,
  atWork = 1,
): Promise<{ cancel(): Promise<Turn> }> {
  const controller = new AbortController();
  const turn = ask(given, session, prompt, controller.signal);
  await busy(given, atWork);
  return {
    cancel() {
      controller.abort('enough');
      return inTime(given, turn, 'a cancelled turn to end', cancelMs);
    },
  };
}

/** A turn that must succeed. */
export async function answered(given: BackendUnderTest, session: unknown, prompt: string): Promise<Turn> {
  return succeeded(await ask(given, session, prompt));
}

/** The same turn, which must have succeeded. */
export function succeeded(turn: Turn): Turn {
  assert.equal(turn.thrown, undefined, `expected an answer, but it threw ${String(turn.thrown)}`);
  const last = turn.events.at(-1);
  assert.equal(last?.type, 'result', `expected a result as the last event, got ${describe(last)}`);
  return turn;
}

/** The answer: the result's text, else the texts. */
export function answerOf({ events, text }: Turn): string {
  const last = events.at(-1);
  return last?.type === 'result' ? (last.text ?? text) : text;
}

/** The id a turn told: the first `session` event, else the result's. */
export function sessionIdOf({ events }: Turn): string | undefined {
  const told = events.find((event) => event.type === 'session');
  const result = events.at(-1);
  return told?.sessionId ?? (result?.type === 'result' ? result.sessionId : undefined);
}

/** All that a turn said it used. */
export function usageOf({ events }: Turn): Usage {
  const usages = events.flatMap((event) => (event.type === 'usage' ? [event.usage] : []));
  const sum = (name: 'inputTokens' | 'outputTokens') => usages.reduce((total, usage) => total + (usage[name] ?? 0), 0);
  return { inputTokens: sum('inputTokens'), outputTokens: sum('outputTokens') };
}

/** Waits until nothing goes on at the model any more. */
export async function restful(given: BackendUnderTest): Promise<void> {
  await eventually(cancelMs, 'the work to have stopped', async () => (await given.working()) === 0);
}

/** Waits until exactly so much goes on at the model, and makes sure that it stays so. */
export async function settled(given: BackendUnderTest, count: number): Promise<void> {
  await eventually(cancelMs, `${count} at work`, async () => (await given.working()) === count);
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  assert.equal(await given.working(), count, 'expected the other turn to be at work still');
}

/** Waits until something goes on at the model. */
async function busy(given: BackendUnderTest, atLeast: number): Promise<void> {
  const { patienceMs = defaultPatienceMs } = given;
  await eventually(patienceMs, 'the model to be at work', async () => (await given.working()) >= atLeast);
}

/** The time is counted in questions: what a machine that is busy takes for others is nobody's fault here. */
async function eventually(withinMs: number, what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let passedMs = 0; !(await isSo()); passedMs += betweenQuestionsMs) {
    assert.ok(passedMs < withinMs, `expected ${what} within ${withinMs} ms`);
    await betweenQuestions();
  }
}

/** Everything that could go on by itself has gone on. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The work's own end, which must come in time. */
export async function inTime<T>(
  { patienceMs = defaultPatienceMs }: BackendUnderTest,
  work: Promise<T>,
  what: string,
  withinMs = patienceMs,
): Promise<T> {
  let isOver = false;
  const settle = () => {
    isOver = true;
  };
  work.then(settle, settle);
  await eventually(withinMs, what, async () => isOver);
  return work;
}

function isTerminal({ type }: BackendEvent): boolean {
  return type === 'result' || type === 'error';
}

function failureOf(events: readonly BackendEvent[], thrown: unknown): BackendFailure | undefined {
  const last = events.at(-1);
  if (last?.type === 'error') return last.error;
  const carried =
    typeof thrown === 'object' && thrown !== null ? (thrown as { failure?: BackendFailure }).failure : undefined;
  return carried;
}

function assertWellFormed(event: BackendEvent): void {
  const { type } = event;
  const isString = (value: unknown) => typeof value === 'string';
  const ok: Record<BackendEvent['type'], () => boolean> = {
    text: () => event.type === 'text' && isString(event.text),
    tool_use: () => event.type === 'tool_use' && isString(event.id) && isString(event.name),
    tool_result: () => event.type === 'tool_result' && isString(event.id) && typeof event.isError === 'boolean',
    usage: () => event.type === 'usage' && Object.values(event.usage).every((count) => count >= 0),
    session: () => event.type === 'session' && isString(event.sessionId) && event.sessionId !== '',
    result: () => true,
    error: () => event.type === 'error' && isWhole(event.error),
  };
  assert.ok(Object.hasOwn(ok, type), `expected an event of a known type, got ${describe(event)}`);
  assert.ok(ok[type](), `expected a well-formed event, got ${describe(event)}`);
}

/** Has a failure all that the contract asks for? */
export function isWhole(failure: BackendFailure | undefined): boolean {
  return (
    typeof failure === 'object' &&
    typeof failure.provider === 'string' &&
    failure.provider !== '' &&
    typeof failure.kind === 'string' &&
    typeof failure.retryable === 'boolean' &&
    typeof failure.message === 'string' &&
    failure.message !== '' &&
    'raw' in failure
  );
}

function describe(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}
