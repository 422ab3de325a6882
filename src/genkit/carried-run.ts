/** Runs that are opened in this process: inside the agent's flow and traced as it is, but no flow stays open for them: see `action-span.ts`. */
import { type Context, context, createContextKey, type Span, trace } from '@opentelemetry/api';
import type { Action, ActionContext, z } from 'genkit';
import { runInNewSpan, SPAN_TYPE_ATTR, type SpanMetadata, setCustomMetadataAttributes } from 'genkit/tracing';
import type { StreamBidiOptions } from '../agent/agent.js';
import type { Launch, LaunchedRun, RunScope } from '../agent/launch.js';
import { closeActionSpan, contextAttribute, withoutState } from './action-span.js';
import { inTurnSpans, scopeIn, withTurnSpans } from './spans.js';

/** A Genkit action that runs an agent. */
export type AgentFlow = Action<z.ZodTypeAny, z.ZodTypeAny, z.ZodTypeAny>;

/** The (empty) input stream of a run that was opened in this process. It is how the flow finds what to run. */
export class CarriedRun implements AsyncIterable<never> {
  /** Begins the run, called inside the flow; what it answers is the flow's to wait for. */
  readonly carry: (actionContext: ActionContext) => Promise<unknown>;

  constructor(carry: (actionContext: ActionContext) => Promise<unknown>) {
    this.carry = carry;
  }

  [Symbol.asyncIterator](): AsyncIterator<never, undefined> {
    return { next: async () => ({ value: undefined, done: true }) };
  }
}

/**
 * Launches runs inside the flow, so that they have all that Genkit gives one: plugins, context, a span. Whatever is made of
 * the flow's `run` later, these are run by the one it has now.
 */
export function launcherOf({ run: runFlow, __action }: AgentFlow): (options: StreamBidiOptions<unknown>) => Launch {
  const { name, key = `/flow/${name}` } = __action;
  const labels = { [SPAN_TYPE_ATTR]: 'action', 'genkit:metadata:subtype': 'flow', 'genkit:key': key };
  const carrier: Carrier = { runFlow, agent: name, path: `/{${name},t:flow}`, labels };
  return (options) => (run) => {
    const withoutSpans = context.active().setValue(suppressTracing, true);
    // Nobody keeps contexts until tracing is up.
    const isTracing = context.with(withoutSpans, () => context.active() === withoutSpans);
    if (isTracing && !makesSpansAnyway) launchWithOwnSpan(carrier, options, run, withoutSpans);
    else launchInsideFlow(carrier, options, run);
  };
}

