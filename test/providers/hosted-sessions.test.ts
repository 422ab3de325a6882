/** The hosted providers under the tool loop, each against a local server: the vendors' wires and the loop fit together. */
import Anthropic from '@anthropic-ai/sdk';
import { BedrockAgentCore } from '@aws-sdk/client-bedrock-agentcore';
import { describe, expect, it } from 'vitest';
import { runSession, startSession } from '../../src/backends/tool-loop.js';
import { bedrockAgentCoreProvider } from '../../src/providers/bedrock-agentcore.js';
import { claudeManagedAgentsProvider } from '../../src/providers/claude-managed-agents.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { eventFrames } from '../support/aws-event-stream.js';
import { until } from '../support/scripted-cli.js';
import { Gate, quiet } from '../support/waiting.js';
import { type WireReply, type WireRequest, WireServer } from '../support/wire-server.js';

type Event = { readonly type: string; readonly id: string } & Readonly<Record<string, unknown>>;

/** Calls the handler was given. */
function weather() {
  const calls: unknown[] = [];
  const handler = (name: string, input: unknown) => {
    calls.push([name, input]);
    return { sky: 'blue' };
  };
  return { calls, handler };
}

const usage = { input_tokens: 5, output_tokens: 2 };

/** Anthropic's side of one session: it asks for the weather, and tells it. */
class ManagedAgent {
  readonly events: Event[] = [];
  /** It thinks for ever. */
  isSlow = false;
  /** What becomes of the next sendings: it arrives and nobody is told, or it does not arrive. */
  readonly fates: ('lost' | 'refused')[] = [];
  readonly #cutAfterCall: 'drop' | 'end' | undefined;
  readonly #streams = new Set<WireReply>();

  constructor(cutAfterCall?: 'drop' | 'end') {
    this.#cutAfterCall = cutAfterCall;
  }

  readonly serve = ({ method, url, body }: WireRequest, reply: WireReply): void => {
    if (url.includes('/events/stream')) {
      reply.head(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n');
      this.#streams.add(reply);
      void reply.closed.then(() => this.#streams.delete(reply));
      return;
    }
    if (!url.includes('/events')) reply.json(200, { id: 'sesn_1', type: 'session' });
    else if (method === 'GET') reply.json(200, { data: this.events, next_page: null });
    else this.#take(body, reply);
  };

  #take(body: unknown, reply: WireReply): void {
    const { events } = body as { events: Omit<Event, 'id'>[] };
    const fate = this.fates.shift();
    if (fate === 'refused') return void reply.json(503, { error: {} }, { 'x-should-retry': 'true' });
    for (const event of events) this.#tell(event);
    if (fate === 'lost') reply.drop();
    else reply.json(200, { data: [] });
    const kind = events[0]?.type;
    if (kind === 'user.interrupt') this.#tell({ type: 'session.status_idle', stop_reason: { type: 'end_turn' } });
    else if (this.isSlow) return;
    else if (kind === 'user.message') this.#call();
    else if (kind === 'user.define_outcome') this.#callAndAsk();
    else this.#goOn();
  }

  /** Only when all it waits for has come it goes on; until then it says again what is left. */
  #goOn(): void {
    const answered = this.events.map(({ custom_tool_use_id, tool_use_id }) => custom_tool_use_id ?? tool_use_id);
    const asked = this.events.filter(({ type }) => type === 'agent.custom_tool_use' || type === 'agent.tool_use');
    const open = asked.map(({ id }) => id).filter((id) => !answered.includes(id));
    if (open.length > 0) this.#wait(open);
    else this.#answer();
  }

