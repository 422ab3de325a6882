/**
 * A host's turns as OpenTelemetry spans and metrics, after the semantic conventions for generative AI. Nothing is exported
 * unless the application has set OpenTelemetry up; what was said is never written.
 */
import { type Attributes, context, metrics, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Response } from '../backends/backend.js';
import type { HostEvent, HostObserver, TurnFacts } from './events.js';

const tracer = trace.getTracer('genkitx-agent');

/** Runs one turn of a named agent inside its span; what the backend traces hangs below it. */
export function inTurnSpan<T>(agent: string, provider: string, facts: TurnFacts, work: (span: Span) => T): T {
  const attributes: Attributes = {
    'gen_ai.operation.name': 'invoke_agent',
    'gen_ai.agent.name': agent,
    'gen_ai.provider.name': provider,
    'genkitx_agent.ref': facts.ref,
    'genkitx_agent.attempt': facts.attempt,
    'genkitx_agent.origin': facts.origin,
  };
  const span = tracer.startSpan(`invoke_agent ${agent}`, { kind: SpanKind.INTERNAL, attributes });
  return context.with(trace.setSpan(context.active(), span), () => work(span));
}

/** Writes how the turn went, and closes its span. */
export function endTurnSpan(
  span: Span,
  { sessionId, usage, stopReason }: Response,
  errorType: string | undefined,
): void {
  const told: Attributes = {};
  if (sessionId !== undefined) told['gen_ai.conversation.id'] = sessionId;
  if (usage?.inputTokens !== undefined) told['gen_ai.usage.input_tokens'] = usage.inputTokens;
  if (usage?.outputTokens !== undefined) told['gen_ai.usage.output_tokens'] = usage.outputTokens;
  if (stopReason !== undefined) told['gen_ai.response.finish_reasons'] = [stopReason];
  if (errorType !== undefined) {
    told['error.type'] = errorType;
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.setAttributes(told);
  span.end();
}

/**
 * An observer that turns a host's events into metrics, each by agent: the histograms `gen_ai.client.operation.duration`
 * (seconds of a turn) and `gen_ai.client.token.usage`, the gauge `genkitx_agent.queue.depth` (prompts that wait), the
 * counters `genkitx_agent.cost` (US dollars) and `genkitx_agent.turns`.
 *
 * Every host has one; OpenTelemetry's meters must be set up before the host is made.
 */
export function metricsObserver(): HostObserver {
  const meter = metrics.getMeter('genkitx-agent');
  const duration = meter.createHistogram('gen_ai.client.operation.duration', { unit: 's' });
  const tokens = meter.createHistogram('gen_ai.client.token.usage', { unit: '{token}' });
  const cost = meter.createCounter('genkitx_agent.cost', { unit: 'USD' });
  const depth = meter.createGauge('genkitx_agent.queue.depth', { unit: '{prompt}' });
  const turns = meter.createCounter('genkitx_agent.turns');
  return (event: HostEvent) => {
    const { type } = event;
    const isDepth = type === 'mailbox.queued' || type === 'mailbox.taken';
    if (!isDepth && type !== 'turn.stop' && type !== 'turn.error') return;
    const attributes: Attributes = { 'gen_ai.agent.name': event.agent, 'gen_ai.operation.name': 'invoke_agent' };
    if (isDepth) return depth.record(event.depth, attributes);
    const outcome = type === 'turn.error' ? { ...attributes, 'error.type': event.code } : attributes;
    duration.record(event.durationMs / 1_000, outcome);
    turns.add(1, outcome);
    cost.add(event.costUsd, attributes);
    tokens.record(event.inputTokens, { ...attributes, 'gen_ai.token.type': 'input' });
    tokens.record(event.outputTokens, { ...attributes, 'gen_ai.token.type': 'output' });
  };
}
