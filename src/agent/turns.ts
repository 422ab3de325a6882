import { type AgentFlowError, toAgentFlowError } from '../errors.js';
import type { Turn, TurnsOptions } from './agent.js';
import type { InputReader } from './intake.js';
import type { AbortState } from './run-abort.js';
import type { ActiveTurn } from './turn.js';

/** What the loop needs of its run. */
export interface TurnsHost<In, Stream> {
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
 * answered, and only then the first error nobody answered is thrown. Who ignores that hears nothing of it.
 */
export function runTurns<In, Stream>(
  host: TurnsHost<In, Stream>,
  work: TurnWork<In>,
  options: TurnsOptions<In, Stream> = noOptions,
): Promise<void> {
  const loop = new TurnLoop(host, work, options);
  host.readInput(loop);
  return loop.over;
}

/** Such a loop. It waits as an object: an async function that waits takes more memory than most of what a run holds. */
class TurnLoop<In, Stream> implements InputReader<In> {
  readonly over: Promise<void>;
  #settle: (outcome?: Promise<never>) => void = () => {};
  readonly #host: TurnsHost<In, Stream>;
  readonly #work: TurnWork<In>;
  readonly #options: TurnsOptions<In, Stream>;
  #unanswered: AgentFlowError | undefined;

  constructor(host: TurnsHost<In, Stream>, work: TurnWork<In>, options: TurnsOptions<In, Stream>) {
    this.#host = host;
    this.#work = work;
    this.#options = options;
    this.over = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  resolve(next: IteratorResult<In, undefined>): void {
    const turn = next.done ? undefined : this.#host.currentTurn();
    if (next.done || turn === undefined) this.#end();
    else void this.#run(turn, next.value);
  }

  reject(error: unknown): void {
    this.over.catch(() => {});
    this.#settle(Promise.reject(error));
  }

  async #run(turn: ActiveTurn<In, Stream>, input: In): Promise<void> {
    try {
      const error = await runTurn(this.#host, turn, input, this.#work, this.#options);
      this.#unanswered ??= error;
      this.#host.readInput(this);
    } catch (error) {
      this.reject(error);
    }
  }

  #end(): void {
    if (this.#unanswered === undefined) this.#settle();
    else this.reject(this.#unanswered);
  }
}

/** Answers the error of a turn that failed and that nobody answered. */
async function runTurn<In, Stream>(
  host: TurnsHost<In, Stream>,
  turn: ActiveTurn<In, Stream>,
  input: In,
  work: TurnWork<In>,
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
