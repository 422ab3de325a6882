/** The hosted providers under the tool loop, each against a local server: the vendors' wires and the loop fit together. */
import Anthropic from '@anthropic-ai/sdk';
import { BedrockAgentCore } from '@aws-sdk/client-bedrock-agentcore';
import { describe, expect, it } from 'vitest';
import { runSession } from '../../src/backends/tool-loop.js';
import { bedrockAgentCoreProvider } from '../../src/providers/bedrock-agentcore.js';
import { claudeManagedAgentsProvider } from '../../src/providers/claude-managed-agents.js';
import { eventFrames } from '../support/aws-event-stream.js';
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
  readonly #dropsAfterCall: boolean;
  readonly #streams = new Set<WireReply>();

  constructor(dropsAfterCall: boolean) {
    this.#dropsAfterCall = dropsAfterCall;
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
    for (const event of events) this.#tell(event);
    reply.json(200, { data: [] });
    if (events[0]?.type === 'user.message') this.#call();
    else this.#answer();
  }

  #call(): void {
    this.#tell({ type: 'session.status_running' });
    const { id } = this.#tell({ type: 'agent.custom_tool_use', name: 'weather', input: { city: 'SF' } });
    // What happens while nobody listens is in the history, the end of the turn among it.
    if (this.#dropsAfterCall) for (const stream of this.#streams) stream.drop();
    this.#tell({ type: 'span.model_request_end', model_usage: usage });
    this.#tell({ type: 'session.status_idle', stop_reason: { type: 'requires_action', event_ids: [id] } });
  }

  #answer(): void {
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
  it.each([false, true])('runs a session with a local tool; the stream is cut in the middle: %s', async (isCut) => {
    const agent = new ManagedAgent(isCut);
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
