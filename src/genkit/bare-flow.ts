/** Genkit flows whose runs are checked and served by us. */
import type { Genkit } from 'genkit';
import type { AgentFlow } from './carried-run.js';

/** What a run of a flow is given beside its input. */
export interface SideChannel {
  readonly inputStream: AsyncIterable<unknown>;
  readonly init: unknown;
  readonly context: Record<string, unknown>;
  readonly abortSignal: AbortSignal;
  readonly sendChunk: (chunk: unknown) => void;
}

/**
 * Defines a flow that knows no schemas. Genkit would check with JSON Schema (no defaults, no refinements), refuse a run
 * without init, and end the stream at the first bad input; we check with Zod.
 */
export function defineBareFlow(
  ai: Genkit,
  config: { readonly name: string; readonly metadata?: Record<string, unknown> },
  serve: (side: SideChannel) => Promise<unknown>,
): AgentFlow {
  // Taken apart at once: Genkit 1.42 hands all runs that nobody streams one object, and writes the next run's values into it.
  return ai.defineFlow(config, (_input, { inputStream, init, context = {}, abortSignal, sendChunk }) =>
    serve({ inputStream, init, context, abortSignal, sendChunk }),
  );
}
