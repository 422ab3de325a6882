/** A run that is opened in this process leaves the trace that Genkit's flow leaves, though no flow stays open for it. */
import 'genkit/beta'; // must come before genkit/tracing, or telemetry is not initialised
import { AsyncLocalStorage } from 'node:async_hooks';
import { context, createContextKey, DiagLogLevel, diag, propagation, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, type SpanProcessor } from '@opentelemetry/sdk-trace-base';
import { genkit, z } from 'genkit';
import { enableTelemetry, setCustomMetadataAttributes } from 'genkit/tracing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type AgentHandler, defineAgent, type StreamBidiOptions } from '../../src/index.js';
import { stillHeld } from '../support/garbage.js';
import { type ShownSpan, traceOf } from '../support/traces.js';
import { quiet } from '../support/waiting.js';

const exporter = new InMemorySpanExporter();
const ai = genkit({});
const sessionId = 'the session';

/** As an application may have one. */
const processor: SpanProcessor = {
  onStart() {},
  onEnd() {},
  forceFlush: async () => {},
  shutdown: async () => {},
};

beforeAll(async () => {
  await enableTelemetry({ spanProcessors: [new SimpleSpanProcessor(exporter), processor] });
});

afterEach(() => {
  vi.restoreAllMocks();
});

type State = Record<string, unknown>;

const worker = defineAgent(
  ai,
  { name: 'worker', inputSchema: z.string(), outputSchema: z.any(), abortGraceMs: 0 },
  async ({ turns, session, responder }) => {
    setCustomMetadataAttributes({ 'set by': 'the handler' });
    await ai.run('prepare', async () => 'ready');
    await turns(async (input) => {
      if (input === 'fail in the turn') throw new TypeError('the turn');
      if (input === 'wait') await new Promise(() => {});
      await ai.run('look up', async () => Object.keys(ai.currentContext() ?? {}));
      await session.updateState((state) => {
        state.last = input;
      });
      await responder.send(input);
    });
    if (session.state.last === 'fail') throw new RangeError('the handler');
    return { output: session.state.last === 'no JSON' ? 1n : session.state.last };
  },
);

type Way = (inputs: readonly string[], options: StreamBidiOptions<State>) => Promise<unknown>;

/** As the Dev UI does. */
const throughTheFlow: Way = async (inputs, options) => {
  async function* inputStream() {
    yield* inputs;
    if (options.abortSignal !== undefined) await new Promise(() => {});
  }
  const run = { inputStream: inputStream(), init: { sessionId }, ...options };
  return (await worker.flow.run(undefined, run as object)).result;
};

const inProcess: Way = (inputs, options) => {
  const connection = worker.streamBidi({ sessionId, ...options });
  for (const input of inputs) void connection.send(input);
  if (options.abortSignal === undefined) connection.close();
  return connection.output();
};

function named(name: string) {
  return exporter.getFinishedSpans().find((span) => span.name === name);
}

/** In process a run does not write its whole state. */
function withoutState(spans: readonly ShownSpan[]): unknown[] {
  return spans.map((span) => {
    const { 'genkit:output': output, ...attributes } = span.attributes as Record<string, unknown>;
    const { state: _, ...said } = typeof output === 'string' ? Object(JSON.parse(output)) : {};
    return { ...span, attributes, said };
  });
}

interface Case {
  readonly inputs: readonly string[];
  readonly options?: () => StreamBidiOptions<State>;
  readonly inside?: (run: () => Promise<unknown>) => Promise<unknown>;
}

const outer = ai.defineFlow('outer', (run: () => Promise<unknown>) => run());
const inAFlow = (run: () => Promise<unknown>) => outer(run);
const cyclic: State = {};
cyclic.self = cyclic;

function unreadable(): State {
  return {
    get tier() {
      throw new TypeError('not to be read');
    },
  };
}

