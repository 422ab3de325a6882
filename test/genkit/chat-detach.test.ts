/** Turns of a Genkit chat that go on in the background. */
import { UserFacingError } from 'genkit/beta';
import { describe, expect, test } from 'vitest';
import { Deferred } from '../../src/internal/deferred.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { type ChatWork, converse, defineTalker, echo, echoAgent, say, textsOf } from '../support/chat.js';
import { machines } from '../support/talkers.js';

/** Works until it is let go. */
function gated(rest: ChatWork = echo) {
  const [begun, gate] = [new Deferred<void>(), new Deferred<void>()];
  const work: ChatWork = async (input, args, turn) => {
    begun.resolve();
    const aborted = new Promise<void>((resolve) => turn.signal.addEventListener('abort', () => resolve()));
    await Promise.race([gate.promise, aborted]);
    await rest(input, args, turn);
  };
  return { work, begun: begun.promise, open: () => gate.resolve() };
}

const inBackground = (text: string) => ({ ...say(text), detach: true });

describe('detach', () => {
  test('lets the caller go at once; the work goes on and can be looked at', async () => {
    const { work, open } = gated();
    const { chatAgent } = defineTalker(work, { store: new MemorySessionStore() });
    const { chunks, output } = await converse(chatAgent, [inBackground('this')], { sessionId: 'mine' });
    expect(chunks).toEqual([]);
    expect(output).toEqual({ sessionId: 'mine', snapshotId: expect.any(String), finishReason: 'detached' });
    const snapshotId = output.snapshotId ?? '';
    expect(await chatAgent.getSnapshot(snapshotId)).toMatchObject({
      snapshotId,
      status: 'pending',
      state: { messages: [] },
    });
    const early = await converse(chatAgent, ['too early'], { snapshotId });
    expect(early.output).toMatchObject({ finishReason: 'failed', error: { status: 'INVALID_ARGUMENT' } });
    open();
    const next = await converse(chatAgent, ['next'], { sessionId: 'mine' });
    expect(next.output.finishReason).toBe('stop');
    const done = await chatAgent.getSnapshot(snapshotId);
    expect(done).toMatchObject({ snapshotId, sessionId: 'mine', status: 'completed', finishReason: 'stop' });
    expect(textsOf(done?.state?.messages)).toEqual(['this', 'you said this']);
    const goneOn = await converse(chatAgent, ['and on'], { snapshotId });
    const { state } = (await chatAgent.getSnapshot(goneOn.output.snapshotId ?? '')) ?? {};
    expect(textsOf(state?.messages)).toEqual(['this', 'you said this', 'and on', 'you said and on']);
  });

  test('while it runs nothing is said of how it ended, whatever the version it began at ended with', async () => {
    const { work, open } = gated();
    const later: ChatWork = (input, ...rest) => (input === 'before' ? echo : work)(input, ...rest);
    const { chatAgent } = defineTalker(later, { store: new MemorySessionStore() });
    await converse(chatAgent, ['before'], { sessionId: 'mine' });
    const { output } = await converse(chatAgent, [inBackground('this')], { sessionId: 'mine' });
    const pending = await chatAgent.getSnapshot(output.snapshotId ?? '');
    expect(pending?.status).toBe('pending');
    expect(pending).not.toHaveProperty('finishReason');
    open();
    await converse(chatAgent, [], { sessionId: 'mine' });
  });

  test('in a message of its own takes along the turn that runs and those that wait', async () => {
    const { work, open } = gated();
    const { chatAgent } = defineTalker(work, { store: new MemorySessionStore() });
    const { output } = await converse(chatAgent, ['one', 'two', { detach: true }, 'three'], { sessionId: 'mine' });
    expect(output.finishReason).toBe('detached');
    open();
    await converse(chatAgent, [], { sessionId: 'mine' });
    const { status, state } = (await chatAgent.getSnapshot(output.snapshotId ?? '')) ?? {};
    expect([status, ...textsOf(state?.messages).filter((text) => !text.startsWith('you'))]).toEqual([
      'completed',
      'one',
      'two',
      'three',
    ]);
  });

  test('a failure is written down with its error', async () => {
    const { work, open } = gated(async () => {
      throw new TypeError('as asked');
    });
    const { chatAgent } = defineTalker(work, { store: new MemorySessionStore() });
    const { output } = await converse(chatAgent, [inBackground('this')], { sessionId: 'mine' });
    open();
    await converse(chatAgent, [], { sessionId: 'mine' });
    const snapshotId = output.snapshotId ?? '';
    const snapshot = await chatAgent.getSnapshot(snapshotId);
    expect(snapshot).toMatchObject({
      status: 'failed',
      finishReason: 'failed',
      error: { status: 'INTERNAL', message: 'as asked' },
    });
    expect(await chatAgent.abort(snapshotId)).toBe('failed');
  });

  test('so is one whose details no store could keep', async () => {
    const { work, open } = gated(async () => {
      throw new UserFacingError('NOT_FOUND', 'as asked', { place: 7, at: new Date(), self: () => {} });
    });
    const { chatAgent } = defineTalker(work, { store: new MemorySessionStore() });
    const { output } = await converse(chatAgent, [inBackground('this')], { sessionId: 'mine' });
    open();
    await converse(chatAgent, [], { sessionId: 'mine' });
    const snapshot = await chatAgent.getSnapshot(output.snapshotId ?? '');
    expect(snapshot).toMatchObject({ status: 'failed', error: { status: 'NOT_FOUND' } });
    expect(snapshot?.error?.details).toEqual({ place: 7 });
  });

  test('a task can be aborted, and is then over', async () => {
    const { work, begun } = gated();
    const { chatAgent } = defineTalker(work, { store: new MemorySessionStore() });
    const snapshotId = (await converse(chatAgent, [inBackground('this')])).output.snapshotId ?? '';
    await begun;
    expect(await chatAgent.abort(snapshotId)).toBe('pending');
    expect(await chatAgent.getSnapshot(snapshotId)).toMatchObject({ status: 'aborted', finishReason: 'aborted' });
    expect(await chatAgent.abort(snapshotId)).toBe('aborted');
  });

  test('the caller’s signal ends nothing any more', async () => {
    const { work, begun, open } = gated();
    const agent = defineTalker(work, { store: new MemorySessionStore() });
    const controller = new AbortController();
    const init = { sessionId: 'mine' };
    const { result } = await agent.chatAgent.run(inBackground('this'), { init, abortSignal: controller.signal });
    await begun;
    controller.abort();
    open();
    await converse(agent.chatAgent, [], init);
    expect((await agent.chatAgent.getSnapshot(result.snapshotId ?? ''))?.status).toBe('completed');
  });

  test('needs a store', async () => {
    const run = converse(echoAgent().chatAgent, [inBackground('this')]);
    await expect(run).rejects.toMatchObject({ status: 'FAILED_PRECONDITION', detail: { code: 'NO_STORE' } });
  });

  test('a chat whose session cannot be opened is not sent anywhere', async () => {
    const { chatAgent } = echoAgent(new MemorySessionStore());
    const snapshotId = Buffer.from('["mine",7]').toString('base64url');
    const { output } = await converse(chatAgent, [inBackground('this')], { snapshotId });
    expect(output).toMatchObject({ finishReason: 'failed', error: { status: 'NOT_FOUND' } });
  });
});

