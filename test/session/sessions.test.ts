import { beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from '../../schemas/zod.js';
import { isPassingOwner } from '../../src/session/passing-owner.js';
import type { SessionStore } from '../../src/session/store.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testAgent } from '../support/agents.js';
import { errorOf } from '../support/waiting.js';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let clock: ManualClock;
let store: MemorySessionStore;

beforeEach(() => {
  clock = new ManualClock(Date.UTC(2026, 0, 1));
  store = new MemorySessionStore({ clock });
});

function agentOn(sessions: SessionStore = store) {
  return testAgent(
    {
      inputSchema: z.string(),
      stateSchema: z.object({ log: z.array(z.string()).default([]) }),
      clock,
      store: sessions,
    },
    async ({ session, turns }) => {
      await turns(async (input) => {
        clock.advance(1_000);
        await session.saveArtifact({ name: 'last', parts: [{ text: input }] });
        await session.updateState((draft) => {
          draft.log.push(input);
        });
      });
      return { output: null };
    },
  );
}

async function talk(agent: ReturnType<typeof agentOn>, sessionId: string, ...inputs: string[]) {
  const conn = agent.open({ sessionId });
  for (const input of inputs) void conn.send(input);
  conn.close();
  return conn.output();
}

describe('get', () => {
  it('shows the newest version or an old one, without holding the session', async () => {
    const agent = agentOn();
    await talk(agent, 's', 'a', 'b');
    const conn = agent.open({ sessionId: 's' });
    expect(await agent.sessions.get('s')).toEqual({
      id: 's',
      version: 5,
      state: { log: ['a', 'b'] },
      artifacts: [{ name: 'last', parts: [{ text: 'b' }] }],
      parent: undefined,
      createdAt: '2026-01-01T00:00:00.000Z',
      updatedAt: '2026-01-01T00:00:02.000Z',
    });
    expect(await agent.sessions.get('s', { version: 3 })).toMatchObject({ version: 3, state: { log: ['a'] } });
    expect(await agent.sessions.get('s', { version: 1 })).toMatchObject({ state: { log: [] }, artifacts: [] });
    conn.close();
    await conn.output();
  });

  it('knows what it does not know', async () => {
    const agent = agentOn();
    await talk(agent, 's', 'a');
    expect(await agent.sessions.get('none')).toBeUndefined();
    expect(await errorOf(agent.sessions.get('s', { version: 9 }))).toMatchObject({ code: 'VERSION_NOT_FOUND' });
    expect(await errorOf(agent.sessions.get('none', { version: 1 }))).toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  it('takes no text for a version, whatever the store would make of it', async () => {
    const agent = agentOn();
    await talk(agent, 's', 'a');
    for (const version of ['1', null] as unknown[]) {
      const options = { version } as { version: number };
      const refusal = { code: 'INVALID_VALUE', issues: [{ path: 'version', expected: 'a number' }] };
      expect(await errorOf(agent.sessions.get('s', options))).toMatchObject(refusal);
      expect(await errorOf(agent.sessions.fork('s', options))).toMatchObject(refusal);
    }
  });

  it('reads with the schema of today', async () => {
    await talk(agentOn(), 's', 'a');
    const strict = testAgent({ stateSchema: z.object({ n: z.number() }), store }, async () => ({ output: null }));
    expect(await errorOf(strict.sessions.get('s'))).toMatchObject({ code: 'STORED_STATE_INVALID' });
    const migrate = () => ({ n: 1 });
    const today = testAgent({ stateSchema: z.object({ n: z.number() }), store, migrate }, async () => ({
      output: null,
    }));
    expect((await today.sessions.get('s'))?.state).toEqual({ n: 1 });
  });
});

describe('fork', () => {
  it('makes a new session from a version; it remembers its parent, and they go their ways', async () => {
    const agent = agentOn();
    await talk(agent, 's', 'a', 'b', 'c');
    const id = await agent.sessions.fork('s', { version: 3 });
    expect(id).toMatch(uuid);
    expect(await agent.sessions.get(id)).toMatchObject({ version: 1, parent: { sessionId: 's', version: 3 } });
    await talk(agent, id, 'x');
    expect((await agent.sessions.get(id))?.state.log).toEqual(['a', 'x']);
    expect((await agent.sessions.get('s'))?.state.log).toEqual(['a', 'b', 'c']);
    const grandchild = await agent.sessions.fork(id, { sessionId: 'mine' });
    expect(grandchild).toBe('mine');
    expect((await agent.sessions.get('mine'))?.parent).toEqual({ sessionId: id, version: 3 });
    expect((await talk(agent, 'mine', 'y')).state.log).toEqual(['a', 'x', 'y']);
  });

  it('holds the new session as nobody that could be taken for a run', async () => {
    const agent = agentOn();
    await talk(agent, 's', 'a');
    const acquire = vi.spyOn(store, 'acquire');
    await agent.sessions.fork('s');
    expect(acquire.mock.calls.map(([, { owner }]) => isPassingOwner(owner))).toEqual([true]);
  });

  it('takes the artifacts with all their history', async () => {
    const agent = agentOn();
    await talk(agent, 's', 'a', 'b');
    const id = await agent.sessions.fork('s');
    const seen: unknown[] = [];
    const reader = testAgent({ store }, async ({ session }) => {
      seen.push(session.artifactVersions('last'), session.parent);
      return { output: null };
    });
    await reader.open({ sessionId: id }).output();
    expect(seen).toEqual([
      [
        { name: 'last', parts: [{ text: 'a' }] },
        { name: 'last', parts: [{ text: 'b' }] },
      ],
      { sessionId: 's', version: 5 },
    ]);
  });

  it('does not wait for the run that has the old one open', async () => {
    const agent = agentOn();
    const conn = agent.open({ sessionId: 's' });
    await conn.send('a');
    await conn.send('b');
    const id = await agent.sessions.fork('s');
    expect((await agent.sessions.get(id))?.state.log).toEqual(['a']);
    conn.close();
    expect((await conn.output()).state.log).toEqual(['a', 'b']);
  });

  it('refuses an id that is taken, used or not, and what there is not', async () => {
    const agent = agentOn();
    await talk(agent, 's', 'a');
    await talk(agent, 'idle', 'a');
    const open = agent.open({ sessionId: 'busy' });
    await open.send('a');
    for (const sessionId of ['s', 'idle', 'busy']) {
      expect(await errorOf(agent.sessions.fork('s', { sessionId }))).toMatchObject({
        code: 'SESSION_EXISTS',
        status: 'ALREADY_EXISTS',
      });
    }
    open.close();
    await open.output();
    expect(await errorOf(agent.sessions.fork('none'))).toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(await errorOf(agent.sessions.fork('s', { version: 8 }))).toMatchObject({ code: 'VERSION_NOT_FOUND' });
    expect(await errorOf(agent.sessions.fork('s', { sessionId: '' }))).toMatchObject({ kind: 'id' });
    expect((await agent.sessions.list()).sessions).toHaveLength(3);
  });

  it('many at once under one id: one makes it, the others are told', async () => {
    const agent = agentOn();
    await talk(agent, 's', 'a');
    const forks = await Promise.allSettled(
      Array.from({ length: 10 }, () => agent.sessions.fork('s', { sessionId: 'one' })),
    );
    expect(forks.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const fork of forks.filter(({ status }) => status === 'rejected')) {
      expect(['SESSION_EXISTS', 'SESSION_BUSY']).toContain((fork as { reason: { code: string } }).reason.code);
    }
  });
});

describe('list and delete', () => {
  it('pages in the order of creation', async () => {
    const agent = agentOn();
    const ids = Array.from({ length: 7 }, (_, index) => `s${index}`);
    for (const id of ids) await talk(agent, id, 'a');
    const listed: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await agent.sessions.list({ limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      listed.push(...page.sessions.map(({ id }) => id));
      cursor = page.next;
    } while (cursor !== undefined);
    expect(listed).toEqual(ids);
  });

  it('erases every trace', async () => {
    const agent = agentOn();
    await talk(agent, 's', 'a');
    expect(await agent.sessions.delete('s')).toBe(true);
    expect(await agent.sessions.delete('s')).toBe(false);
    expect(await agent.sessions.get('s')).toBeUndefined();
    expect((await agent.sessions.list()).sessions).toEqual([]);
    expect((await talk(agent, 's', 'new')).state.log).toEqual(['new']);
  });
});

describe('tenants', () => {
  it('see, fork and delete nothing of each other', async () => {
    const [one, two] = [agentOn(store.forTenant('one')), agentOn(store.forTenant('two'))];
    await talk(one, 's', 'mine');
    expect(await two.sessions.get('s')).toBeUndefined();
    expect(await errorOf(two.sessions.fork('s'))).toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(await two.sessions.delete('s')).toBe(false);
    expect((await two.sessions.list()).sessions).toEqual([]);
    const held = one.open({ sessionId: 's' });
    await held.send('still mine');
    expect((await talk(two, 's', 'theirs')).state.log).toEqual(['theirs']);
    held.close();
    expect((await held.output()).state.log).toEqual(['mine', 'still mine']);
    expect((await agentOn().sessions.list()).sessions).toEqual([]);
  });
});

describe('without a store', () => {
  it('every method rejects with NO_STORE', async () => {
    const none = testAgent({}, async () => ({ output: null })).sessions;
    for (const call of [() => none.get('s'), () => none.list(), () => none.fork('s'), () => none.delete('s')]) {
      const answer = call();
      expect(await errorOf(answer)).toMatchObject({ code: 'NO_STORE', status: 'FAILED_PRECONDITION' });
    }
  });
});