const cases: Record<string, Case> = {
  'that succeeds': { inputs: ['one', 'two'] },
  'without inputs': { inputs: [] },
  'that fails in its handler': { inputs: ['fail'] },
  'that fails in a turn': { inputs: ['fail in the turn', 'two'] },
  'whose output is not JSON': { inputs: ['no JSON'] },
  'that is aborted in a turn': {
    inputs: ['one', 'wait'],
    // Its turn is left alone a while after the run has failed.
    inside: (run) => run().catch(() => expect.poll(() => named('turn-2')).toBeDefined()),
    options: () => {
      const controller = new AbortController();
      void quiet().then(() => controller.abort('enough'));
      return { abortSignal: controller.signal };
    },
  },
  'that was aborted before': { inputs: [], options: () => ({ abortSignal: AbortSignal.abort('before') }) },
  'with labels': {
    inputs: ['one'],
    options: () => ({ telemetryLabels: { tier: 'gold', 'genkit:metadata:subtype': 'odd' } }),
  },
  'with a context': {
    inputs: ['one'],
    options: () => ({ context: { auth: { uid: 'u' }, secrets: { key: 'k' }, tier: 'gold' } }),
  },
  'with a context that is not JSON': { inputs: ['one'], options: () => ({ context: cyclic }) },
  'whose caller fails when it is told the trace': {
    inputs: ['one'],
    options: () => ({
      onTraceStart: () => {
        throw new Error('not now');
      },
    }),
  },
  'whose caller throws nothing at all when it is told the trace': {
    inputs: ['one'],
    options: () => ({
      onTraceStart: () => {
        throw undefined;
      },
    }),
  },
  'with a context that cannot be read': { inputs: ['one'], options: () => ({ context: unreadable() }) },
  'inside of another flow': { inputs: ['one'], inside: inAFlow },
  'that fails inside of another flow': { inputs: ['fail'], inside: inAFlow },
  'inside of a step': { inputs: ['one'], inside: (run) => ai.run('step', run) },
};

describe('the trace of a run', () => {
  it.each(Object.entries(cases))('%s is the same in process and through the flow', async (_, given) => {
    const { inputs, options = () => ({}), inside = (run) => run() } = given;
    const traced = async (way: Way) =>
      withoutState(await traceOf(exporter, () => inside(() => way(inputs, options()))));
    const expected = await traced(throughTheFlow);
    expect(expected).toContainEqual(expect.objectContaining({ place: expect.stringMatching(/worker$/) }));
    expect(await traced(inProcess)).toEqual(expected);
  });

  it('is complete when its result is told, and is what the caller was told', async () => {
    exporter.reset();
    const traces: unknown[] = [];
    await worker.run('one', { onTraceStart: (told) => void traces.push(told) });
    const { traceId, spanId } =
      exporter
        .getFinishedSpans()
        .find(({ name }) => name === 'worker')
        ?.spanContext() ?? {};
    expect(traces).toEqual([{ traceId, spanId }]);
  });
});

describe('a run', () => {
  const notToBeRead = Object.getOwnPropertyDescriptor(unreadable(), 'tier') ?? {};
  it.each<[string, StreamBidiOptions<State>]>([
    ['its context', { sessionId, context: unreadable() }],
    ['its labels', { sessionId, telemetryLabels: unreadable() as Record<string, string> }],
    ['one of its options', Object.defineProperty({ sessionId }, 'context', notToBeRead)],
  ])('fails when %s cannot be read', async (_, options) => {
    const failure = { code: 'HANDLER_FAILED', message: 'not to be read' };
    await expect(worker.run('one', options)).rejects.toMatchObject(failure);
    expect(() => worker.watch(sessionId)).toThrow(expect.objectContaining({ code: 'SESSION_NOT_RUNNING' }));
  });

  const closing = (connection: ReturnType<typeof worker.streamBidi>) => connection.close();
  it.each([
    ['succeeds', closing, 'stop'],
    ['is aborted', (connection: ReturnType<typeof worker.streamBidi>) => connection.abort(), 'aborted'],
  ])('that %s ends, also where a span processor fails at the end of its span', async (_, end, finishReason) => {
    const onEnd = vi.spyOn(processor, 'onEnd').mockImplementation(({ name }) => {
      if (name === 'worker') throw new Error('full');
    });
    const connection = worker.streamBidi();
    await quiet();
    end(connection);
    expect(await connection.done).toMatchObject({ finishReason });
    expect(onEnd).toHaveBeenCalled();
  });

  it('that is aborted, whenever that is, ends every span once and writes on none that has ended', async () => {
    const warn = vi.fn();
    const silently = () => {};
    diag.setLogger({ error: warn, warn, info: silently, debug: silently, verbose: silently }, DiagLogLevel.WARN);
    const onStart = vi.spyOn(processor, 'onStart');
    const onEnd = vi.spyOn(processor, 'onEnd');
    const abortAfter = async (steps: number) => {
      const connection = worker.streamBidi();
      void connection.send('one');
      for (let step = 0; step < steps; step++) await undefined;
      connection.abort();
      expect(await connection.done).toMatchObject({ finishReason: 'aborted' });
    };
    for (let steps = 0; steps < 40; steps++) await abortAfter(steps);
    await expect.poll(() => onEnd.mock.calls.length - onStart.mock.calls.length).toBe(0);
    const ended = onEnd.mock.calls.map(([span]) => span.spanContext().spanId);
    expect(new Set(ended).size).toBe(ended.length);
    expect(onEnd.mock.calls.filter(([{ name }]) => name === 'worker')).toHaveLength(40);
    diag.disable();
    expect(warn.mock.calls).toEqual([]);
  });
});

