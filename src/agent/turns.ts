import { type AgentFlowError, toAgentFlowError } from '../errors.js';
import type { Turn, TurnsOptions } from './agent.js';
import type { AbortState } from './run-abort.js';
import type { ActiveTurn } from './turn.js';

/** What the loop needs of its run. */
export interface TurnsHost<In, Stream> {
  readonly inputStream: AsyncIterable<In>;
  readonly abort: AbortState;
  /** The turn of the input that was just taken. */
  currentTurn(): ActiveTurn<In, Stream> | undefined;
  /** Ends the current turn. */
  closeTurn(interrupted: boolean, error?: AgentFlowError): Promise<void>;
}

/**
 * One input at a time until there are no more. A turn that throws takes nothing with it: the inputs behind it are
 * answered, and only then the first error nobody answered is thrown.
 */
export async function runTurns<In, Stream>(
  host: TurnsHost<In, Stream>,
  work: (input: In, turn: Turn<In>) => void | Promise<void>,
  options: TurnsOptions<In, Stream> = {},
): Promise<void> {
  let unanswered: AgentFlowError | undefined;
  for await (const input of host.inputStream) {
    const turn = host.currentTurn();
    if (turn === undefined) return;
    const error = await runTurn(host, turn, input, work, options);
    unanswered ??= error;
  }
  if (unanswered !== undefined) throw unanswered;
}

/** Answers the error of a turn that failed and that nobody answered. */
async function runTurn<In, Stream>(
  host: TurnsHost<In, Stream>,
  turn: ActiveTurn<In, Stream>,
  input: In,
  work: (input: In, turn: Turn<In>) => void | Promise<void>,
  { onError, onInterrupt }: TurnsOptions<In, Stream>,
): Promise<AgentFlowError | undefined> {
  turn.startWork(onInterrupt !== undefined);
  let failure = turn.interruption ?? (await errorOf(() => work(input, turn)));
  const wasInterrupted = turn.finishWork();
  host.abort.throwIfAborted();
  if (wasInterrupted) failure = await errorOf(() => onInterrupt?.({ input, turn, chunks: turn.chunks }));
  const error = failure;
  if (error !== undefined && onError !== undefined) failure = await errorOf(() => onError(error, { input, turn }));
  const hasEndedItself = host.currentTurn() !== turn;
  if (!hasEndedItself) await host.closeTurn(wasInterrupted, failure);
  return failure;
}

async function errorOf(work: () => void | Promise<void>): Promise<AgentFlowError | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return toAgentFlowError(error);
  }
}
