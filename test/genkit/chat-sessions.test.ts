/** Sessions of a Genkit chat of ours: snapshots, going on, aborting. */
import { genkit, z } from 'genkit/beta';
import { describe, expect, test, vi } from 'vitest';
import { defineAgent } from '../../src/index.js';
import { Deferred } from '../../src/internal/deferred.js';
import { passingOwner } from '../../src/session/passing-owner.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import {
  ChatState,
  type ChatWork,
  converse,
  defineTalker,
  echo,
  echoAgent,
  say,
  textOf,
  textsOf,
} from '../support/chat.js';
import { machines } from '../support/talkers.js';
import { UnsteadyStore } from '../support/unsteady-store.js';

const hostileIds = [
  '../../etc/passwd',
  '\0',
  '__proto__',
  '\ud800',
  '["a",1]',
  'ä'.repeat(10_000),
  "'; DROP TABLE x; --",
];

/** Says that it has begun, then waits until it is told to stop. */
function patient() {
  const begun = new Deferred<void>();
  const work: ChatWork = async (input, { responder }, turn) => {
    await responder.send(`working on ${input}`);
    begun.resolve();
    await new Promise((resolve) => turn.signal.addEventListener('abort', resolve, { once: true }));
  };
  return { work, begun: begun.promise };
}

describe('snapshots', () => {
  test('one by its id is that moment, one by its session the newest', async () => {
    const agent = echoAgent(new MemorySessionStore());
    const first = (await converse(agent.chatAgent, ['one'], { sessionId: 'mine' })).output;
    const second = (await converse(agent.chatAgent, ['two'], { sessionId: 'mine' })).output;
    const { chatAgent } = agent;
    expect(textsOf((await chatAgent.getSnapshot(first.snapshotId ?? ''))?.state?.messages)).toEqual([
      'one',
      'you said one',
    ]);
    const newest = await chatAgent.getSnapshot({ sessionId: 'mine' });
    expect(newest).toEqual({
      snapshotId: second.snapshotId,
      parentId: expect.any(String),
      sessionId: 'mine',
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
      updatedAt: expect.stringMatching(/^\d{4}-.*Z$/),
      status: 'completed',
      finishReason: 'stop',
      state: { sessionId: 'mine', custom: { count: 2 }, messages: expect.any(Array), artifacts: [] },
    });
    expect(textsOf(newest?.state?.messages)).toEqual(['one', 'you said one', 'two', 'you said two']);
    expect(await chatAgent.getSnapshotData({ snapshotId: newest?.parentId ?? '' })).toMatchObject({
      sessionId: 'mine',
    });
  });

  test('what was handed out is the client’s to change', async () => {
    const agent = echoAgent(new MemorySessionStore());
    const { output } = await converse(agent.chatAgent, ['one']);
    const look = () => agent.chatAgent.getSnapshot(output.snapshotId ?? '');
    const before = await look();
    (await look())?.state?.messages?.pop();
    expect(await look()).toEqual(before);
  });

  test('any text may be a session id', async () => {
    const agent = echoAgent(new MemorySessionStore());
    for (const sessionId of hostileIds) {
      const { output } = await converse(agent.chatAgent, [sessionId], { sessionId });
      const snapshot = await agent.chatAgent.getSnapshot(output.snapshotId ?? '');
      expect([snapshot?.sessionId === sessionId, textsOf(snapshot?.state?.messages)[0] === sessionId]).toEqual([
        true,
        true,
      ]);
    }
  });

  test('what is not there is answered with nothing, and as NOT_FOUND over the wire', async () => {
    const agent = echoAgent(new MemorySessionStore());
    const { output } = await converse(agent.chatAgent, ['one'], { sessionId: 'mine' });
    const encode = (key: unknown) => Buffer.from(JSON.stringify(key)).toString('base64url');
    const unknown = [
      ' ',
      'nope',
      '../x',
      '\0',
      encode(['mine', 99]),
      encode(['other', 1]),
      encode(['mine', 1, 'no task']),
    ];
    const crafted = [
      encode(['mine', 0]),
      encode(['mine', 1.5]),
      encode(['mine', '1']),
      encode({}),
      encode(null),
      `${output.snapshotId}=`,
    ];
    for (const snapshotId of [...unknown, ...crafted]) {
      expect(await agent.chatAgent.getSnapshot(snapshotId)).toBeUndefined();
      await expect(agent.chatAgent.getSnapshotDataAction({ snapshotId })).rejects.toMatchObject({
        status: 'NOT_FOUND',
      });
      const { output: outcome } = await converse(agent.chatAgent, ['two'], { snapshotId });
      expect(outcome).toMatchObject({ finishReason: 'failed', error: { status: 'NOT_FOUND' } });
    }
    expect(await agent.chatAgent.getSnapshot({ sessionId: 'other' })).toBeUndefined();
    for (const both of [{}, { snapshotId: output.snapshotId, sessionId: 'mine' }]) {
      await expect(agent.chatAgent.getSnapshotData(both)).rejects.toMatchObject({ status: 'INVALID_ARGUMENT' });
    }
  });

  test('of a deleted session there is none', async () => {
    const agent = echoAgent(new MemorySessionStore());
    const { output } = await converse(agent.chatAgent, ['one'], { sessionId: 'mine' });
    await agent.sessions.delete('mine');
    expect(await agent.chatAgent.getSnapshot(output.snapshotId ?? '')).toBeUndefined();
  });

  test('an agent without a store has none, and says so', async () => {
    const { chatAgent } = echoAgent();
    await expect(chatAgent.getSnapshot('any')).rejects.toMatchObject({ status: 'FAILED_PRECONDITION' });
    await expect(chatAgent.abortAgentAction({ snapshotId: 'any' })).rejects.toMatchObject({
      status: 'FAILED_PRECONDITION',
    });
  });
});

