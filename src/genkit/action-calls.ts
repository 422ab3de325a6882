/** What those who call an action of ours meet: Genkit's `run()` and `stream()`, mended. */
import type { Action, Genkit } from 'genkit';
import type { AgentFlow } from './carried-run.js';
import { EventQueue } from './event-queue.js';
import { toldError } from './told-errors.js';

/** The action rejects with errors of Genkit's, and streams as {@link streamOf} says. */
export function mendCalls(ai: Genkit, action: Action): void {
  const { run } = action;
  action.run = (input, options) => run(input, options).catch((error) => Promise.reject(toldError(error)));
  // As Genkit's own does it: a `run()` leaves the application's context to the action, and `ai.currentContext()` is without.
  action.stream = streamOf((input, options) => {
    const context = { ...ai.registry.context, ...(options?.context ?? ai.currentContext()) };
    return action.run(input, { ...options, context });
  });
}

/**
 * The same as Genkit 1.42's own, which drops chunks that are falsy, throws where the input is wrong instead of rejecting,
 * takes time that is quadratic in what waits for its reader, and ends the process where that leaves before the end or
 * nobody waits for the output. Here who leaves the chunks hangs up nothing, and the output may be ignored.
 */
export function streamOf(run: AgentFlow['run']): AgentFlow['stream'] {
  return (input, options) => {
    const chunks = new EventQueue<unknown>();
    const onChunk = (chunk: unknown) => chunks.push(chunk);
    const output = run(input, { ...options, onChunk }).then(({ result }) => result);
    output.then(
      () => chunks.end(),
      (error) => chunks.end({ error }),
    );
    return { output, stream: untilLeft(chunks) };
  };
}

/** What comes once the reader has left is not kept. */
async function* untilLeft<Chunk>(chunks: EventQueue<Chunk>): AsyncGenerator<Chunk, void> {
  try {
    yield* chunks;
  } finally {
    chunks.end();
  }
}
