/** What was typed cannot be done: told in one sentence that says what would have been right. */
import { AgentFlowError, type AgentFlowErrorOptions } from '../errors.js';

/** A line, or a command line, that asks for something there is not; its code is `INVALID_VALUE`. */
export class MisuseError extends AgentFlowError {
  override readonly name = 'MisuseError';

  /** @param message a whole sentence: what was expected */
  constructor(message: string, options: AgentFlowErrorOptions = {}) {
    super('INVALID_VALUE', message, options);
  }
}

/** What to tell of something that went wrong: the sentence, what was behind it, and the code by which it can be looked up. */
export function told(error: unknown): string {
  if (error instanceof MisuseError) return error.message;
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  return `${error.message}${behind(error)}${typeof code === 'string' ? ` (${code})` : ''}`;
}

/** Many an error repeats the one that it wraps. */
function behind({ message, cause }: Error): string {
  return cause instanceof Error && !message.includes(cause.message) ? `: ${cause.message}` : '';
}