describe('going on', () => {
  test('from a snapshot, whatever came after it', async () => {
    const agent = echoAgent(new MemorySessionStore());
    const root = (await converse(agent.chatAgent, ['root'])).output;
    for (const branch of ['a', 'b']) {
      const { output } = await converse(agent.chatAgent, [branch], { snapshotId: root.snapshotId });
      const snapshot = await agent.chatAgent.getSnapshot(output.snapshotId ?? '');
      expect(textsOf(snapshot?.state?.messages)).toEqual(['root', 'you said root', branch, `you said ${branch}`]);
    }
  });

  test('from a snapshot by a turn that saves nothing, or fails, is still at that snapshot', async () => {
    const work: ChatWork = async (input) => {
      if (input === 'fail') throw new TypeError('as asked');
    };
    const store = new MemorySessionStore();
    const remembering = echoAgent(store);
    const root = (await converse(remembering.chatAgent, ['root'], { sessionId: 'mine' })).output;
    await converse(remembering.chatAgent, ['later'], { sessionId: 'mine' });
    const config = { name: 'idle', inputSchema: z.string(), streamSchema: z.string(), stateSchema: ChatState, store };
    const idle = defineAgent(genkit({}), config, async (args) => {
      await args.turns((input, turn) => work(input, args as never, turn));
      return { output: null };
    });
    for (const input of ['nothing', 'fail']) {
      const { output } = await converse(idle.chatAgent, [input], { snapshotId: root.snapshotId });
      expect(output.snapshotId).toBe(root.snapshotId);
    }
  });

  test('both ids at once: the snapshot is meant, and must be the session’s', async () => {
    const { chatAgent } = echoAgent(new MemorySessionStore());
    const { snapshotId } = (await converse(chatAgent, ['one'], { sessionId: 'mine' })).output;
    expect((await converse(chatAgent, ['two'], { snapshotId, sessionId: 'mine' })).output.finishReason).toBe('stop');
    const misuse = converse(chatAgent, ['three'], { snapshotId, sessionId: 'other' });
    await expect(misuse).rejects.toMatchObject({ status: 'INVALID_ARGUMENT' });
  });

  test('an init that is meant for another kind of agent is thrown', async () => {
    const server = converse(echoAgent(new MemorySessionStore()).chatAgent, ['one'], { state: { messages: [] } });
    await expect(server).rejects.toMatchObject({ status: 'FAILED_PRECONDITION', detail: { code: 'INVALID_VALUE' } });
    for (const init of [{ sessionId: 'mine' }, { snapshotId: 'any' }]) {
      const client = converse(echoAgent().chatAgent, ['one'], init);
      await expect(client).rejects.toMatchObject({ status: 'FAILED_PRECONDITION', detail: { code: 'NO_STORE' } });
    }
  });

  test('a state that does not fit is an outcome, and is given back', async () => {
    const state = { custom: { count: 'many' } };
    const { output } = await converse(echoAgent().chatAgent, ['one'], { state });
    expect(output).toMatchObject({ finishReason: 'failed', error: { status: 'INVALID_ARGUMENT' }, state });
  });
});

