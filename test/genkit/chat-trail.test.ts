/** Where a chat stands among the versions of its session, and what its client is told to go on from. */
import { genkit } from 'genkit/beta';
import { expect, test } from 'vitest';
import { chatShape } from '../../src/genkit/chat/shape.js';
import { decodeSnapshotId } from '../../src/genkit/chat/snapshot-id.js';
import { ChatTrail, type ChatTrailParts } from '../../src/genkit/chat/trail.js';
import { AgentFlowError, defineAgent, type Session } from '../../src/index.js';
import { Deferred } from '../../src/internal/deferred.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ChatState } from '../support/chat.js';

async function openSession(): Promise<Session<ChatState>> {
  const opened = new Deferred<Session<ChatState>>();
  const config = { name: 'open', stateSchema: ChatState, store: new MemorySessionStore() };
  const agent = defineAgent(genkit({}), config, async ({ session, inputStream }) => {
    opened.resolve(session);
    for await (const _ of inputStream);
    return { output: undefined };
  });
  agent.streamBidi({ sessionId: 'mine' });
  return opened.promise;
}

function trail(parts: Partial<ChatTrailParts> = {}): ChatTrail {
  const shape = chatShape({ name: 'open', toInput: String, toChunk: () => undefined } as never, ChatState);
  if (shape instanceof AgentFlowError) throw shape;
  return new ChatTrail({ shape, snapshots: undefined, clientState: undefined, version: undefined, ...parts });
}

const keepingAll = { kept: async (_: string, version: number) => version };
const keyOf = ({ snapshotId = '' }: { snapshotId?: string }) => decodeSnapshotId(snapshotId);

test('before the session is open it leads nowhere but to what the client brought', async () => {
  const clientState = { sessionId: 'theirs', custom: { count: 3 } };
  const early = trail({ clientState });
  expect([early.here, early.memory, early.lastGoodSnapshot]).toEqual([undefined, {}, {}]);
  expect(await early.memoryAfter('failed')).toEqual({ state: clientState });
  expect(await trail().memoryAfter('failed')).toEqual({});
});

test('a good turn leads on; a failed one back to before it, an aborted one to what it saved', async () => {
  const session = await openSession();
  const way = trail({ snapshots: keepingAll });
  await way.begin(session);
  await session.updateState({ messages: [], count: 1 });
  way.markGood();
  await session.updateState({ messages: [], count: 2 });
  expect(keyOf(way.lastGoodSnapshot)).toEqual({ sessionId: 'mine', version: 2 });
  expect(keyOf(way.memory)).toEqual({ sessionId: 'mine', version: 3 });
  expect(keyOf(await way.memoryAfter('failed'))).toEqual({ sessionId: 'mine', version: 2 });
  expect(keyOf(await way.memoryAfter('aborted'))).toEqual({ sessionId: 'mine', version: 3 });
  expect([way.after('failed')?.state, way.after('stop')?.state]).toMatchObject([{ count: 1 }, { count: 2 }]);
});

test('what retention has dropped is nothing to go on from; a store that cannot tell is believed', async () => {
  const session = await openSession();
  const dropped = trail({ snapshots: { kept: async () => 7 } });
  await dropped.begin(session);
  expect(keyOf(await dropped.memoryAfter('failed'))?.version).toBe(7);
  const broken = trail({ snapshots: { kept: () => Promise.reject(new Error('away')) } });
  await broken.begin(session);
  expect(keyOf(await broken.memoryAfter('failed'))?.version).toBe(1);
});

test('a session that went back is the version it went back to until it is saved', async () => {
  const session = await openSession();
  await session.updateState({ messages: [], count: 1 });
  const way = trail({ snapshots: keepingAll, version: 1 });
  await way.begin(session);
  expect(way.here?.version).toBe(1);
  await session.updateState({ messages: [], count: 2 });
  expect(way.here?.version).toBe(3);
});

test('without a store the state itself is what to go on from, and a copy, with the artifacts that were brought', async () => {
  const session = await openSession();
  const artifact = { name: 'plan', parts: [{ text: 'first' }] };
  const way = trail({ clientState: { artifacts: [artifact] } });
  await way.begin(session);
  const { sessionId, state } = way.memory;
  expect(sessionId).toBe('mine');
  expect(state).toMatchObject({ sessionId: 'mine', messages: [], custom: { count: 0 }, artifacts: [artifact] });
  expect(Object.isFrozen(state?.messages)).toBe(false);
  expect(way.exposed.messages).toBe(session.state.messages);
});
