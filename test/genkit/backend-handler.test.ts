import { genkit, z } from 'genkit';
import { describe, expect, test } from 'vitest';
import type { Backend, BackendEvent, BackendSessionOptions, Message } from '../../src/backends/backend.js';
import { BackendError } from '../../src/backends/backend-error.js';
import { failure } from '../../src/backends/failure.js';
import { type ScriptedBackend, type ScriptedTurn, scriptedBackend } from '../../src/backends/scripted.js';
import { AgentFlowError } from '../../src/errors.js';
import {
  type BackendHandlerOptions,
  BackendInputSchema,
  BackendStateSchema,
  backendHandler,
} from '../../src/genkit/backend-handler.js';
import { defineAgent } from '../../src/genkit/define-agent.js';
import type { SessionStore } from '../../src/session/store.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { collect, errorOf, Gate, take } from '../support/waiting.js';

const ai = genkit({});
let count = 0;

interface Setup extends BackendHandlerOptions {
  readonly turns?: readonly ScriptedTurn[];
  readonly backend?: Backend;
  readonly store?: SessionStore;
}

/** A chat with a scripted backend. */
function chat({ turns = [], store, backend, ...options }: Setup = {}) {
  count += 1;
  const scripted = scriptedBackend({ turns });
  const agent = defineAgent(
    ai,
    {
      name: `backed-${count}`,
      inputSchema: BackendInputSchema,
      streamSchema: z.string(),
      outputSchema: z.string(),
      stateSchema: BackendStateSchema,
      abortGraceMs: 60_000,
      ...(store === undefined ? {} : { store }),
    },
    backendHandler(backend ?? scripted, options),
  );
  return { agent, scripted };
}

const said = (role: Message['role'], text: string, metadata?: Record<string, unknown>) => ({
  role,
  content: [{ text }],
  ...(metadata === undefined ? {} : { metadata }),
});
const interrupted = { interrupted: true };

describe('a turn', () => {
  test('streams the texts, remembers the conversation and tells the output', async () => {
    const { agent, scripted } = chat({
      turns: [
        [
          { type: 'text', text: 'Hel' },
          { type: 'text', text: 'lo' },
          { type: 'result', sessionId: 'theirs' },
        ],
        'Bye',
      ],
    });
    const connection = agent.streamBidi();
    connection.send('Hi');
    expect(await collect(connection.receive())).toEqual(['Hel', 'lo']);
    connection.send(said('user', 'See you'));
    expect(await collect(connection.receive())).toEqual(['Bye']);
    connection.close();
    const { output, state } = await connection.output();
    expect(output).toBe('Bye');
    expect(state).toEqual({
      messages: [said('user', 'Hi'), said('model', 'Hello'), said('user', 'See you'), said('model', 'Bye')],
      backendSessionId: expect.any(String),
    });
    expect(scripted.prompts.map(({ text, earlier }) => [text, earlier])).toEqual([
      ['Hi', 0],
      ['See you', 1],
    ]);
    expect(scripted.started).toHaveLength(1);
    expect(scripted.terminated).toHaveLength(1);
  });

  test('remembers tool calls where they were made', async () => {
    const events: BackendEvent[] = [
      { type: 'text', text: 'Let me see. ' },
      { type: 'tool_use', id: 'a', name: 'look', input: { at: 1 } },
      { type: 'tool_use', id: 'b', name: 'look', input: undefined },
      { type: 'tool_result', id: 'a', output: 'tea', isError: false },
      { type: 'tool_result', id: 'b', output: 10n, isError: true },
      { type: 'text', text: 'Te' },
      { type: 'text', text: 'a.' },
      { type: 'result' },
    ];
    const { agent } = chat({ turns: [events] });
    const { output, state } = await agent.run('What?');
    expect(output).toBe('Let me see. Tea.');
    const call = (ref: string, input: unknown) => ({ toolRequest: { name: 'look', ref, input } });
    const result = (ref: string, value: unknown) => ({ toolResponse: { name: 'look', ref, output: value } });
    expect(state.messages).toEqual([
      said('user', 'What?'),
      { role: 'model', content: [{ text: 'Let me see. ' }, call('a', { at: 1 }), call('b', null)] },
      { role: 'tool', content: [result('a', 'tea'), result('b', '10')] },
      said('model', 'Tea.'),
    ]);
  });

  test('passes on the parts of a message, and what the model is told first', async () => {
    const { agent, scripted } = chat({ turns: ['seen'], system: 'Look.' });
    await agent.run({ role: 'user', content: [{ text: 'a' }, { text: 'b' }] });
    expect(scripted.prompts[0]?.prompt).toEqual([{ text: 'a' }, { text: 'b' }]);
    expect(scripted.started[0]?.options).toEqual({ system: 'Look.' });
  });

  test('sums usage and cost over the run', async () => {
    const turn = (inputTokens: number, costUsd: number): BackendEvent[] => [
      { type: 'usage', usage: { inputTokens, outputTokens: 1 } },
      { type: 'usage', usage: { inputTokens: 1 } },
      { type: 'result', costUsd },
    ];
    const { agent } = chat({ turns: [turn(3, 0.5), turn(5, 0.25)] });
    expect((await agent.run(['a', 'b'])).usage).toEqual({ inputTokens: 10, outputTokens: 2, costUsd: 0.75 });
  });

  test('may tell its reader more than text', async () => {
    count += 1;
    const backend = scriptedBackend({
      turns: [[{ type: 'tool_use', id: 'a', name: 'look', input: 1 }, { type: 'text', text: 'x' }, { type: 'result' }]],
    });
    const agent = defineAgent(
      ai,
      { name: `backed-${count}`, inputSchema: z.string(), streamSchema: z.any(), stateSchema: BackendStateSchema },
      backendHandler(backend, { toChunk: (event) => (event.type === 'result' ? undefined : event) }),
    );
    const connection = agent.streamBidi();
    connection.send('go');
    expect(await collect(connection.receive())).toMatchObject([{ type: 'tool_use' }, { type: 'text' }]);
    connection.close();
  });
});

