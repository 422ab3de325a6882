/** Genkit's `stream()` of an action, for actions of ours. */
import { Outbox } from '../connection/outbox.js';
import type { AgentFlow } from './carried-run.js';

/** An action that gives its chunks to whoever asks for them is asked for one run: nothing holds it back. */
const unbounded = { maxBufferedChunks: Infinity, replayChunks: 0 };

/**
 * The same as Genkit 1.42's own, which drops chunks that are falsy, throws where the input is wrong instead of rejecting,
 * takes time that is quadratic in what waits for its reader, and ends the process where that leaves before the end or
 * nobody waits for the output. Here who leaves the chunks hangs up nothing, and the output may be ignored.
 */
export function streamOf(run: AgentFlow['run']): AgentFlow['stream'] {
  return (input, options) => {
    const chunks = new Outbox<unknown>('', unbounded);
    let isRead = true;
    const onChunk = (chunk: unknown) => {
      if (isRead) void chunks.send(chunk);
    };
    const output = run(input, { ...options, onChunk }).then(({ result }) => result);
    output.then(
      () => chunks.end(),
      (error) => chunks.end(error),
    );
    const read = async function* () {
      try {
        yield* chunks.receive(true);
      } finally {
        isRead = false;
      }
    };
    return { output, stream: read() };
  };
}
