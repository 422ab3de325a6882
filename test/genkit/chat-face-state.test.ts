/** What a Genkit chat of ours remembers: the state as its client sees it grow, and what is left when a turn fails. */
import { applyPatch, genkit, type JsonPatch, z } from 'genkit/beta';
import { describe, expect, test } from 'vitest';
import { defineAgent } from '../../src/index.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { type ChatState, converse, defineTalker, echo, echoAgent, say, textOf, textsOf } from '../support/chat.js';

const store = () => new MemorySessionStore();
const turnEnds = (chunks: readonly { turnEnd?: unknown }[]) => chunks.flatMap(({ turnEnd }) => turnEnd ?? []);

describe('state', () => {
  test('the first change of a turn is the whole of custom, the others are what changed; together they are the state', async () => {
    const agent = defineTalker(
      async (input, { session }) => {
        await session.updateState((draft) => {
          draft.mood = input;
        });
        await session.updateState((draft) => {
          draft.count += 10;
        });
      },
      { store: store() },
    );
    const { chunks, output } = await converse(agent.chatAgent, ['glad', 'sad']);
    const patches = chunks.flatMap(({ customPatch }) => (customPatch === undefined ? [] : [customPatch]));
    expect(patches).toEqual([
      [{ op: 'replace', path: '', value: { count: 1 } }],
      [{ op: 'add', path: '/mood', value: 'glad' }],
      [{ op: 'replace', path: '/count', value: 11 }],
      [{ op: 'replace', path: '', value: { count: 12, mood: 'glad' } }],
      [{ op: 'replace', path: '/mood', value: 'sad' }],
      [{ op: 'replace', path: '/count', value: 22 }],
    ]);
    const custom = patches.reduce((state: unknown, patch) => applyPatch(state, patch as JsonPatch), undefined);
    expect(custom).toEqual((await agent.chatAgent.getSnapshot(output.snapshotId ?? ''))?.state?.custom);
  });

  test("members that Genkit's client refuses in a patch come with the whole", async () => {
    const config = { name: 'odd', inputSchema: z.string(), streamSchema: z.string() };
    const agent = defineAgent(genkit({}), config, async ({ turns, session }) => {
      await turns(async () => {
        await session.updateState({ a: 1 });
        await session.updateState({ a: 1, prototype: 2 });
      });
      return { output: null };
    });
    const { chunks } = await converse(agent.chatAgent, ['go']);
    expect(chunks.flatMap(({ customPatch }) => customPatch ?? [])).toEqual([
      { op: 'replace', path: '', value: { a: 1 } },
      { op: 'replace', path: '', value: { a: 1, prototype: 2 } },
    ]);
  });

  test('a client without a server’s memory gets all of it and brings it back, artifacts and session id too', async () => {
    const agent = defineTalker(async (input, args) => {
      await args.session.saveArtifact({ name: `doc ${args.session.artifacts.length}`, parts: [{ text: input }] });
      await echo(input, args, args as never);
    });
    const first = (await converse(agent.chatAgent, ['one'])).output;
    expect(first.snapshotId).toBeUndefined();
    expect(first.state).toMatchObject({
      sessionId: first.sessionId,
      custom: { count: 1 },
      artifacts: [{ name: 'doc 0' }],
    });
    const wire = JSON.parse(JSON.stringify(first.state));
    const { chunks, output } = await converse(agent.chatAgent, ['two'], { state: wire });
    expect(textsOf(output.state?.messages)).toEqual(['one', 'you said one', 'two', 'you said two']);
    expect(output.state).toMatchObject({ sessionId: first.sessionId, custom: { count: 2 } });
    expect(output.artifacts?.map(({ name }) => name)).toEqual(['doc 0', 'doc 1']);
    // What the client brought is not told to it as new.
    expect(chunks.flatMap(({ artifact }) => artifact ?? []).map(({ name }) => name)).toEqual(['doc 1']);
  });

  test('a state whose messages are no messages stays whole', async () => {
    const stateSchema = z.object({ messages: z.array(z.string()).default([]) });
    const config = { name: 'strings', inputSchema: z.string(), streamSchema: z.string(), stateSchema };
    const agent = defineAgent(genkit({}), config, async ({ turns, session }) => {
      await turns((input) => session.updateState({ messages: [input] }));
      return { output: null };
    });
    const { output } = await converse(agent.chatAgent, ['a']);
    expect(output.state).toEqual({ sessionId: output.sessionId, custom: { messages: ['a'] }, artifacts: [] });
  });

  test('an artifact is told when it is saved, and all of them at the end', async () => {
    const agent = defineTalker(async (_, { session }) => {
      for (const text of ['v1', 'v2']) await session.saveArtifact({ name: 'doc', parts: [{ text }] });
    });
    const { chunks, output } = await converse(agent.chatAgent, ['go']);
    expect(chunks.flatMap(({ artifact }) => artifact?.parts ?? [])).toEqual([{ text: 'v1' }, { text: 'v2' }]);
    expect(output.artifacts).toEqual([{ name: 'doc', parts: [{ text: 'v2' }] }]);
  });
});