describe('a turn that fails', () => {
  test('tells its reader why, is not remembered, and the next one is answered', async () => {
    const error = failure('scripted', 'rate_limit', 'slow down', { retryAfterMs: 5 });
    const { agent } = chat({
      turns: [
        [
          { type: 'text', text: 'ha' },
          { type: 'error', error },
        ],
        'fine',
      ],
    });
    const connection = agent.streamBidi();
    connection.send('one');
    const failed = await errorOf(collect(connection.receive()));
    expect(failed).toBeInstanceOf(BackendError);
    expect(failed).toMatchObject({ status: 'RESOURCE_EXHAUSTED', retryable: true, retryAfterMs: 5 });
    connection.send('two');
    expect(await collect(connection.receive())).toEqual(['fine']);
    connection.close();
    await expect(connection.output()).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
  });

  test('says that the stream ended without a terminal', async () => {
    const { agent } = chat({ turns: [[{ type: 'text', text: 'half' }]] });
    await expect(agent.run('x')).rejects.toMatchObject({ code: 'BACKEND_NO_TERMINAL', status: 'DATA_LOSS' });
  });
});

describe('a turn that is cut short', () => {
  test('by another input keeps its partial text, marked', async () => {
    const store = new MemorySessionStore();
    const { agent } = chat({ turns: [[{ type: 'text', text: 'I was about' }, new Gate().opened], 'Yes?'], store });
    const connection = agent.streamBidi({ sessionId: 's' });
    connection.send('Tell me all');
    expect(await take(connection.receive(), 1)).toEqual(['I was about']);
    connection.send('Stop', { policy: 'interrupt' });
    await collect(connection.receive());
    expect(await collect(connection.receive())).toEqual(['Yes?']);
    connection.close();
    const { state } = await connection.output();
    expect(state.messages).toEqual([
      said('user', 'Tell me all', interrupted),
      said('model', 'I was about', interrupted),
      said('user', 'Stop'),
      said('model', 'Yes?'),
    ]);
  });

  test('by the end of the run keeps it too, without calls that were never answered', async () => {
    const store = new MemorySessionStore();
    const call: BackendEvent = { type: 'tool_use', id: 'a', name: 'look', input: 1 };
    const { agent, scripted } = chat({ turns: [[{ type: 'text', text: 'Wait' }, call, new Gate().opened]], store });
    const connection = agent.streamBidi({ sessionId: 's' });
    connection.send('Go');
    await take(connection.receive(), 1);
    connection.abort('enough');
    await connection.done;
    await expect
      .poll(async () => (await agent.sessions.get('s'))?.state.messages)
      .toEqual([said('user', 'Go', interrupted), said('model', 'Wait', interrupted)]);
    expect(scripted.active).toBe(0);
    await expect.poll(() => scripted.terminated.length).toBe(1);
  });
});