/** What all runs of an agent share. */
interface Carrier {
  readonly runFlow: AgentFlow['run'];
  readonly agent: string;
  /** The path of a run that is in no other flow. */
  readonly path: string;
  /** The attributes every run's span begins with. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Where every OpenTelemetry SDK looks whether it is to make spans. */
const suppressTracing = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

/** The application's tracer is none of the SDK's, and does not look there. */
let makesSpansAnyway = false;

/** A run on its way into the flow. */
interface Launching {
  readonly carrier: Carrier;
  readonly options: StreamBidiOptions<unknown>;
  readonly run: LaunchedRun;
  /** What surrounds the run. */
  readonly outer: Context;
  /** No step of Genkit's surrounds the run. */
  readonly isRoot: boolean;
}

/**
 * The flow is run without a span, to have the run inside of it, and never returns. The run's span, equal to the one the
 * flow would have, is opened in there and is ours to end.
 */
function launchWithOwnSpan(
  carrier: Carrier,
  options: StreamBidiOptions<unknown>,
  run: LaunchedRun,
  withoutSpans: Context,
): void {
  const launching: Launching = { carrier, options, run, outer: context.active(), isRoot: !isInsideGenkit() };
  const inputStream = new CarriedRun((actionContext) => beginInOwnSpan(launching, actionContext));
  const flowOptions = { inputStream, ...surroundings(options) } as object;
  const flowRun = context.with(withoutSpans, () => carrier.runFlow(undefined, flowOptions));
  // It rejects only where the run has not begun.
  flowRun.catch((error: unknown) => refuseInOwnSpan(launching, error));
}

function beginInOwnSpan(launching: Launching, actionContext: ActionContext): Promise<never> {
  const { carrier, options, run, outer } = launching;
  const unwanted = trace.getActiveSpan();
  if (unwanted?.isRecording() && unwanted !== trace.getSpan(outer)) {
    // The flow's, which nobody would end. From the next run on it is the only one.
    makesSpansAnyway = true;
    unwanted.end();
  }
  return openSpan(launching, (span, metadata) => {
    // The flow we are in is not a step of its own.
    metadata.path = withoutFlow(metadata.path ?? '', carrier);
    try {
      const { traceId, spanId } = span.spanContext();
      options.onTraceStart?.({ traceId, spanId });
    } catch (error) {
      closeActionSpan(span, metadata, { error });
      run.refuse(error);
      return;
    }
    metadata.init = initOf(options);
    const traced = { agent: carrier.agent, kind: 'flow', context: actionContext, span, metadata, outer } as const;
    inTurnSpans(traced, (scope) => run.begin(scope));
  });
}

/** What kept the run from its beginning is seen in its trace, where that can be. */
function refuseInOwnSpan(launching: Launching, error: unknown): void {
  const { options, run } = launching;
  const told = openSpan(launching, (span, metadata) => {
    metadata.init = initOf(options);
    // The flow marked the error as one whose source is known: its own span, which nobody sees.
    metadata.isFailureSource = true;
    closeActionSpan(span, metadata, { error });
    run.refuse(error);
  });
  told.catch(() => run.refuse(error));
}

/** The flow stays open for the run: for the first runs of a process, before Genkit has brought tracing up. */
function launchInsideFlow({ runFlow, agent }: Carrier, options: StreamBidiOptions<unknown>, run: LaunchedRun): void {
  const { telemetryLabels, onTraceStart } = options;
  let hasBegun = false;
  const carry = (actionContext: ActionContext) =>
    new Promise((resolve, reject) => {
      hasBegun = true;
      const ended: RunScope['ended'] = (error, output) => {
        if (error === undefined) resolve(output && withoutState(output));
        else reject(error);
        return flowOver;
      };
      withTurnSpans(agent, actionContext, (scope) => run.begin({ ...scopeIn(actionContext, scope), ended }));
    });
  const flowRun = runFlow(undefined, {
    inputStream: new CarriedRun(carry),
    init: initOf(options),
    ...surroundings(options),
    ...(telemetryLabels && { telemetryLabels }),
    ...(onTraceStart && { onTraceStart }),
  } as object);
  const flowOver = flowRun.catch((error: unknown) => {
    if (!hasBegun) run.refuse(error);
  });
}

function surroundings({ context: actionContext }: StreamBidiOptions<unknown>): { context?: ActionContext } {
  return actionContext === undefined ? {} : { context: actionContext };
}

const noInit = {};

/** What is said of the session at the run's beginning, without its state. */
function initOf({ sessionId, version }: StreamBidiOptions<unknown>): object {
  if (sessionId === undefined && version === undefined) return noInit;
  return { ...(sessionId !== undefined && { sessionId }), ...(version !== undefined && { version }) };
}

/** Told of a span that is open, inside of it. Must not throw. */
type SpanOpened = (span: Span, metadata: SpanMetadata) => void;

/** Opens the span of a run as Genkit does for an action; it is never Genkit that ends it. Rejects if it cannot be opened. */
async function openSpan({ carrier, options, outer, isRoot }: Launching, opened: SpanOpened): Promise<never> {
  const { context: actionContext, telemetryLabels } = options;
  const metadata: SpanMetadata = {
    name: carrier.agent,
    path: undefined,
    // As Genkit: a run is the root of a trace or says nothing about it.
    isRoot: isRoot || undefined,
    init: undefined,
    metadata: { subtype: 'flow', ...(actionContext && contextAttribute(actionContext)) },
  };
  const labels = telemetryLabels === undefined ? carrier.labels : { ...carrier.labels, ...telemetryLabels };
  const open = () =>
    runInNewSpan({ metadata, labels }, (given, span) => {
      opened(span, given);
      // To Genkit it never ends. Nobody can settle it, so what waits for it is garbage.
      return new Promise<never>(() => {});
    });
  return context.with(outer, open);
}

/** Only where a step of Genkit's is open has it a place for attributes. */
function isInsideGenkit(): boolean {
  try {
    setCustomMetadataAttributes({});
    return true;
  } catch {
    return false;
  }
}

/** The path of a step in the agent's flow, as if it took the flow's place. */
function withoutFlow(path: string, { agent, path: flow }: Carrier): string {
  // Most runs share one path; cut out of a longer one each would hold that as well.
  if (path === flow + flow) return flow;
  const own = path.lastIndexOf(`/{${agent}`);
  return path.slice(0, own - flow.length) + path.slice(own);
}
