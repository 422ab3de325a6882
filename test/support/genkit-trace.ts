/** A Genkit trace as a tree, which is how a test wants to look at it. */

/** One span with those below it. */
export interface TraceSpan {
  readonly name: string;
  readonly spanId: string;
  /** Milliseconds since 1970. */
  readonly startTime: number;
  readonly endTime: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** In the order they began. */
  readonly children: readonly TraceSpan[];
}

export interface Trace {
  readonly traceId: string;
  readonly root: TraceSpan;
  /** The whole tree, flat, in the order the spans began. */
  readonly spans: readonly TraceSpan[];
}

interface SpanData {
  spanId: string;
  parentSpanId?: string;
  displayName: string;
  startTime: number;
  endTime: number;
  attributes: Record<string, unknown>;
}

/** As the telemetry server keeps it. With realtime telemetry a span is there from its start, with `endTime` 0. */
export interface TraceData {
  traceId: string;
  spans: Record<string, SpanData>;
}

/** Spans are posted one by one and in no order: the root must be there, every parent too, and all must have ended. */
export function isComplete(data: TraceData): boolean {
  const spans = Object.values(data.spans);
  const roots = spans.filter((span) => span.parentSpanId === undefined);
  const known = (id: string | undefined) => id === undefined || id in data.spans;
  return roots.length === 1 && spans.every((span) => span.endTime > 0 && known(span.parentSpanId));
}

/** The tree of a complete trace. */
export function buildTrace(data: TraceData): Trace {
  const ordered = Object.values(data.spans).sort((a, b) => a.startTime - b.startTime);
  const built = new Map<string, TraceSpan & { children: TraceSpan[] }>();
  for (const { spanId, displayName: name, startTime, endTime, attributes } of ordered) {
    built.set(spanId, { name, spanId, startTime, endTime, attributes, children: [] });
  }
  let root: TraceSpan | undefined;
  for (const { spanId, parentSpanId } of ordered) {
    const span = built.get(spanId);
    if (span === undefined) continue;
    if (parentSpanId === undefined) root = span;
    else built.get(parentSpanId)?.children.push(span);
  }
  if (root === undefined) throw new Error(`trace ${data.traceId} has no root`);
  return { traceId: data.traceId, root, spans: [...built.values()] };
}
