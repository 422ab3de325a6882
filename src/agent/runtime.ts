/** PORT: what a run needs from what carries it. The `genkit/` room implements it; the agent knows no Genkit. */

/** What surrounds one run: its context, and spans of its turns. */
export interface RunScope {
  /** The action context of the caller. */
  readonly context: Record<string, unknown>;
  /** Says which session the run is on. */
  sessionOpened(sessionId: string): void;
  /** A turn begins: work done until it ends belongs to it. Answers how it ends. */
  startTurn(turn: { readonly number: number; readonly attempt: number }): (error?: unknown) => void;
}

/** Runs the body of a run inside whatever surrounds it. */
export type Launch = <Output>(body: (scope: RunScope) => Promise<Output>) => Promise<unknown>;
