/** An agent as a Genkit chat: what Genkit lists, turns, chunks and outputs, as Genkit's own agents do them. */
import { MessageSchema } from 'genkit';
import { genkit, UserFacingError, z } from 'genkit/beta';
import { logger } from 'genkit/logging';
import { describe, expect, test, vi } from 'vitest';
import { defineAgent, InvalidValueError } from '../../src/index.js';
import { Deferred } from '../../src/internal/deferred.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { converse, defineTalker, echo, echoAgent, say, textOf } from '../support/chat.js';

const store = () => new MemorySessionStore();
const turnEnds = (chunks: readonly { turnEnd?: unknown }[]) => chunks.flatMap(({ turnEnd }) => turnEnd ?? []);

describe('what Genkit lists', () => {
  test('an agent with a store is there with its companions, and says what it can', async () => {
    const ai = genkit({});
    const agent = defineTalker(echo, { ai, store: store() });
    const actions = await ai.registry.listActions();
    expect(Object.keys(actions)).toEqual(
      expect.arrayContaining(['/flow/talker', '/agent/talker', '/agent-snapshot/talker', '/agent-abort/talker']),
    );
    expect(agent.chatAgent.__action).toMatchObject({ key: '/agent/talker', actionType: 'agent', name: 'talker' });
    expect(agent.chatAgent.__action.metadata).toMatchObject({
      bidi: true,
      agent: { stateManagement: 'server', abortable: true, stateSchema: { properties: { count: { type: 'number' } } } },
    });
    expect(agent.chatAgent.__action.metadata?.agent.stateSchema.properties).not.toHaveProperty('messages');
  });

  test('an agent without a store leaves the state to its client', () => {
    expect(echoAgent().chatAgent.__action.metadata?.agent).toMatchObject({
      stateManagement: 'client',
      abortable: false,
    });
  });

  test('an agent that is no chat is left alone, and says what it lacks', async () => {
    const ai = genkit({});
    const agent = defineAgent(ai, { name: 'sum', inputSchema: z.number(), streamSchema: z.string() }, async () => ({
      output: 0,
    }));
    expect(Object.keys(await ai.registry.listActions()).filter((key) => key.endsWith('/sum'))).toEqual(['/flow/sum']);
    expect(() => agent.chatAgent).toThrow(InvalidValueError);
    expect(() => agent.chatAgent).toThrow(/"toInput" expected a function, because inputSchema is neither text/);
  });
});

test("a chat is registered without a complaint of Genkit's, and has the application's context", async () => {
  const complain = vi.spyOn(logger, 'error');
  const ai = genkit({ context: { auth: { uid: 'everybody' } } });
  const seen: unknown[] = [];
  const { chatAgent } = defineTalker(async (_input, { context }) => void seen.push(context.auth), { ai });
  await chatAgent.run(say('one'));
  expect(seen).toEqual([{ uid: 'everybody' }]);
  expect(complain).not.toHaveBeenCalled();
  complain.mockRestore();
});

test('an agent that is defined while an action runs works, without a chat', async () => {
  const ai = genkit({});
  const outer = ai.defineFlow('outer', async () => defineTalker(echo, { ai }));
  const { result: agent } = await outer.run(undefined, { context: { auth: { uid: 'alice' } } });
  expect((await agent.run('one')).state.count).toBe(1);
  expect(() => agent.chatAgent).toThrow('Genkit could not define the chat of this agent');
});