  #wait(ids: readonly string[]): void {
    this.#tell({ type: 'session.status_idle', stop_reason: { type: 'requires_action', event_ids: ids } });
  }

  #callAndAsk(): void {
    const custom = this.#tell({ type: 'agent.custom_tool_use', name: 'weather', input: { city: 'SF' } });
    const own = { name: 'bash', input: { command: 'rm -r /tmp/x' }, evaluated_permission: 'ask' };
    this.#wait([custom.id, this.#tell({ type: 'agent.tool_use', ...own }).id]);
  }

  #call(): void {
    this.#tell({ type: 'session.status_running' });
    const { id } = this.#tell({ type: 'agent.custom_tool_use', name: 'weather', input: { city: 'SF' } });
    // What happens while nobody listens is in the history, the end of the turn among it.
    if (this.#cutAfterCall !== undefined) for (const stream of this.#streams) stream[this.#cutAfterCall]();
    if (this.#cutAfterCall !== undefined) this.#streams.clear();
    this.#tell({ type: 'span.model_request_end', model_usage: usage });
    this.#wait([id]);
  }

  #answer(): void {
    const isGraded = this.events.some(({ type }) => type === 'user.define_outcome');
    const grade = { result: 'satisfied', explanation: 'Blue is fine', iteration: 0, usage };
    if (isGraded) this.#tell({ type: 'span.outcome_evaluation_end', ...grade });
    this.#tell({ type: 'agent.message', content: [{ type: 'text', text: 'The sky is blue.' }] });
    this.#tell({ type: 'span.model_request_end', model_usage: usage });
    this.#tell({ type: 'session.status_idle', stop_reason: { type: 'end_turn' } });
  }

  #tell(event: Readonly<Record<string, unknown>>): Event {
    const whole = { ...event, id: `evt_${this.events.length}` } as unknown as Event;
    this.events.push(whole);
    for (const stream of this.#streams) stream.write(`event: message\r\ndata: ${JSON.stringify(whole)}\r\n\r\n`);
    return whole;
  }
}

describe('Claude Managed Agents', () => {
  it.each([undefined, 'drop', 'end'] as const)(
    'runs a session with a local tool; the stream is cut: %s',
    async (cut) => {
      const agent = new ManagedAgent(cut);
      await using server = await WireServer.start(agent.serve);
      const client = new Anthropic({ apiKey: 'test', baseURL: server.url, logLevel: 'off' });
      const provider = claudeManagedAgentsProvider({ client, agent: 'agent_1', environmentId: 'env_1' });
      const { calls, handler } = weather();
      const result = await runSession(provider, { prompt: 'How is the weather?', handler });
      expect(result).toMatchObject({
        terminal: 'end_turn',
        sessionId: 'sesn_1',
        finalText: 'The sky is blue.',
        turns: 2,
      });
      expect(result.error).toBeUndefined();
      expect(result.usage).toEqual({ inputTokens: 10, outputTokens: 4, totalTokens: 14 });
      expect(calls).toEqual([['weather', { city: 'SF' }]]);
      const results = agent.events.filter(({ type }) => type === 'user.custom_tool_result');
      expect(results).toMatchObject([{ content: [{ type: 'text', text: '{"sky":"blue"}' }], is_error: false }]);
      expect(agent.events.filter(({ type }) => type === 'user.message')).toHaveLength(1);
    },
  );
});

// RMA repeated what nobody had answered, and said it twice.
describe('what was sent and not answered', () => {
  it.each<[fates: ('lost' | 'refused')[]]>([[['lost']], [['refused']], [['refused', 'lost', 'lost']]])(
    'arrives once: %j',
    async (fates) => {
      const clock = new ManualClock();
      const agent = new ManagedAgent();
      agent.fates.push(...fates);
      await using server = await WireServer.start(agent.serve);
      const client = new Anthropic({ apiKey: 'test', baseURL: server.url, logLevel: 'off' });
      const provider = claudeManagedAgentsProvider({ client, agent: 'agent_1', environmentId: 'env_1' });
      const { calls, handler } = weather();
      const work = runSession(provider, { prompt: 'How is the weather?', handler, clock });
      let isOver = false;
      const over = work.finally(() => {
        isOver = true;
      });
      // Not faster than the server answers.
      await until(() => {
        clock.advance(500);
        return isOver;
      });
      expect(await over).toMatchObject({ terminal: 'end_turn', turns: 2, finalText: 'The sky is blue.' });
      expect(calls).toHaveLength(1);
      for (const type of ['user.message', 'user.custom_tool_result'])
        expect(agent.events.filter((event) => event.type === type)).toHaveLength(1);
    },
  );
});

