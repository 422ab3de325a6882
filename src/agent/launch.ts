/** PORT: how a run is launched in what carries it, as a Genkit action does. The `genkit/` room implements it; the agent knows no Genkit. */
import type { AgentFlowError } from '../errors.js';

/** What surrounds one run: its context, and spans of its turns. */
export interface RunScope {
  /** The action context of the caller. */
  readonly context: Record<string, unknown>;
  /** Says which session the run is on. */
  sessionOpened(sessionId: string): void;
  /** A turn begins: work done until it ends belongs to it. Answers how it ends. */
  startTurn(turn: { readonly number: number; readonly attempt: number }): (error?: unknown) => void;
  /**
   * The run is over, by this error or with this output. Where the trace of the run is not complete when it returns, it
   * answers a promise that resolves when it is. Only the first call counts.
   */
  ended?(error: AgentFlowError | undefined, output?: object): void | Promise<unknown>;
}

/** A run that waits to be launched. One of the two is called, once. */
export interface LaunchedRun {
  /** Begins, inside what surrounds it. Never throws. */
  begin(scope: RunScope): void;
  /** Nothing can carry it, for this reason. */
  refuse(error: unknown): void;
}

/** Begins a run inside whatever surrounds it. */
export type Launch = (run: LaunchedRun) => void;