describe('seen from another process', () => {
  test('a task runs, and what has become of it is known there too', async () => {
    const store = new MemorySessionStore();
    const { work, open } = gated();
    const [here, there] = [defineTalker(work, { store }), echoAgent(store)];
    const snapshotId =
      (await converse(here.chatAgent, [inBackground('this')], { sessionId: 'mine' })).output.snapshotId ?? '';
    expect((await there.chatAgent.getSnapshot(snapshotId))?.status).toBe('pending');
    open();
    await converse(here.chatAgent, [], { sessionId: 'mine' });
    const { status, state } = (await there.chatAgent.getSnapshot(snapshotId)) ?? {};
    expect([status, ...textsOf(state?.messages)]).toEqual(['completed', 'this', 'you said this']);
  });

  test('a task whose process has died is expired, and the session free', async () => {
    const [storeClock, frozen] = [new ManualClock(), new ManualClock()];
    const store = new MemorySessionStore({ clock: storeClock });
    const { work } = gated();
    const here = defineTalker(work, { store, clock: frozen, leaseTtlMs: 3_000 });
    const snapshotId =
      (await converse(here.chatAgent, [inBackground('this')], { sessionId: 'mine' })).output.snapshotId ?? '';
    const there = echoAgent(store);
    expect((await there.chatAgent.getSnapshot(snapshotId))?.status).toBe('pending');
    storeClock.advance(3_001);
    expect((await there.chatAgent.getSnapshot(snapshotId))?.status).toBe('expired');
    const { output } = await converse(there.chatAgent, ['next'], { snapshotId });
    expect(output).toMatchObject({ finishReason: 'failed', error: { status: 'INVALID_ARGUMENT' } });
  });

  test('a task can be aborted there', async () => {
    const store = new MemorySessionStore();
    const clock = new ManualClock();
    const { work, begun } = gated();
    const [here, there] = [defineTalker(work, { store, clock, leaseTtlMs: 3_000 }), echoAgent(store)];
    const snapshotId =
      (await converse(here.chatAgent, [inBackground('this')], { sessionId: 'mine' })).output.snapshotId ?? '';
    await begun;
    expect(await there.chatAgent.abort(snapshotId)).toBe('pending');
    expect((await there.chatAgent.getSnapshot(snapshotId))?.status).toBe('aborted');
    clock.advance(1_000);
    await converse(there.chatAgent, ['next'], { sessionId: 'mine' });
    expect((await here.chatAgent.getSnapshot(snapshotId))?.status).toBe('aborted');
  });

  test('a task of another process on the same store is asked to end, with its handler', async () => {
    const open = machines();
    const { work, begun } = gated();
    const [here, there] = [defineTalker(work, { store: open() }), echoAgent(open())];
    const snapshotId =
      (await converse(here.chatAgent, [inBackground('this')], { sessionId: 'mine' })).output.snapshotId ?? '';
    await begun;
    const connection = here.attach('mine');
    expect(await there.chatAgent.abort(snapshotId)).toBe('pending');
    expect((await connection.abort()).error).toMatchObject({ cause: 'aborted through its snapshot' });
    expect((await there.chatAgent.getSnapshot(snapshotId))?.status).toBe('aborted');
    expect((await here.chatAgent.getSnapshot(snapshotId))?.status).toBe('aborted');
  });

  test('what was written down of a task goes with its session', async () => {
    const store = new MemorySessionStore();
    const { work, open } = gated();
    const agent = defineTalker(work, { store });
    const snapshotId =
      (await converse(agent.chatAgent, [inBackground('this')], { sessionId: 'mine' })).output.snapshotId ?? '';
    open();
    await converse(agent.chatAgent, [], { sessionId: 'mine' });
    await agent.sessions.delete('mine');
    expect(await agent.chatAgent.getSnapshot(snapshotId)).toBeUndefined();
    const tasks = store.forTenant('genkitx-agent').forTenant('chat-tasks');
    expect((await tasks.list()).sessions).toEqual([]);
  });
});