describe('a session that is resumed', () => {
  test('takes up the backend’s own session', async () => {
    const store = new MemorySessionStore();
    const first = chat({ turns: ['Hello Ada'], store });
    await first.agent.run('I am Ada', { sessionId: 's' });
    const second = chat({ turns: ['Ada'], store, system: 'Be kind.' });
    await second.agent.run('Who am I?', { sessionId: 's' });
    const [{ id, options } = { id: '', options: {} }] = second.scripted.started;
    expect(id).toBe(first.scripted.started[0]?.id);
    expect(options).toEqual({
      system: 'Be kind.',
      messages: [said('user', 'I am Ada'), said('model', 'Hello Ada')],
    });
    expect((await second.agent.sessions.get('s'))?.state.messages).toHaveLength(4);
  });

  test('starts a backend that cannot be resumed with the conversation so far', async () => {
    const store = new MemorySessionStore();
    await chat({ turns: ['Hello Ada'], store }).agent.run('I am Ada', { sessionId: 's' });
    const forgetful: ScriptedBackend = scriptedBackend({ turns: ['Ada'] });
    const started: BackendSessionOptions[] = [];
    const backend: Backend = {
      name: forgetful.name,
      startSession(options = {}) {
        started.push(options);
        return forgetful.startSession(options);
      },
      prompt: (session, prompt, options) => forgetful.prompt(session as never, prompt, options),
      terminateSession: () => {},
    };
    await chat({ backend, store }).agent.run('Who am I?', { sessionId: 's' });
    expect(started[0]?.messages).toEqual([said('user', 'I am Ada'), said('model', 'Hello Ada')]);
  });

  test('whose first turn failed is answered by a backend that needs the conversation to take one up', async () => {
    const store = new MemorySessionStore();
    const backend = (...turns: ScriptedTurn[]): Backend => ({
      ...(scriptedBackend({ turns }) as Backend),
      resumeSession(_, { messages } = {}) {
        if (messages === undefined) throw new AgentFlowError('BACKEND_CANNOT_RESUME', 'Give its messages so far');
        return {};
      },
    });
    const overloaded = failure('scripted', 'overloaded', 'later');
    const failing: ScriptedTurn = [
      { type: 'session', sessionId: 'theirs' },
      { type: 'error', error: overloaded },
    ];
    const first = chat({ backend: backend(failing), store });
    expect(await errorOf(first.agent.run('Hi', { sessionId: 's' }))).toMatchObject({ code: 'BACKEND_FAILED' });
    const second = chat({ backend: backend('Hello'), store });
    expect(await second.agent.run('Hi', { sessionId: 's' })).toMatchObject({ output: 'Hello' });
  });

  test('knows the backend’s session although the process died in the first turn', async () => {
    const store = new MemorySessionStore();
    const held: ScriptedTurn = [
      { type: 'session', sessionId: 'theirs' },
      { type: 'text', text: 'x' },
      new Gate().opened,
    ];
    const dying = chat({ turns: [held], store });
    const connection = dying.agent.streamBidi({ sessionId: 's' });
    connection.send('one');
    await take(connection.receive(), 1);
    const next = chat({ turns: ['back'], store });
    await next.agent.run('two', { sessionId: 's', onBusySession: 'takeover' });
    expect(next.scripted.started.map(({ id }) => id)).toEqual(['theirs']);
  });
});