describe('abort', () => {
  test('by any snapshot of the session ends the turn that runs; what was saved stays', async () => {
    const { work, begun } = patient();
    const agent = defineTalker(work, { store: new MemorySessionStore() });
    const opened = await converse(agent.chatAgent, [], { sessionId: 'mine' });
    const turn = converse(agent.chatAgent, ['this', 'never'], { sessionId: 'mine' });
    await begun;
    expect(await agent.chatAgent.abort(opened.output.snapshotId ?? '')).toBe('pending');
    const { chunks, output } = await turn;
    expect(textOf(chunks)).toBe('working on this');
    expect(chunks.at(-1)?.turnEnd).toMatchObject({ finishReason: 'aborted' });
    expect(output).toEqual({ sessionId: 'mine', finishReason: 'aborted', snapshotId: expect.any(String) });
    const snapshot = await agent.chatAgent.getSnapshot(output.snapshotId ?? '');
    expect(textsOf(snapshot?.state?.messages)).toEqual(['this']);
  });

  test('ends a run that was opened without a chat, too', async () => {
    const { work, begun } = patient();
    const agent = defineTalker(work, { store: new MemorySessionStore() });
    const { output } = await converse(agent.chatAgent, [], { sessionId: 'mine' });
    const connection = agent.streamBidi({ sessionId: 'mine' });
    connection.send('this');
    await begun;
    await agent.chatAgent.abortAgentAction({ snapshotId: output.snapshotId ?? '' });
    expect((await connection.done).finishReason).toBe('aborted');
  });

  test('says what it found where there is nothing to end', async () => {
    const { chatAgent } = echoAgent(new MemorySessionStore());
    const { snapshotId = '' } = (await converse(chatAgent, ['one'])).output;
    expect(await chatAgent.abort(snapshotId)).toBe('completed');
    expect((await chatAgent.getSnapshot(snapshotId))?.status).toBe('completed');
    expect(await chatAgent.abort('nope')).toBeUndefined();
    expect(await chatAgent.abortAgentAction({ snapshotId: 'nope' })).toEqual({ snapshotId: 'nope' });
  });

  test('ends a run of another process on the same store, and waits until it has ended', async () => {
    const open = machines();
    const { work, begun } = patient();
    const [here, there] = [defineTalker(work, { store: open() }), defineTalker(echo, { store: open() })];
    const { snapshotId = '' } = (await converse(there.chatAgent, [], { sessionId: 'mine' })).output;
    const turn = converse(here.chatAgent, ['this'], { sessionId: 'mine' });
    await begun;
    expect(await there.chatAgent.abort(snapshotId)).toBe('pending');
    const { output } = await turn;
    expect(output).toEqual({ sessionId: 'mine', finishReason: 'aborted', snapshotId: expect.any(String) });
    const snapshot = await there.chatAgent.getSnapshot(output.snapshotId ?? '');
    expect(textsOf(snapshot?.state?.messages)).toEqual(['this']);
    expect(await there.chatAgent.abort(snapshotId)).toBe('completed');
    expect((await converse(there.chatAgent, ['next'], { sessionId: 'mine' })).output.finishReason).toBe('stop');
  });

  test('looks for a run of another process without touching the session', async () => {
    const open = machines();
    const [here, store] = [open(), open()];
    const there = defineTalker(echo, { store });
    const { snapshotId = '' } = (await converse(there.chatAgent, [], { sessionId: 'mine' })).output;
    const acquire = vi.spyOn(store, 'acquire');
    expect(await there.chatAgent.abort(snapshotId)).toBe('completed');
    await here.acquire('mine', { owner: passingOwner('1'), ttlMs: 60_000 });
    expect(await there.chatAgent.abort(snapshotId)).toBe('completed');
    expect(acquire).not.toHaveBeenCalled();
  });

  test('fences off a run of another process that cannot be asked', async () => {
    const memory = new MemorySessionStore();
    const store = new UnsteadyStore(memory);
    const clock = new ManualClock();
    const { work, begun } = patient();
    const here = defineTalker(work, { store, clock, leaseTtlMs: 3_000 });
    const there = defineTalker(echo, { store: memory });
    const { snapshotId = '' } = (await converse(there.chatAgent, [], { sessionId: 'mine' })).output;
    const turn = converse(here.chatAgent, ['this'], { sessionId: 'mine' });
    await begun;
    expect(await there.chatAgent.abort(snapshotId)).toBe('pending');
    clock.advance(1_000);
    expect((await turn).output).toMatchObject({ finishReason: 'failed', error: { status: 'ABORTED' } });
    expect((await converse(there.chatAgent, ['next'], { sessionId: 'mine' })).output.finishReason).toBe('stop');
  });

  test('by the caller’s signal is an outcome as well, before the session is open and while it works', async () => {
    const { work, begun } = patient();
    const agent = defineTalker(work, { store: new MemorySessionStore() });
    const { result } = await agent.chatAgent.run(say('one'), { abortSignal: AbortSignal.abort() });
    expect(result).toEqual({ finishReason: 'aborted' });
    const controller = new AbortController();
    const turn = agent.chatAgent.run(say('two'), { abortSignal: controller.signal });
    await begun;
    controller.abort();
    expect((await turn).result).toMatchObject({ finishReason: 'aborted', snapshotId: expect.any(String) });
  });
});
