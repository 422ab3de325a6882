/** Answers whose connections end before them, with them, or never; and what models write that is no call. */
import { describe, expect, it } from 'vitest';
import { type AnthropicRequest, anthropicBackend } from '../../src/backends/anthropic.js';
import type { Backend } from '../../src/backends/backend.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import type { BackendTool } from '../../src/backends/model-backend.js';
import { type OpenAIRequest, openaiBackend } from '../../src/backends/openai.js';
import { wholeAnswer } from '../../src/backends/whole-answer.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { type AnswerBlock, messageEvents } from '../support/anthropic-wire.js';
import { responseEvents } from '../support/openai-wire.js';

const turnsOfLoop = async () => {
  for (let round = 0; round < 5; round++) await new Promise<void>((resolve) => setImmediate(resolve));
};

/** Events, and then what the connection does. */
async function* streamed(events: readonly unknown[], then: () => unknown = () => {}): AsyncGenerator<unknown> {
  yield* events;
  await then();
}

const never = () => new Promise<never>(() => {});
const broken = () => Promise.reject(new Error('reset'));

function reading(events: readonly string[], then: () => unknown) {
  const clock = new ManualClock();
  const heard: string[] = [];
  const signals: AbortSignal[] = [];
  const ask = async (signal: AbortSignal) => having(signals.push(signal), streamed(events, then));
  const isEnd = (event: string) => event === 'end';
  const { signal } = new AbortController();
  const read = (async () => {
    for await (const event of wholeAnswer<string>({ ask, isEnd, signal, clock })) heard.push(event);
  })();
  return { clock, heard, signals, read };
}

function having<Value>(_done: unknown, value: Value): Value {
  return value;
}

describe('an answer', () => {
  it('that is whole is not kept waiting by a connection that stays open, which is ended', async () => {
    const { clock, heard, signals, read } = reading(['a', 'end', 'late'], never);
    await turnsOfLoop();
    expect(heard).toEqual(['a', 'end', 'late']);
    expect(signals[0]?.aborted).toBe(false);
    clock.advance(1_000);
    await read;
    expect(signals[0]?.aborted).toBe(true);
  });

  it('that is whole does not fail with its connection; one that is not does', async () => {
    const whole = reading(['a', 'end'], broken);
    await whole.read;
    expect(whole.heard).toEqual(['a', 'end']);
    await expect(reading(['a'], broken).read).rejects.toThrow('reset');
  });
});

/** Both vendors, with a client that streams what it is given and remembers what it was asked. */
const vendors: readonly [
  name: string,
  make: (
    answers: (readonly AnswerBlock[])[],
    then: () => unknown,
    more: object,
  ) => { backend: Backend; asked: object[]; clock: ManualClock },
][] = [
  [
    'anthropic',
    (answers, then, more) => {
      const [asked, clock]: [AnthropicRequest[], ManualClock] = [[], new ManualClock()];
      const create = async (body: AnthropicRequest) =>
        having(asked.push(body), streamed(messageEvents(answers.shift() ?? []), then));
      return {
        backend: anthropicBackend({ client: { messages: { create } }, model: 'm', clock, ...more }) as Backend,
        asked,
        clock,
      };
    },
  ],
  [
    'openai',
    (answers, then, more) => {
      const [asked, clock]: [OpenAIRequest[], ManualClock] = [[], new ManualClock()];
      const create = async (body: OpenAIRequest) =>
        having(asked.push(body), streamed(responseEvents(answers.shift() ?? []), then));
      return {
        backend: openaiBackend({ client: { responses: { create } }, model: 'm', clock, ...more }) as Backend,
        asked,
        clock,
      };
    },
  ],
];

describe.each(vendors)('%s', (_name, make) => {
  const run: unknown[] = [];
  const tool: BackendTool = {
    name: 'look',
    inputSchema: { type: 'object' },
    run: (input) => having(run.push(input), 'seen'),
  };

  it('has answered when its last event was told, though the connection stays open', async () => {
    const { backend, clock } = make([[{ text: 'Hello' }]], never, {});
    const answer = (await openBackendSession(backend)).send('Hi');
    await turnsOfLoop();
    clock.advance(1_000);
    expect(await answer).toMatchObject({ text: 'Hello', isError: false });
  });

  it('runs a call once that comes twice', async () => {
    run.length = 0;
    const call = { id: 'c1', name: 'look', input: { at: 'it' } };
    const { backend } = make([[call, call], [{ text: 'ok' }]], () => {}, { tools: [tool] });
    const { text, events } = await (await openBackendSession(backend)).send('Hi');
    expect(text).toBe('ok');
    expect(run).toEqual([{ at: 'it' }]);
    expect(events.filter(({ type }) => type === 'tool_use' || type === 'tool_result')).toHaveLength(2);
  });

  it('does not run a tool with what is no object, and tells the model', async () => {
    run.length = 0;
    const call = { id: 'c1', name: 'look', input: 'no object' };
    const { backend, asked } = make([[call], [{ text: 'ok' }]], () => {}, { tools: [tool] });
    expect((await (await openBackendSession(backend)).send('Hi')).text).toBe('ok');
    expect(run).toEqual([]);
    expect(JSON.stringify(asked[1])).toContain('The input is not a JSON object');
  });
});

it('tells Anthropic a call again in the one shape it takes, whatever the model made of it', async () => {
  const [[, make] = []] = vendors;
  const call = { id: 'c1', name: 'look', input: [1] };
  const made = make?.([[call], [{ text: 'ok' }]], () => {}, {});
  const session = await openBackendSession(made?.backend as Backend);
  await session.send('Hi');
  const told = { type: 'tool_use', id: 'c1', name: 'look', input: { INVALID_JSON: [1] } };
  expect(made?.asked[1]).toMatchObject({ messages: [{}, { role: 'assistant', content: [told] }, {}] });
});
