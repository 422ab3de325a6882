/** Spans of a run and its turns, as Genkit's tools read them. Says who and when, never what was said. */
import { context, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import { setCustomMetadataAttributes } from 'genkit/tracing';
import type { RunScope } from '../agent/runtime.js';

/**
 * Runs the body so that all it does belongs to the turn that is open: its spans hang below the turn's span, also where
 * the handler loops over its inputs itself and no function stands for the turn.
 */
export function withTurnSpans<Output>(
  agent: string,
  actionContext: Record<string, unknown>,
  body: (scope: RunScope) => Promise<Output>,
  kind: 'flow' | 'action' = 'flow',
): Promise<Output> {
  const runSpan = trace.getActiveSpan();
  if (runSpan === undefined)
    return body({ context: actionContext, sessionOpened: () => {}, startTurn: () => () => {} });
  const runContext = context.active();
  const tracer = trace.getTracer('genkitx-agent');
  let sessionId = '';
  let current: Span = runSpan;
  const scope: RunScope = {
    context: actionContext,
    sessionOpened(id) {
      sessionId = id;
      setCustomMetadataAttributes({ 'agent:sessionId': id });
      runSpan.setAttribute('gen_ai.conversation.id', id);
    },
    startTurn({ number, attempt }) {
      const name = `turn-${number}`;
      const attributes = {
        'genkit:type': 'flowStep',
        'genkit:name': name,
        'genkit:path': `/{${agent},t:${kind}}/{${name},t:flowStep}`,
        'genkit:metadata:agent:sessionId': sessionId,
        'gen_ai.conversation.id': sessionId,
        'genkit:metadata:agent:attempt': attempt,
      };
      const span = tracer.startSpan(name, { attributes }, runContext);
      current = span;
      return (error) => {
        span.setAttribute('genkit:state', error === undefined ? 'success' : 'error');
        if (error !== undefined)
          span.setStatus({
            code: SpanStatusCode.ERROR,
            message: error instanceof Error ? error.message : String(error),
          });
        span.end();
        if (current === span) current = runSpan;
      };
    },
  };
  return context.with(
    trace.setSpan(
      runContext,
      following(() => current),
    ),
    () => body(scope),
  );
}

/** A span that always is the one that `current` answers. */
function following(current: () => Span): Span {
  return new Proxy(current(), {
    get(_, key) {
      const span = current();
      const member: unknown = Reflect.get(span, key, span);
      return typeof member === 'function' ? member.bind(span) : member;
    },
  });
}
