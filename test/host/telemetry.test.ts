/** What a host tells of itself: events, spans, and who prompted whom. */
import { context, metrics, trace } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { halt, noreply, prompt } from '../../src/host/host.js';
import { Gate, harness, listener, settled } from './harness.js';

const spans = new InMemorySpanExporter();
const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 });

beforeAll(() => {
  const provider = new BasicTracerProvider();
  provider.addSpanProcessor(new SimpleSpanProcessor(spans));
  trace.setGlobalTracerProvider(provider);
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
});

afterAll(async () => {
  await reader.shutdown();
  metrics.disable();
  trace.disable();
  context.disable();
});

describe('events', () => {
  it('has all seven of the seed and the later ones, and not a word of content', async () => {
    const { start, host, events, types } = harness();
    const gate = new Gate('secret answer');
    await start({ handleResponse: (_ref, _response, state) => halt(state) }, { maxPendingPrompts: 1 }, gate.turn);
    const asked = host.ask('a', 'secret prompt');
    await settled();
    const queued = await host.tell('a', 'secret queued');
    await host.tell('a', 'secret refused').catch(() => {});
    await host.notify('a', 'secret event');
    gate.open();
    await asked;
    await host.cancel('a', queued);
    await host.resume('a');
    await host.ask('a', 'secret failing').catch(() => {});
    await host.stop('a');
    expect(new Set(types())).toEqual(
      new Set([
        ...[
          'prompt.start',
          'prompt.stop',
          'prompt.error',
          'event.received',
          'state.changed',
          'mailbox.queued',
          'halted',
        ],
        ...['turn.start', 'turn.stop', 'turn.error', 'turn.cancelled', 'input.rejected', 'terminated', 'resumed'],
        ...['agent.started', 'mailbox.taken'],
      ]),
    );
    expect(JSON.stringify(events)).not.toContain('secret');
  });

  it('tells content where somebody asked for it', async () => {
    const { start, host, told } = harness({ content: true });
    await start({}, {}, 'answer');
    await host.ask('a', 'question');
    expect(told('prompt.start')).toMatchObject([{ prompt: 'question', agentState: { log: [] } }]);
    expect(told('prompt.stop')).toMatchObject([{ response: { text: 'answer' }, agentState: { log: [] } }]);
    expect(told('stream.event').map(({ event }) => event.type)).toEqual(['session', 'text', 'result']);
    await host.ask('a', 'another').catch(() => {});
    expect(told('prompt.error')).toMatchObject([{ error: { code: 'BACKEND_FAILED' }, agentState: {} }]);
    await host.notify('a', { news: 1 });
    expect(told('event.received')).toMatchObject([{ event: { news: 1 } }]);
    await host.halt('a');
    await settled();
    expect(told('halted')).toMatchObject([{ agentState: {} }]);
  });

  it('an observer that throws changes nothing, and one that left hears nothing', async () => {
    const { start, host } = harness();
    host.observe(() => {
      throw new TypeError('bad observer');
    });
    host.observe((async () => Promise.reject(new TypeError('bad observer'))) as () => void);
    let heard = 0;
    const leave = host.observe(() => {
      heard += 1;
    });
    leave();
    await start({}, {}, 'fine');
    expect((await host.ask('a', 'go')).text).toBe('fine');
    expect(heard).toBe(0);
  });

  it('every attempt that began ends with one turn.stop or turn.error, stopped agents included', async () => {
    const { start, host, told } = harness();
    await start({}, {}, 'one', { refuses: new TypeError('no') }, new Gate().turn);
    await host.ask('a', '1');
    await host.ask('a', '2').catch(() => {});
    void host.ask('a', '3');
    await settled();
    await host.stop('a');
    const ends = [...told('turn.stop'), ...told('turn.error')].map(({ ref }) => ref);
    expect(ends.sort()).toEqual(
      told('turn.start')
        .map(({ ref }) => ref)
        .sort(),
    );
  });
});