describe('turns', () => {
  test('the answer comes in pieces, each turn ends, and the output is the last answer', async () => {
    const { chunks, output } = await converse(echoAgent(store()).chatAgent, ['one', 'two']);
    expect(chunks.flatMap(({ modelChunk }) => modelChunk ?? [])).toEqual(
      ['you said ', 'one', 'you said ', 'two'].map((text) => ({ role: 'model', content: [{ text }] })),
    );
    expect(turnEnds(chunks)).toEqual([
      { finishReason: 'stop', snapshotId: expect.any(String) },
      { finishReason: 'stop', snapshotId: output.snapshotId },
    ]);
    expect(output).toEqual({
      sessionId: expect.any(String),
      snapshotId: expect.any(String),
      finishReason: 'stop',
      message: { role: 'model', content: [{ text: 'you said two' }] },
    });
  });

  test('a handler that reads its inputs itself need not say where a turn ends', async () => {
    const config = {
      name: 'loop',
      inputSchema: z.string(),
      streamSchema: z.string(),
      stateSchema: z.object({ n: z.number().default(0) }),
    };
    const agent = defineAgent(genkit({}), config, async ({ inputStream, responder }) => {
      for await (const input of inputStream) await responder.send(input.toUpperCase());
      await responder.send('!');
      return { output: null };
    });
    const { chunks, output } = await converse(agent.chatAgent, ['a', 'b']);
    expect(textOf(chunks)).toBe('AB!');
    expect(turnEnds(chunks)).toHaveLength(2);
    expect(output.message?.content).toEqual([{ text: 'B!' }]);
  });

  test('nor one that reads a single input and returns', async () => {
    const config = { name: 'one', inputSchema: z.string(), streamSchema: z.string() };
    const agent = defineAgent(genkit({}), config, async ({ inputStream, responder }) => {
      const { value } = await inputStream[Symbol.asyncIterator]().next();
      await responder.send(`only ${value}`);
      return { output: null };
    });
    const { chunks, output } = await converse(agent.chatAgent, ['this']);
    expect([textOf(chunks), output.finishReason]).toEqual(['only this', 'stop']);
  });

  test('an input the handler never takes is told as a failure', async () => {
    const config = { name: 'deaf', inputSchema: z.string(), streamSchema: z.string() };
    const agent = defineAgent(genkit({}), config, async () => ({ output: null }));
    expect((await converse(agent.chatAgent, ['hello?'])).output).toMatchObject({
      finishReason: 'failed',
      error: { status: 'FAILED_PRECONDITION', details: { code: 'CONNECTION_CLOSED' } },
    });
  });

  test('a handler that throws before it takes the input is told with what it threw', async () => {
    const config = { name: 'closed', inputSchema: z.string(), streamSchema: z.string() };
    const agent = defineAgent(genkit({}), config, async () => {
      throw new UserFacingError('UNAUTHENTICATED', 'who are you?', { hint: 'sign in' });
    });
    expect((await converse(agent.chatAgent, ['hello?'])).output).toMatchObject({
      finishReason: 'failed',
      error: { status: 'UNAUTHENTICATED', message: 'UNAUTHENTICATED: who are you?', details: { hint: 'sign in' } },
    });
  });

  test('a source of inputs that never ends is closed when the agent is done with it', async () => {
    const closed = new Deferred<void>();
    const close = () => {
      closed.resolve();
      throw new TypeError('cannot be closed');
    };
    const inputStream = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}), return: close }) };
    const config = { name: 'leaves', inputSchema: z.string(), streamSchema: z.string() };
    const agent = defineAgent(genkit({}), config, async () => ({ output: 'done' }));
    const { result } = await agent.chatAgent.run(undefined, { inputStream });
    expect(result).toMatchObject({ finishReason: 'stop', message: { content: [{ text: 'done' }] } });
    await closed.promise;
  });

  test('what the handler returns is the answer where nothing was streamed', async () => {
    const config = { name: 'quiet', inputSchema: z.string(), streamSchema: z.string(), outputSchema: z.string() };
    const agent = defineAgent(genkit({}), config, async ({ turns }) => {
      await turns(() => {});
      return { output: 'all done' };
    });
    expect((await converse(agent.chatAgent, ['go'])).output.message).toEqual({
      role: 'model',
      content: [{ text: 'all done' }],
    });
  });

  test('a run without init and without an input opens a session and says nothing', async () => {
    const { result } = await echoAgent(store()).chatAgent.run();
    expect(result).toMatchObject({ finishReason: 'stop', snapshotId: expect.any(String) });
  });

  test('concurrent runs see their own context only', async () => {
    const agent = defineTalker(async (_, { responder, context }) => {
      await responder.send(String((context.auth as { uid: string }).uid));
      await new Promise((resolve) => setImmediate(resolve));
      await responder.send(String((context.auth as { uid: string }).uid));
    });
    const ask = (uid: string) => agent.chatAgent.run(say('who am I?'), { context: { auth: { uid } } });
    const answers = await Promise.all([...'abcdef'].map(ask));
    expect(answers.map(({ result }) => result.message?.content)).toEqual(
      [...'abcdef'].map((uid) => [{ text: uid + uid }]),
    );
  });

  test('a client that hangs up does not disturb the handler', async () => {
    const agent = echoAgent(store());
    const onChunk = () => {
      throw new TypeError('the stream was closed');
    };
    const { result } = await agent.chatAgent.run(say('one'), { onChunk });
    expect(result.finishReason).toBe('stop');
    expect((await agent.sessions.get(result.sessionId ?? ''))?.state.messages).toHaveLength(2);
  });
});

describe('translated agents', () => {
  test('toInput and toChunk make a chat of any agent', async () => {
    const agent = defineAgent(
      genkit({}),
      {
        name: 'tick',
        inputSchema: z.object({ question: z.string() }),
        streamSchema: z.object({ token: z.string().optional(), done: z.boolean().optional() }),
        toInput: ({ content }) => ({ question: content[0]?.text ?? '' }),
        toChunk: ({ token }) => (token === undefined ? undefined : { content: [{ text: token }] }),
      },
      async ({ turns, responder }) => {
        await turns(async ({ question }) => {
          await responder.send({ token: `${question}? ` });
          await responder.send({ token: 'yes' });
          await responder.send({ done: true });
        });
        return { output: null };
      },
    );
    const { chunks, output } = await converse(agent.chatAgent, ['really']);
    expect(chunks.filter(({ modelChunk }) => modelChunk)).toHaveLength(2);
    expect(output.message?.content).toEqual([{ text: 'really? yes' }]);
  });

  test('every chunk is translated, whatever it is', async () => {
    const values = ['', 0, false, null];
    const schemas = { inputSchema: z.string(), streamSchema: z.unknown() };
    const toChunk = (value: unknown) => ({ content: [{ text: `${value}, ` }] });
    const agent = defineAgent(genkit({}), { name: 'falsy', ...schemas, toChunk }, async ({ turns, responder }) => {
      await turns(async () => {
        for (const value of values) await responder.send(value);
      });
      return { output: null };
    });
    const { output } = await converse(agent.chatAgent, ['go']);
    expect(output.message?.content).toEqual([{ text: ', 0, false, null, ' }]);
  });

  test('an agent that speaks Genkit’s messages gets them whole', async () => {
    const config = {
      name: 'whole',
      inputSchema: MessageSchema,
      streamSchema: z.object({ content: z.array(z.any()) }).passthrough(),
    };
    const agent = defineAgent(genkit({}), config, async ({ turns, responder }) => {
      await turns((message) => responder.send({ content: [...message.content, { reasoning: 'because' }] }));
      return { output: null };
    });
    const content = [{ text: 'look' }, { media: { url: 'data:,x' } }];
    const { output } = await converse(agent.chatAgent, [{ message: { role: 'user', content } }]);
    expect(output.message).toEqual({ role: 'model', content: [...content, { reasoning: 'because' }] });
  });
});
