/** What goes wrong in a store, told alike whoever has written it. */
import { AgentFlowError, isAgentFlowError } from '../errors.js';

/** What a store answers. Whatever it throws that is no error of this package becomes `STORE_FAILED`, with that as cause. */
export async function inStore<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (cause) {
    if (isAgentFlowError(cause)) throw cause;
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    throw new AgentFlowError('STORE_FAILED', `The session store failed${why}`, { cause });
  }
}
