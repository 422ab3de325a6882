/**
 * The span of an action, as Genkit writes it. Genkit itself ends one when the action's function returns, and till then
 * holds a chain of waiting functions that takes more memory than all else in a run that idles. We let Genkit open the
 * span and everything around it, and end it ourselves.
 */
import { type Span, SpanStatusCode } from '@opentelemetry/api';
import type { ActionContext } from 'genkit';
import type { SpanMetadata } from 'genkit/tracing';

/** A result as it is written on a run's span. The whole state there would make every run cost what its history does. */
export function withoutState(output: object): object {
  const { state: _, ...rest } = output as { readonly state?: unknown };
  return rest;
}

/** The attribute in which an action's context is kept, without its secrets; none when it is not JSON. */
export function contextAttribute(context: ActionContext): { context?: string } {
  try {
    const shown: Record<string, unknown> = { ...context };
    for (const key of ['auth', 'secrets']) if (key in shown) shown[key] = '<redacted>';
    return { context: JSON.stringify(shown) };
  } catch {
    return {};
  }
}

/** How an action has ended. */
export type ActionOutcome = { readonly error: unknown } | { readonly output: unknown };

/** Ends the span of an action. Never throws: an action is over even where its trace cannot be written. */
export function closeActionSpan(span: Span, metadata: SpanMetadata, outcome: ActionOutcome): void {
  try {
    try {
      writeOutcome(span, metadata, outcome);
    } finally {
      span.end();
    }
  } catch {
    // What failed is an error nobody can read, or a span processor of the application.
  }
}

function writeOutcome(span: Span, metadata: SpanMetadata, outcome: ActionOutcome): void {
  const written = asJson(outcome);
  metadata.path = decorated(metadata);
  metadata.state = 'error' in written ? 'error' : 'success';
  if ('error' in written) writeFailure(span, metadata, written.error);
  else metadata.output = written.output;
  span.setAttributes(attributesOf(metadata));
}

/** An output that is not JSON is a failure, to Genkit. */
function asJson(outcome: ActionOutcome): { readonly error: unknown } | { readonly output: string } {
  if ('error' in outcome) return outcome;
  try {
    return { output: JSON.stringify(outcome.output) };
  } catch (error) {
    return { error };
  }
}

function writeFailure(span: Span, metadata: SpanMetadata, failure: unknown): void {
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: failure instanceof Error ? failure.message : String(failure),
  });
  if (!(failure instanceof Error)) return;
  span.recordException(failure);
  // The first span an error goes through is its source; those around it see that there was one before them.
  if (Reflect.get(failure, 'ignoreFailedSpan') !== true) metadata.isFailureSource = true;
  Reflect.set(failure, 'ignoreFailedSpan', true);
  Reflect.set(failure, 'traceId', span.spanContext().traceId);
}

/** The last step of a path also says of which kind it is, unless it is the first. */
function decorated({ path = '', metadata }: SpanMetadata): string {
  const subtype = metadata?.subtype;
  const isFirst = !path.includes('}/{');
  return isFirst || !subtype ? path : `${path.slice(0, -1)},s:${subtype}}`;
}

function attributesOf({ metadata, ...facts }: SpanMetadata): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const [key, value] of Object.entries(metadata ?? {})) attributes[`genkit:metadata:${key}`] = value;
  for (const [key, value] of Object.entries(facts)) {
    const isJson = key === 'input' || key === 'init' || typeof value === 'object';
    attributes[`genkit:${key}`] = isJson ? JSON.stringify(value) : value;
  }
  return attributes;
}