describe('spans', () => {
  it('a turn is an invoke_agent span with usage and outcome', async () => {
    const { start, host } = harness();
    await start(
      {},
      {},
      [
        { type: 'usage', usage: { inputTokens: 3, outputTokens: 4 } },
        { type: 'result', sessionId: 's', stopReason: 'end_turn' },
      ],
      { refuses: new TypeError('no') },
    );
    spans.reset();
    await host.ask('a', 'secret');
    await host.ask('a', 'secret').catch(() => {});
    const [good, bad] = spans.getFinishedSpans();
    expect(good?.name).toBe('invoke_agent a');
    expect(good?.attributes).toMatchObject({
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.agent.name': 'a',
      'gen_ai.provider.name': 'scripted',
      'gen_ai.conversation.id': 's',
      'gen_ai.usage.input_tokens': 3,
      'gen_ai.usage.output_tokens': 4,
    });
    expect(bad?.attributes['error.type']).toBe('BACKEND_FAILED');
    expect(JSON.stringify([good?.attributes, bad?.attributes])).not.toContain('secret');
  });
});

/** What a metric says of one agent, newest reading, by its other attributes. */
async function metric(name: string, agent: string): Promise<Record<string, unknown>> {
  exporter.reset();
  await reader.forceFlush();
  const all = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
  const points = all.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? [];
  return Object.fromEntries(
    points.flatMap(({ attributes, value }) => {
      const { 'gen_ai.agent.name': whose, 'gen_ai.operation.name': _, ...rest } = attributes;
      return whose === agent ? [[Object.values(rest).join() || 'all', value]] : [];
    }),
  );
}

describe('metrics', () => {
  it('turn duration, tokens, cost and turns are what the turns had, by agent and outcome', async () => {
    const { start, host, clock } = harness();
    const gate = new Gate('slow');
    const paid = [
      { type: 'usage', usage: { inputTokens: 30, outputTokens: 4, costUsd: 0.25 } },
      { type: 'result', text: 'secret' },
    ] as const;
    await start({}, { name: 'metered' }, gate.turn, paid, paid, { refuses: new TypeError('no') });
    const asked = host.ask('metered', 'secret');
    await settled();
    clock.advance(1_500);
    gate.open();
    await asked;
    await host.ask('metered', 'secret');
    await host.ask('metered', 'secret');
    await host.ask('metered', 'secret').catch(() => {});
    const duration = await metric('gen_ai.client.operation.duration', 'metered');
    expect(duration).toMatchObject({ all: { count: 3, sum: 1.5, max: 1.5 }, BACKEND_FAILED: { count: 1, sum: 0 } });
    const tokens = await metric('gen_ai.client.token.usage', 'metered');
    expect(tokens).toMatchObject({ input: { sum: 60 }, output: { sum: 8 } });
    expect(await metric('genkitx_agent.cost', 'metered')).toEqual({ all: 0.5 });
    expect(await metric('genkitx_agent.turns', 'metered')).toEqual({ all: 3, BACKEND_FAILED: 1 });
    expect(JSON.stringify(exporter.getMetrics())).not.toContain('secret');
  });

  it('the queue depth is a gauge: it shows how many prompts wait, whatever takes them out', async () => {
    const { start, host } = harness();
    const depth = async () => (await metric('genkitx_agent.queue.depth', 'queued')).all;
    const gate = new Gate();
    await start({}, { name: 'queued' }, gate.turn, new Gate().turn);
    const refs = await Promise.all(['1', '2', '3', '4'].map((text) => host.tell('queued', text)));
    await host.tell('queued', '5', { onHalt: 'fail' });
    expect(await depth()).toBe(4);
    await host.cancel('queued', refs[3] ?? '');
    expect(await depth()).toBe(3);
    await host.halt('queued');
    gate.open();
    await settled();
    expect(await depth()).toBe(2);
    await host.resume('queued');
    await settled();
    expect(await depth()).toBe(1);
    await host.stop('queued');
    expect(await depth()).toBe(0);
  });
});

describe('the graph', () => {
  it('says who prompted whom, and how often', async () => {
    const { start, host, backend } = harness();
    await start(
      {
        handleResponse: async (_ref, _response, state) => {
          await host.ask('b', 'from a');
          await host.notify('b', 'news');
          return noreply(state);
        },
      },
      {},
      'a',
      'b',
      'chained',
      'b again',
    );
    let isFirst = true;
    const chain = listener({
      handleEvent: (_event, state) => {
        if (!isFirst) return noreply(state);
        isFirst = false;
        return prompt('own', state);
      },
    });
    await host.start(chain, { name: 'b', backend });
    await host.ask('a', 'go');
    await settled();
    expect(host.graph()).toEqual([
      { from: undefined, to: 'a', kind: 'ask', count: 1 },
      { from: 'a', to: 'b', kind: 'ask', count: 1 },
      { from: 'a', to: 'b', kind: 'notify', count: 1 },
    ]);
  });
});