describe('a handler', () => {
  let names = 0;
  const run = (handler: AgentHandler<State, unknown, unknown, unknown>, options: StreamBidiOptions<State> = {}) => {
    names += 1;
    return defineAgent(ai, { name: `asks-${names}` }, handler).run('go', options);
  };

  it('has the action context of its caller, and so has what it calls', async () => {
    const seen: unknown[] = [];
    const asking = async () => void seen.push(ai.currentContext());
    await run(
      async ({ turns }) => {
        await turns(() => ai.run('ask', asking));
        return { output: await asking() };
      },
      { context: { user: 'A' } },
    );
    expect(seen).toEqual([{ user: 'A' }, { user: 'A' }]);
  });

  it('runs its turns in its own async context, not in that of who sends', async () => {
    const who = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const asking = defineAgent(ai, { name: 'asks-who' }, async ({ turns, inputStream }) => {
      await who.run('handler', () => turns(() => void seen.push(who.getStore())));
      for await (const _ of inputStream);
      return { output: who.getStore() };
    });
    const connection = who.run('opener', () => asking.streamBidi());
    await quiet();
    for (const input of ['a', 'b']) await who.run('sender', () => connection.send(input));
    who.run('sender', () => connection.close());
    expect((await connection.output()).output).toBe('opener');
    expect(seen).toEqual(['handler', 'handler']);
  });

  it('finds the span of the open turn active, also in a context it has changed', async () => {
    const names: unknown[] = [];
    const nameOfSpan = () => names.push((trace.getActiveSpan() as { name?: string } | undefined)?.name);
    const baggage = propagation.createBaggage({ tier: { value: 'gold' } });
    await defineAgent(ai, { name: 'looks' }, async ({ turns }) => {
      nameOfSpan();
      const changed = propagation.setBaggage(context.active(), baggage);
      await context.with(changed, () =>
        turns(async () => {
          nameOfSpan();
          names.push(propagation.getActiveBaggage()?.getEntry('tier')?.value);
        }),
      );
      context.with(propagation.deleteBaggage(changed), () => names.push(propagation.getActiveBaggage()));
      return { output: null };
    }).run(['one', 'two']);
    expect(names).toEqual(['looks', 'turn-1', 'gold', 'turn-2', 'gold', undefined]);
  });
});

it('a handler may leave its trace: for the root, for none, or for a span of its own', async () => {
  exporter.reset();
  const suppress = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING');
  const step = (name: string) => ai.run(name, async () => name);
  const leaving = defineAgent(ai, { name: 'leaves' }, async ({ turns }) => {
    await turns(async () => {
      const here = context.active();
      await context.with(here.setValue(suppress, true), () => step('hidden'));
      await context.with(trace.deleteSpan(here), () => step('alone'));
      const own = trace.getTracer('own').startSpan('own');
      await context.with(trace.setSpan(here, own), () => step('below its own'));
      own.end();
      expect(trace.getSpan(context.active())).toBe(trace.getSpan(here));
    });
    return { output: null };
  });
  await leaving.run('go');
  const parentOf = (name: string) => {
    const id = named(name)?.parentSpanId;
    return exporter.getFinishedSpans().find((span) => span.spanContext().spanId === id)?.name;
  };
  expect(named('hidden')).toBeUndefined();
  expect(named('alone')).toBeDefined();
  expect(['alone', 'below its own', 'own'].map(parentOf)).toEqual([undefined, 'own', 'turn-1']);
});

it('a handler may change its context as often as it likes', async () => {
  const tierAfter = async (times: number) => {
    let changed = context.active();
    for (let time = 0; time < times; time++) {
      const baggage = propagation.createBaggage({ tier: { value: String(time) } });
      changed = propagation.setBaggage(changed, baggage);
    }
    return propagation.getBaggage(changed)?.getEntry('tier')?.value;
  };
  const changing = defineAgent(ai, { name: 'changes' }, async () => ({ output: await tierAfter(100_000) }));
  expect((await changing.run('go')).output).toBe('99999');
});

it('holds nothing of what opened a run while it idles', async () => {
  const opened = Array.from({ length: 20 }, () => {
    const telemetryLabels = { tier: 'gold' };
    return { connection: worker.streamBidi({ telemetryLabels }), ref: new WeakRef(telemetryLabels) };
  });
  await quiet();
  expect(await stillHeld(opened.map(({ ref }) => ref))).toBeLessThan(5);
  for (const { connection } of opened) {
    connection.close();
    await connection.output();
  }
});
