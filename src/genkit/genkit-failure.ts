/** What `ai.generate` throws, as a failure. */
import { type BackendFailure, failure, failureOf } from '../backends/failure.js';
import { googleRefusal } from './google-failure.js';

/** Who failed, and where the model was. */
export interface GenkitFailureContext {
  readonly provider: string;
  readonly signal: AbortSignal;
  /** The error came from a call of the model, not from a tool or from Genkit. */
  readonly isModelCall: boolean;
  /** The model had begun to answer. */
  readonly isSpeaking: boolean;
}

/** What `ai.generate` threw, as a failure. Read from fields, because there may be two copies of Genkit's error classes. */
export function genkitFailure(
  thrown: unknown,
  { provider, signal, isModelCall, isSpeaking }: GenkitFailureContext,
): BackendFailure {
  const told = failureOf(thrown, { provider, signal });
  if (told.kind === 'cancelled') return told;
  const { detail, status } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as {
    readonly detail?: { readonly response?: { readonly finishReason?: unknown } };
    readonly status?: unknown;
  };
  if (detail?.response?.finishReason === 'blocked') return failure(provider, 'refused', told.message, { raw: thrown });
  // "Exceeded maximum tool call iterations" comes with the response that would have been one too many.
  if (detail?.response !== undefined && status === 'ABORTED')
    return failure(provider, 'limit', told.message, { raw: thrown });
  const refusal = isModelCall ? googleRefusal(thrown) : undefined;
  if (refusal !== undefined) return { ...told, ...refusal };
  // Plugins lose the cause of a connection that breaks: all there is to tell is that a model call failed, and when.
  if (told.kind !== 'unknown' || status !== undefined || !isModelCall) return told;
  return { ...told, kind: isSpeaking ? 'network' : 'unknown', retryable: true };
}
