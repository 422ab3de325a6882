/** A chat of ours as the Dev UI's chat page talks to it: through the real genkit-cli. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { built } from '../support/built.js';
import { textsOf } from '../support/chat.js';
import { type GenkitCli, startGenkitCli } from '../support/genkit-cli.js';

const app = built('test/support/fixtures/chat-app.ts');
// Whoever starts a CLI may have to wait for other test files that are starting one.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const say = (text: string) => ({ message: { role: 'user', content: [{ text }] } });

interface Outcome {
  readonly sessionId: string;
  readonly snapshotId: string;
}

describe('the Dev UI', () => {
  let cli: GenkitCli;
  beforeAll(async () => {
    cli = await startGenkitCli({ command: ['node', app], waitFor: '/agent/talker' });
  });
  afterAll(() => cli?.stop());

  it('lists the chat and its companions with their schemas', async () => {
    const actions = await cli.listActions();
    expect(actions['/agent/talker']).toMatchObject({
      name: 'talker',
      metadata: { bidi: true, agent: { stateManagement: 'server', abortable: true } },
      inputSchema: { properties: { message: {}, resume: {}, detach: {} } },
      outputSchema: { properties: { snapshotId: {}, finishReason: {}, error: {} } },
    });
    expect(actions['/agent-snapshot/talker']).toMatchObject({ inputSchema: { properties: { snapshotId: {} } } });
    expect(actions['/agent-abort/talker']).toMatchObject({ inputSchema: { required: ['snapshotId'] } });
  });

  it('runs one turn without an init', async () => {
    const { result } = await cli.runAction('/agent/talker', say('hello'));
    expect(result).toMatchObject({ finishReason: 'stop', message: { content: [{ text: 'you said hello' }] } });
  });

  it('holds a conversation, reads it back and traces it as an agent', async () => {
    const run = await cli.streamBidi('/agent/talker');
    await run.send(say('one'));
    expect(await run.next()).toMatchObject({ customPatch: [{ op: 'replace', path: '', value: { count: 1 } }] });
    expect(await run.next()).toMatchObject({ modelChunk: { content: [{ text: 'you said ' }] } });
    expect(await run.next()).toMatchObject({ modelChunk: { content: [{ text: 'one' }] } });
    expect(await run.next()).toMatchObject({ turnEnd: { finishReason: 'stop' } });
    await run.send(say('two'));
    await run.end();
    const { sessionId, snapshotId } = (await run.result) as Outcome;
    const { result } = await cli.runAction('/agent-snapshot/talker', { snapshotId });
    const { status, state } = result as { status: string; state: { messages: { content: { text: string }[] }[] } };
    expect([status, ...textsOf(state.messages)]).toEqual(['completed', 'one', 'you said one', 'two', 'you said two']);
    expect((await cli.runAction('/agent-abort/talker', { snapshotId })).result).toEqual({
      snapshotId,
      status: 'completed',
    });

    const { root } = await cli.trace(run.traceId, (trace) => trace.root.children.length === 2);
    expect(root).toMatchObject({
      name: 'talker',
      attributes: {
        'genkit:key': '/agent/talker',
        'genkit:metadata:subtype': 'agent',
        'genkit:metadata:agent:sessionId': sessionId,
      },
    });
    expect(root.children.map(({ name }) => name)).toEqual(['turn-1', 'turn-2']);
  });

  it('cancels a run', async () => {
    const run = await cli.streamBidi('/agent/talker', {});
    await run.send(say('one'));
    await run.next();
    await cli.cancel(run.traceId);
    expect(await run.result).toMatchObject({ finishReason: 'aborted' });
  });
});