describe('an outcome, a local tool, and a tool that has to be allowed', () => {
  const outcome = { description: 'Tell the weather', rubric: 'It is one word' };
  const sent = (agent: ManagedAgent, type: string) => agent.events.filter((event) => event.type === type);

  async function asking(
    agent: ManagedAgent,
    work: (provider: ReturnType<typeof claudeManagedAgentsProvider>) => unknown,
  ) {
    await using server = await WireServer.start(agent.serve);
    const client = new Anthropic({ apiKey: 'test', baseURL: server.url, logLevel: 'off' });
    await work(claudeManagedAgentsProvider({ client, agent: 'agent_1', environmentId: 'env_1' }));
  }

  it('are answered at once', async () => {
    const agent = new ManagedAgent();
    await asking(agent, async (provider) => {
      const { calls, handler } = weather();
      const asked: unknown[] = [];
      const confirmToolCall = (name: string, input: unknown) => {
        asked.push([name, input]);
        return { deny: 'Leave it' };
      };
      const result = await runSession(provider, { outcome, handler: { handleToolCall: handler, confirmToolCall } });
      expect(result).toMatchObject({ terminal: 'end_turn', turns: 2, unconfirmed: [], finalText: 'The sky is blue.' });
      expect(result.outcome).toEqual({ verdict: 'satisfied', explanation: 'Blue is fine', iteration: 0 });
      expect([calls, asked]).toEqual([[['weather', { city: 'SF' }]], [['bash', { command: 'rm -r /tmp/x' }]]]);
    });
    expect(sent(agent, 'user.define_outcome')).toMatchObject([
      { description: outcome.description, rubric: { type: 'text', content: outcome.rubric } },
    ]);
    expect(sent(agent, 'user.tool_confirmation')).toMatchObject([{ result: 'deny', deny_message: 'Leave it' }]);
    expect(sent(agent, 'user.custom_tool_result')).toHaveLength(1);
  });

  it('are answered one by one where nobody decides yet, and in another process when somebody has', async () => {
    const agent = new ManagedAgent();
    await asking(agent, async (provider) => {
      const { calls, handler } = weather();
      const first = await runSession(provider, { outcome, handler });
      expect(first).toMatchObject({ terminal: 'requires_action', turns: 2, unconfirmed: [{ name: 'bash' }] });
      expect(sent(agent, 'user.custom_tool_result')).toHaveLength(1);
      const confirmToolCall = () => 'allow' as const;
      const { sessionId } = first;
      const second = await runSession(provider, { sessionId, handler: { handleToolCall: handler, confirmToolCall } });
      expect(second).toMatchObject({ terminal: 'end_turn', turns: 1, outcome: { verdict: 'satisfied' } });
      expect(calls).toHaveLength(1);
    });
    expect(sent(agent, 'user.tool_confirmation')).toMatchObject([{ result: 'allow' }]);
  });
});

