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
  const turns = new TurnSpans(`/{${agent},t:${kind}}`, actionContext, runSpan);
  // To whoever asks, the active span is the one of the turn that is open.
  return context.with(trace.setSpan(context.active(), new Proxy(runSpan, turns)), () => body(turns));
}

/** The spans of one run; as a proxy's handler it stands for the one that is open. */
class TurnSpans implements RunScope, ProxyHandler<Span> {
  readonly context: Record<string, unknown>;
  readonly #path: string;
  readonly #runSpan: Span;
  readonly #runContext = context.active();
  #current: Span;
  #sessionId = '';

  constructor(path: string, actionContext: Record<string, unknown>, runSpan: Span) {
    this.context = actionContext;
    this.#path = path;
    this.#runSpan = runSpan;
    this.#current = runSpan;
  }

  get(_: Span, key: string | symbol): unknown {
    const span = this.#current;
    const member: unknown = Reflect.get(span, key, span);
    return typeof member === 'function' ? member.bind(span) : member;
  }

  sessionOpened(id: string): void {
    this.#sessionId = id;
    setCustomMetadataAttributes({ 'agent:sessionId': id });
    this.#runSpan.setAttribute('gen_ai.conversation.id', id);
  }

  startTurn({ number, attempt }: { readonly number: number; readonly attempt: number }): (error?: unknown) => void {
    const name = `turn-${number}`;
    const attributes = {
      'genkit:type': 'flowStep',
      'genkit:name': name,
      'genkit:path': `${this.#path}/{${name},t:flowStep}`,
      'genkit:metadata:agent:sessionId': this.#sessionId,
      'gen_ai.conversation.id': this.#sessionId,
      'genkit:metadata:agent:attempt': attempt,
    };
    const span = trace.getTracer('genkitx-agent').startSpan(name, { attributes }, this.#runContext);
    this.#current = span;
    return (error) => {
      span.setAttribute('genkit:state', error === undefined ? 'success' : 'error');
      if (error !== undefined)
        span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
      span.end();
      if (this.#current === span) this.#current = this.#runSpan;
    };
  }
}
