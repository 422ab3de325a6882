/**
 * Errors of ours as Genkit's own. Who serves an action over HTTP (`expressHandler`) tells a client of that class only, by
 * its status, and of anything else that there was an internal error.
 */
import { createRequire } from 'node:module';
import { GenkitError } from 'genkit';
import { type AgentFlowError, isAgentFlowError } from '../errors.js';

/**
 * The error to reject with where an action of ours is served: errors of ours, and Genkit's own that a handler threw, with
 * status, message and details, and what it was as the cause. Whatever else a handler throws stays what it is, for it may
 * name what is nobody's business.
 */
export function toldError(error: unknown): unknown {
  const Known = knownClass();
  if (!(error instanceof Error) || error instanceof Known) return error;
  const told = whatToTell(error);
  return told === undefined ? error : Object.assign(new Known(told), { cause: error }, kept(error));
}

type Told = Pick<ConstructorParameters<typeof GenkitError>[0], 'status' | 'message' | 'detail'>;

function whatToTell(error: Error): Told | undefined {
  if (isAgentFlowError(error) && error.code !== 'HANDLER_FAILED') {
    const { status, message } = error.toJSON();
    return { status, message, detail: detailsOf(error) };
  }
  const thrown = isAgentFlowError(error) ? error.cause : error;
  return isGenkitError(thrown)
    ? { status: thrown.status, message: thrown.originalMessage, detail: thrown.detail }
    : undefined;
}

/** What a client is told of an error of ours beside its status and message. */
export function detailsOf(error: AgentFlowError): { code: string; details?: unknown } {
  const { code, details } = error.toJSON();
  return details === undefined ? { code } : { code, details };
}

/** Where it was thrown, for the log, and the marks that Genkit's tracing leaves on an error. */
function kept(error: Error): object {
  const { stack, traceId, ignoreFailedSpan }: Error & { traceId?: unknown; ignoreFailedSpan?: unknown } = error;
  return { stack, traceId, ignoreFailedSpan };
}

/** The error of Genkit's class that a handler threw, if it was one: its details are made for the caller. */
export function genkitCauseOf({ code, cause }: AgentFlowError): GenkitError | undefined {
  return code === 'HANDLER_FAILED' && isGenkitError(cause) ? cause : undefined;
}

/** True for both of Genkit's builds, where `instanceof` is not. */
function isGenkitError(value: unknown): value is GenkitError {
  try {
    return value instanceof Error && 'originalMessage' in value && 'status' in value && 'toJSON' in value;
  } catch {
    // A value may be made so that even looking at it throws.
    return false;
  }
}

/**
 * The class that a server of actions looks for. Genkit's own plugins load the CommonJS build even in an ESM application,
 * and that has a class of its own.
 */
function knownClass(): typeof GenkitError {
  try {
    const require = createRequire(import.meta.url);
    for (const entry of ['genkit/beta', 'genkit']) {
      // Loaded for this alone it would be of no use to anybody.
      const loaded: Partial<typeof import('genkit')> | undefined = require.cache[require.resolve(entry)]?.exports;
      if (loaded?.GenkitError !== undefined) return loaded.GenkitError;
    }
  } catch {
    // Bundled together with Genkit: then there is one build.
  }
  return GenkitError;
}