// RMA gave up here and left the work, and its bill, to go on there.
describe('a request that is stopped', () => {
  it.each(['interrupt', 'time'])('is stopped at Anthropic too, and the next message begins there: %s', async (why) => {
    const clock = new ManualClock();
    const agent = new ManagedAgent();
    agent.isSlow = true;
    await using server = await WireServer.start(agent.serve);
    const client = new Anthropic({ apiKey: 'test', baseURL: server.url, logLevel: 'off' });
    const provider = claudeManagedAgentsProvider({ client, agent: 'agent_1', environmentId: 'env_1', clock });
    const session = await startSession(provider, { handler: weather().handler, clock, timeoutMs: 1_000 });
    const first = session.message('How is the weather?');
    while (agent.events.length === 0) await quiet();
    if (why === 'time') clock.advance(1_000);
    else session.interrupt('changed my mind');
    expect(await first).toMatchObject({ limit: why === 'time' ? 'timeout' : 'interrupted' });
    expect(agent.events.map(({ type }) => type)).toEqual(['user.message', 'user.interrupt', 'session.status_idle']);
    agent.isSlow = false;
    expect(await session.message('And now?')).toMatchObject({ finalText: 'The sky is blue.', turns: 2 });
    await session.close();
  });

  it('hangs up at AWS', async () => {
    const hungUp = new Gate();
    const asked = new Gate();
    await using server = await WireServer.start((_, reply) => {
      reply.head(200, { 'content-type': 'application/vnd.amazon.eventstream' });
      void reply.hungUp.then(() => hungUp.open());
      asked.open();
    });
    const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
    const client = new BedrockAgentCore({ region: 'us-east-1', endpoint: server.url, credentials, maxAttempts: 1 });
    const controller = new AbortController();
    const { signal } = controller;
    const provider = bedrockAgentCoreProvider({ client, harnessArn: 'arn:harness/h-1' });
    const work = runSession(provider, { prompt: 'Hi', handler: () => '', signal });
    await asked.opened;
    await quiet();
    controller.abort('enough');
    expect(await work).toMatchObject({ limit: 'interrupted', detail: 'enough' });
    await hungUp.opened;
  });
});

describe('Bedrock AgentCore', () => {
  it('runs a session with a local tool', async () => {
    const metadata = { usage: { inputTokens: 5, outputTokens: 2, totalTokens: 7 }, metrics: { latencyMs: 1 } };
    const use = { toolUseId: 't1', name: 'weather' };
    const call = [
      { contentBlockStart: { contentBlockIndex: 0, start: { toolUse: use } } },
      { contentBlockDelta: { contentBlockIndex: 0, delta: { toolUse: { input: '{"city":"SF"}' } } } },
      { messageStop: { stopReason: 'tool_use' } },
      { metadata },
    ];
    const answer = [
      { contentBlockDelta: { contentBlockIndex: 0, delta: { text: 'The sky is blue.' } } },
      { messageStop: { stopReason: 'end_turn' } },
      { metadata },
    ];
    await using server = await WireServer.start(({ body }, reply) => {
      const { messages } = body as { messages: unknown[] };
      reply.head(200, { 'content-type': 'application/vnd.amazon.eventstream' });
      reply.end(eventFrames(messages.length === 1 ? call : answer));
    });
    const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
    const client = new BedrockAgentCore({ region: 'us-east-1', endpoint: server.url, credentials, maxAttempts: 1 });
    const harnessArn = 'arn:aws:bedrock-agentcore:us-east-1:123456789012:harness/h-1';
    const { calls, handler } = weather();
    const result = await runSession(bedrockAgentCoreProvider({ client, harnessArn }), {
      prompt: 'How is it?',
      handler,
    });
    expect(result).toMatchObject({ terminal: 'end_turn', finalText: 'The sky is blue.', turns: 2 });
    expect(result.usage).toEqual({ inputTokens: 10, outputTokens: 4, totalTokens: 14 });
    expect(calls).toEqual([['weather', { city: 'SF' }]]);
    expect(server.requests[1]?.body).toMatchObject({
      messages: [
        { role: 'assistant', content: [{ toolUse: { ...use, input: { city: 'SF' } } }] },
        {
          role: 'user',
          content: [{ toolResult: { toolUseId: 't1', content: [{ text: '{"sky":"blue"}' }], status: 'success' } }],
        },
      ],
    });
  });
});
