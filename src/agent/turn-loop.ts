/** The loop most handlers want: `turns(work)` answers one input after another. */
import { assertFunction, assertOptions } from '../errors/options.js';
import { type AgentFlowError, toAgentFlowError } from '../errors.js';
import type { ActiveTurn } from './active-turn.js';
import type { Turn, TurnsOptions } from './agent.js';
import type { InputReader } from './intake.js';
import type { AbortState } from './lazy-abort.js';

/** What the loop needs of its run. */
export interface TurnLoopParts<In, Stream> {
  readonly abort: AbortState;
  /** Takes the next input for a reader whose turns can be cut short. */
  readInput(reader: InputReader<In>): void;
  /** The turn of the input that was just taken. */
  currentTurn(): ActiveTurn<In, Stream> | undefined;
  /** Ends the current turn. */
  closeTurn(interrupted: boolean, error?: AgentFlowError): Promise<void>;
}

const noOptions = {};

type TurnWork<In> = (input: In, turn: Turn<In>) => void | Promise<void>;

/**
 * One input at a time until there are no more. A turn that throws takes nothing with it: the inputs behind it are
 * answered, and only then the first error that no `onError` has answered is thrown. A handler need not wait for it.
 */
export function runTurns<In, Stream>(
  parts: TurnLoopParts<In, Stream>,
  work: TurnWork<In>,
  options: TurnsOptions<In, Stream> = noOptions,
): Promise<void> {
  assertFunction(work, 'turn');
  assertOptions(options);
  const loop = new TurnLoop(parts, work, options);
  parts.readInput(loop);
  return loop.over;
}

/** The loop itself. It waits as an object: an async function that waits takes more memory than most of what a run holds. */
class TurnLoop<In, Stream> implements InputReader<In> {
  readonly over: Promise<void>;
  #settle: (outcome?: Promise<never>) => void = () => {};
  readonly #parts: TurnLoopParts<In, Stream>;
  readonly #work: TurnWork<In>;
  readonly #options: TurnsOptions<In, Stream>;
  #unanswered: AgentFlowError | undefined;

  constructor(parts: TurnLoopParts<In, Stream>, work: TurnWork<In>, options: TurnsOptions<In, Stream>) {
    this.#parts = parts;
    this.#work = work;
    this.#options = options;
    this.over = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  resolve(next: IteratorResult<In, undefined>): void {
    const turn = next.done ? undefined : this.#parts.currentTurn();
    if (next.done || turn === undefined) this.#end();
    else void this.#run(turn, next.value);
  }

  reject(error: unknown): void {
    this.over.catch(() => {});
    this.#settle(Promise.reject(error));
  }

  async #run(turn: ActiveTurn<In, Stream>, input: In): Promise<void> {
    try {
      const error = await runTurn(this.#parts, turn, input, this.#work, this.#options);
      this.#unanswered ??= error;
      this.#parts.readInput(this);
    } catch (error) {
      this.reject(error);
    }
  }

  #end(): void {
    if (this.#unanswered === undefined) this.#settle();
    else this.reject(this.#unanswered);
  }
}

/** Runs one turn, and resolves to the error it failed with if no `onError` has answered that. */
async function runTurn<In, Stream>(
  parts: TurnLoopParts<In, Stream>,
  turn: ActiveTurn<In, Stream>,
  input: In,
  work: TurnWork<In>,
  { onError, onInterrupt }: TurnsOptions<In, Stream>,
): Promise<AgentFlowError | undefined> {
  turn.startWork(onInterrupt !== undefined);
  const ownFailure = turn.interruption ?? (await errorOf(() => work(input, turn)));
  let failure = await turn.endSteering(ownFailure);
  const wasInterrupted = turn.finishWork();
  parts.abort.throwIfAborted();
  if (wasInterrupted) failure = await errorOf(() => onInterrupt?.({ input, turn, chunks: turn.chunks }));
  const error = failure;
  if (error !== undefined && onError !== undefined) failure = await errorOf(() => onError(error, { input, turn }));
  const hasEndedItself = parts.currentTurn() !== turn;
  if (!hasEndedItself) await parts.closeTurn(wasInterrupted, failure);
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