test.each(['queue', 'reject', 'interrupt'] as const)(
  'an input that a process left behind when it died is answered first, and then the client’s: %s',
  async (sendPolicy) => {
    const own = store();
    const agent = defineTalker(echo, { store: own, sendPolicy });
    await converse(agent.chatAgent, [], { sessionId: 'mine' });
    const lease = (await own.acquire('mine', { owner: 'dead', ttlMs: 1_000 })) ?? expect.fail();
    await own.accept(lease, { id: 'i', run: 'dead', turn: 1, attempt: 1, done: false, input: 'left' });
    await own.release(lease);
    const { chunks, output } = await converse(agent.chatAgent, ['new'], { sessionId: 'mine' });
    expect([textOf(chunks), turnEnds(chunks).length]).toEqual(['you said leftyou said new', 1]);
    expect(output.message?.content).toEqual([{ text: 'you said new' }]);
    const snapshot = await agent.chatAgent.getSnapshot(output.snapshotId ?? '');
    expect(textsOf(snapshot?.state?.messages)).toEqual(['left', 'you said left', 'new', 'you said new']);
  },
);

describe('failures', () => {
  const fragile = (keepVersions?: number) =>
    defineTalker(
      async (input, args, turn) => {
        await args.session.updateState((draft: ChatState) => {
          draft.mood = 'half done';
        });
        if (input.startsWith('fail')) throw new TypeError(`as asked: ${input}`);
        await echo(input, args, turn);
      },
      { store: store(), ...(keepVersions && { keepVersions }) },
    );

  test('a turn that throws is an outcome; the inputs behind it are not taken, and the client goes on from before it', async () => {
    const agent = fragile();
    const { chunks, output } = await converse(agent.chatAgent, ['one', 'fail', 'never']);
    expect(textOf(chunks)).toBe('you said one');
    expect(output).toEqual({
      sessionId: expect.any(String),
      snapshotId: (turnEnds(chunks)[0] as { snapshotId: string }).snapshotId,
      finishReason: 'failed',
      error: { status: 'INTERNAL', message: 'as asked: fail', details: { code: 'HANDLER_FAILED' } },
    });
    expect(turnEnds(chunks)[1]).toEqual({ finishReason: 'failed', snapshotId: output.snapshotId });
    const next = await converse(agent.chatAgent, ['two'], { snapshotId: output.snapshotId });
    const snapshot = await agent.chatAgent.getSnapshot(next.output.snapshotId ?? '');
    expect(textsOf(snapshot?.state?.messages)).toEqual(['one', 'you said one', 'two', 'you said two']);
  });

  test('a session whose very first turn failed can be gone on with', async () => {
    const agent = fragile();
    const { output } = await converse(agent.chatAgent, ['fail'], { sessionId: 'mine' });
    const next = await converse(agent.chatAgent, ['one'], { snapshotId: output.snapshotId });
    expect(next.output).toMatchObject({ sessionId: 'mine', finishReason: 'stop' });
    const snapshot = await agent.chatAgent.getSnapshot({ sessionId: 'mine' });
    expect(textsOf(snapshot?.state?.messages)).toEqual(['one', 'you said one']);
  });

  test('where retention has dropped what was before, the client goes on from what is there', async () => {
    const agent = fragile(1);
    const { output } = await converse(agent.chatAgent, ['one', 'fail']);
    const next = await converse(agent.chatAgent, ['two'], { snapshotId: output.snapshotId });
    expect(next.output.finishReason).toBe('stop');
  });

  test('a client without a server’s memory gets the state from before the turn', async () => {
    const agent = defineTalker(async (input, args, turn) => {
      await args.session.saveArtifact({ name: 'doc', parts: [{ text: input }] });
      if (input === 'fail') throw new TypeError('as asked');
      await echo(input, args, turn);
    });
    const { output } = await converse(agent.chatAgent, ['one', 'fail']);
    expect(output).toMatchObject({ finishReason: 'failed', error: { message: 'as asked' } });
    expect(output.state).toMatchObject({ custom: { count: 1 }, artifacts: [{ parts: [{ text: 'one' }] }] });
  });

  test('a status that the handler’s error carries reaches the client; a stack never does', async () => {
    const agent = defineTalker(async () => {
      throw Object.assign(new TypeError('not yours'), { status: 'PERMISSION_DENIED', secret: 'xyzzy' });
    });
    const { output } = await converse(agent.chatAgent, ['go']);
    expect(output.error).toMatchObject({ status: 'PERMISSION_DENIED', message: 'not yours' });
    expect(JSON.stringify(output)).not.toMatch(/xyzzy|\.ts:/);
  });

  test.each([
    ['what is no text, where the agent takes text', { message: { role: 'user', content: [{ media: { url: 'x:' } }] } }],
    ['a message and the answer to an interrupt at once', { ...say('a'), resume: { respond: [] } }],
    ['neither', {}],
  ] as const)('%s is refused as an outcome, and the session is untouched', async (_, input) => {
    const agent = echoAgent(store());
    const { output } = await converse(agent.chatAgent, ['one', JSON.parse(JSON.stringify(input))]);
    expect(output).toMatchObject({ finishReason: 'failed', error: { status: 'INVALID_ARGUMENT' } });
    expect((await agent.sessions.get(output.sessionId ?? ''))?.state.messages).toHaveLength(2);
  });

  test('what is no input at all is thrown', async () => {
    const agent = echoAgent(store());
    await expect(agent.chatAgent.run({ message: 'hello' } as never)).rejects.toMatchObject({
      status: 'INVALID_ARGUMENT',
    });
  });
});
