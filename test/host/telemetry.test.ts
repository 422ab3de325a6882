/** What a host tells of itself: events, spans, and who prompted whom. */
import { context, trace } from '@opentelemetry/api';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { halt, noreply, prompt } from '../../src/host/host.js';
import { Gate, harness, listener, settled } from './harness.js';

const spans = new InMemorySpanExporter();

beforeAll(() => {
  const provider = new BasicTracerProvider();
  provider.addSpanProcessor(new SimpleSpanProcessor(spans));
  trace.setGlobalTracerProvider(provider);
});

afterAll(() => {
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
        'agent.started',
      ]),
    );
    expect(JSON.stringify(events)).not.toContain('secret');
  });

  it('tells content where somebody asked for it', async () => {
    const { start, host, told } = harness({ content: true });
    await start({}, {}, 'answer');
    await host.ask('a', 'question');
    expect(told('prompt.start')).toMatchObject([{ prompt: 'question', agentState: { log: [] } }]);
    expect(told('prompt.stop')).toMatchObject([{ response: { text: 'answer' } }]);
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
