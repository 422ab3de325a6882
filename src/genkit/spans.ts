/** Spans of a run and its turns, as Genkit's tools read them. Says who and when, never what was said. */
import {
  type Context,
  context,
  INVALID_SPAN_CONTEXT,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { type SpanMetadata, setCustomMetadataAttributes } from 'genkit/tracing';
import type { RunScope } from '../agent/launch.js';
import type { AgentFlowError } from '../errors.js';
import { closeActionSpan, withoutState } from './action-span.js';

/** The span of one run, and what is known of it. */
export interface TracedRun {
  readonly agent: string;
  readonly kind: 'flow' | 'action';
  /** The action context of the caller. */
  readonly context: Record<string, unknown>;
  readonly span: Span;
  /** What surrounds the run, its span not among it. */
  readonly outer: Context;
  /** What stands in the span at its end, where it is we who end it. */
  readonly metadata?: SpanMetadata;
}

/**
 * Runs the body so that all it does belongs to the turn that is open: its spans hang below the turn's span, also where
 * the handler loops over its inputs itself and no function stands for the turn.
 */
export function withTurnSpans<Output>(
  agent: string,
  actionContext: Record<string, unknown>,
  body: (scope: RunScope) => Output,
  kind: 'flow' | 'action' = 'flow',
): Output {
  const span = trace.getActiveSpan();
  if (span === undefined) return body({ context: actionContext, sessionOpened: () => {}, startTurn: () => () => {} });
  return inTurnSpans({ agent, kind, context: actionContext, span, outer: context.active() }, body);
}

/** The same, for a span that is given. */
export function inTurnSpans<Output>(run: TracedRun, body: (scope: RunScope) => Output): Output {
  const turns = new TurnSpans(run);
  return context.with(turns, () => body(turns));
}

/** The same surroundings in another context. What a scope does when its run has ended is not taken along. */
export function scopeIn(actionContext: Record<string, unknown>, scope: RunScope): RunScope {
  return {
    context: actionContext,
    sessionOpened: (id) => scope.sessionOpened(id),
    startTurn: (turn) => scope.startTurn(turn),
  };
}

/** The spans of one run. As a context it tells who asks for the active span the one of the turn that is open. */
class TurnSpans implements RunScope, Context {
  readonly context: Record<string, unknown>;
  readonly #agent: string;
  readonly #kind: string;
  readonly #runSpan: Span;
  readonly #outer: Context;
  #metadata: SpanMetadata | undefined;
  #current: Span;
  #sessionId = '';

  constructor({ agent, kind, context: actionContext, span, outer, metadata }: TracedRun) {
    this.context = actionContext;
    this.#agent = agent;
    this.#kind = kind;
    this.#runSpan = span;
    this.#outer = outer;
    this.#metadata = metadata;
    this.#current = span;
  }

  getValue(key: symbol): unknown {
    return key === spanKey ? this.#current : this.#outer.getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return new ChangedContext(this, new Map([[key, value]]));
  }

  deleteValue(key: symbol): Context {
    return this.setValue(key, undefined);
  }

  sessionOpened(id: string): void {
    this.#sessionId = id;
    setCustomMetadataAttributes({ 'agent:sessionId': id });
    // A run that was aborted meanwhile has ended its span.
    if (this.#runSpan.isRecording()) this.#runSpan.setAttribute('gen_ai.conversation.id', id);
  }

  startTurn({ number, attempt }: { readonly number: number; readonly attempt: number }): (error?: unknown) => void {
    const name = `turn-${number}`;
    const attributes = {
      'genkit:type': 'flowStep',
      'genkit:name': name,
      'genkit:path': `/{${this.#agent},t:${this.#kind}}/{${name},t:flowStep}`,
      'genkit:metadata:agent:sessionId': this.#sessionId,
      'gen_ai.conversation.id': this.#sessionId,
      'genkit:metadata:agent:attempt': attempt,
    };
    const below = trace.setSpan(this.#outer, this.#runSpan);
    const span = trace.getTracer('genkitx-agent').startSpan(name, { attributes }, below);
    this.#current = span;
    return (error) => {
      span.setAttribute('genkit:state', error === undefined ? 'success' : 'error');
      if (error !== undefined)
        span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
      span.end();
      if (this.#current === span) this.#current = this.#runSpan;
    };
  }

  ended(error: AgentFlowError | undefined, output?: object): void {
    const metadata = this.#metadata;
    this.#metadata = undefined;
    if (metadata === undefined) return;
    const outcome = error === undefined ? { output: output && withoutState(output) } : { error };
    closeActionSpan(this.#runSpan, metadata, outcome);
  }
}

/** A context with other values. One of OpenTelemetry's own would copy all values, and with them the turn that is open. */
class ChangedContext implements Context {
  readonly #base: Context;
  readonly #changes: ReadonlyMap<symbol, unknown>;

  constructor(base: Context, changes: ReadonlyMap<symbol, unknown>) {
    this.#base = base;
    this.#changes = changes;
  }

  getValue(key: symbol): unknown {
    return this.#changes.has(key) ? this.#changes.get(key) : this.#base.getValue(key);
  }

  /** Takes the place of this one instead of standing on it: a handler may change its context once per input, for ever. */
  setValue(key: symbol, value: unknown): Context {
    return new ChangedContext(this.#base, new Map(this.#changes).set(key, value));
  }

  deleteValue(key: symbol): Context {
    return this.setValue(key, undefined);
  }
}

/** Under which contexts keep their span. The API does not tell, but it can be seen using it. */
const spanKey = keySetBy((seen) => trace.setSpan(seen, trace.wrapSpanContext(INVALID_SPAN_CONTEXT)));

function keySetBy(set: (context: Context) => void): symbol | undefined {
  let used: symbol | undefined;
  set({
    getValue: () => undefined,
    setValue(key) {
      used = key;
      return this;
    },
    deleteValue: () => ROOT_CONTEXT,
  });
  return used;
}
