/** Traces as values: all that spans say, with ids and times left out. */
import type { InMemorySpanExporter, ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { quiet } from './waiting.js';

/** What a span says. */
export interface ShownSpan {
  /** Its path and name, by which spans of two traces can be paired. */
  readonly place: string;
  readonly [said: string]: unknown;
}

/** All spans that ended while the work went on, in the order of their paths. Whether the work succeeds does not matter. */
export async function traceOf(exporter: InMemorySpanExporter, work: () => Promise<unknown>): Promise<ShownSpan[]> {
  exporter.reset();
  await work().catch(() => {});
  await quiet();
  const spans = exporter.getFinishedSpans();
  const nameOf = (id: unknown) => spans.find((span) => span.spanContext().spanId === id)?.name ?? id;
  return spans.map((span) => shown(span, nameOf)).sort((a, b) => (a.place < b.place ? -1 : 1));
}

function shown(span: ReadableSpan, nameOf: (id: unknown) => unknown): ShownSpan {
  const { 'genkit:lastKnownParentSpanId': known, ...attributes } = span.attributes;
  const events = span.events.map(({ name, attributes: { 'exception.stacktrace': stack, ...others } = {} }) => ({
    name,
    others,
    stack: String(stack).split('\n')[0],
  }));
  return {
    place: `${attributes['genkit:path']} ${span.name}`,
    parent: nameOf(span.parentSpanId),
    lastKnownParent: nameOf(known),
    attributes,
    status: span.status,
    kind: span.kind,
    links: span.links,
    tracer: span.instrumentationLibrary,
    events,
  };
}
