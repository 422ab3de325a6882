/** A store of ours under Genkit's own agents: processes, tenants, what it costs and what is left; and the agents themselves. */
import type { SessionStore as GenkitSessionStore, SessionSnapshotInput } from 'genkit/beta';
import { genkit, InMemorySessionStore, z } from 'genkit/beta';
import { describe, expect, test, vi } from 'vitest';
import { type SessionStore, toGenkitStore } from '../../src/index.js';
import { Deferred } from '../../src/internal/deferred.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { converse, say, textsOf } from '../support/chat.js';
import { message, save, snapshot, twoTurns } from '../support/genkit-snapshots.js';
import { UnsteadyStore } from '../support/unsteady-store.js';

describe('two processes', () => {
  test('see each other’s saves at once, and one line of history holds between them', async () => {
    const file = new SqliteSessionStore({ path: ':memory:' });
    const [one, two] = [toGenkitStore(file), toGenkitStore(file)];
    await twoTurns(one);
    await save(two, 'c', snapshot(3, { parentId: 'b' }));
    await expect(save(one, 'd', snapshot(4, { parentId: 'b' }))).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
    await save(one, 'd', snapshot(4, { parentId: 'c', status: 'pending' }));
    await two.saveSnapshot('d', (current) => ({ ...snapshot(4), ...current, status: 'aborted' }));
    const done = await one.saveSnapshot('d', (current) =>
      current?.status === 'aborted' ? null : (snapshot(5) as SessionSnapshotInput),
    );
    expect([done, (await one.getSnapshot({ snapshotId: 'd' }))?.status]).toEqual([null, 'aborted']);
  });

  test('and branches are meant in either of them', async () => {
    const file = new SqliteSessionStore({ path: ':memory:' });
    const [one, two] = [toGenkitStore(file), toGenkitStore(file)];
    await twoTurns(one);
    await save(two, 'c', snapshot(3, { parentId: 'b' }));
    await one.getSnapshot({ snapshotId: 'b' });
    await save(one, 'd', snapshot(4, { parentId: 'b' }));
    await save(two, 'e', snapshot(5, { parentId: 'a' }));
    expect((await one.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('e');
  });

  test('a snapshot that is watched is told at once here, and at the next look from there', async () => {
    const clock = new ManualClock();
    const shared = new MemorySessionStore();
    const [here, there] = [toGenkitStore(shared, { clock, pollMs: 100 }), toGenkitStore(shared)];
    await save(here, 'a', snapshot(1, { status: 'pending' }));
    const told: unknown[] = [];
    let next = new Deferred<void>();
    const stop = here.onSnapshotStateChange?.('a', ({ status }) => {
      told.push(status);
      next.resolve();
      throw new RangeError('a watcher that throws disturbs nobody');
    });
    await next.promise;
    await save(here, 'a', snapshot(1, { status: 'failed' }));
    expect(told).toEqual(['pending', 'failed']);
    next = new Deferred<void>();
    await save(there, 'a', snapshot(1, { status: 'aborted' }));
    clock.advance(100);
    await next.promise;
    stop?.();
    await save(here, 'a', snapshot(1, { status: 'completed' }));
    clock.advance(1_000);
    expect(told).toEqual(['pending', 'failed', 'aborted']);
  });
});

test('the first snapshot of a session is found by its id, even if somebody looked for it while it was being made', async () => {
  const inner = new UnsteadyStore(new MemorySessionStore());
  const store = toGenkitStore(inner);
  let looked: unknown = 'not yet';
  inner.before = async (call) => {
    if (call === 'save') looked = await store.getSnapshot({ snapshotId: 'a' });
  };
  await save(store, 'a', snapshot(1));
  expect(looked).toBeUndefined();
  expect((await store.getSnapshot({ snapshotId: 'a' }))?.state?.custom).toEqual({ n: 1 });
});

test('saves of one session are answered in their order, from the first one on', async () => {
  const store = toGenkitStore(new MemorySessionStore());
  const answered: string[] = [];
  const first = save(store, 'a', snapshot(1)).then(() => answered.push('a'));
  const later = save(store, 'b', snapshot(2, { parentId: 'a' })).then(() => answered.push('b'));
  await Promise.all([first, later]);
  expect(answered).toEqual(['a', 'b']);
});

test('saves are answered and told in their order, however long it takes to forget what retention drops, or if it fails', async () => {
  const store = toGenkitStore(new MemorySessionStore(), { keepVersions: 1, clock: new ManualClock() });
  await save(store, 'a', snapshot(1));
  const [told, answered]: [unknown[], number[]] = [[], []];
  const stop = store.onSnapshotStateChange?.('b', ({ state }) => told.push(state?.messages?.length));
  const [forgetting, forgotten] = [new Deferred<void>(), new Deferred<boolean>()];
  const forget = vi.spyOn(MemorySessionStore.prototype, 'delete').mockImplementationOnce(() => {
    forgetting.resolve();
    return forgotten.promise;
  });
  const messages = ['one', 'two', 'three'].map(message);
  const say = async (count: number) => {
    await save(store, 'b', snapshot(2, { parentId: 'a', state: { messages: messages.slice(0, count) } }));
    answered.push(count);
  };
  await say(1);
  const second = say(2);
  await forgetting.promise;
  const third = say(3);
  await new Promise(setImmediate);
  forgotten.reject(new Error('cannot'));
  await Promise.all([second, third]);
  stop?.();
  forget.mockRestore();
  expect([told, answered]).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
});

describe('tenants', () => {
  test('see and write their own only, under the same ids', async () => {
    const store = toGenkitStore(new MemorySessionStore(), {
      tenant: ({ auth }) => (auth as { uid?: string } | undefined)?.uid,
    });
    const of = (uid: string) => ({ context: { auth: { uid } } });
    for (const [n, uid] of ['alice', 'bob', '', '["genkitx-agent"]'].entries()) {
      await store.saveSnapshot('a', () => snapshot(n) as SessionSnapshotInput, of(uid));
      await store.saveSnapshot(uid, () => snapshot(n, { parentId: 'a' }) as SessionSnapshotInput, of(uid));
    }
    await save(store, 'nobody', snapshot(9));
    for (const [n, uid] of ['alice', 'bob'].entries()) {
      expect((await store.getSnapshot({ sessionId: 'session', ...of(uid) }))?.state?.custom).toEqual({ n });
      expect(await store.getSnapshot({ snapshotId: uid === 'bob' ? 'alice' : 'bob', ...of(uid) })).toBeUndefined();
    }
    expect(await store.getSnapshot({ snapshotId: 'a' })).toBeUndefined();
  });
});

describe('what is kept', () => {
  /** Adds up what is written. */
  function counting(store: SessionStore) {
    const written = { characters: 0 };
    const count = (part: SessionStore): SessionStore =>
      new Proxy(part, {
        get(target, key) {
          if (key === 'forTenant') return (tenant: string) => count(target.forTenant(tenant));
          const member = Reflect.get(target, key);
          if (typeof member !== 'function') return member;
          return (...args: unknown[]) => {
            if (key === 'save') written.characters += JSON.stringify(args[1]).length;
            return member.apply(target, args);
          };
        },
      });
    return { store: count(store), written };
  }

  async function talk(store: GenkitSessionStore, turns: number): Promise<void> {
    const messages: ReturnType<typeof message>[] = [];
    for (let turn = 0; turn < turns; turn++) {
      messages.push(message(`question ${turn}`), message('x'.repeat(100)));
      const state = { messages: structuredClone(messages), custom: { n: turn } };
      await save(store, `t${turn}`, snapshot(turn, { state, ...(turn > 0 && { parentId: `t${turn - 1}` }) }));
    }
  }

  test('a conversation of n turns costs what its turns cost, not n times its length', async () => {
    const cost = async (turns: number) => {
      const { store, written } = counting(new MemorySessionStore());
      await talk(toGenkitStore(store), turns);
      return written.characters;
    };
    expect((await cost(200)) / (await cost(100))).toBeLessThan(2.5);
  });

  test('retention drops the oldest snapshots and every trace of them; the newest always loads', async () => {
    const own = new MemorySessionStore();
    const store = toGenkitStore(own, { keepVersions: 3 });
    for (let turn = 0; turn < 12; turn++) {
      // A state that is another every time makes every version whole, so nothing older is needed.
      const state = { custom: { n: turn, blob: String(turn).repeat(9_000) } };
      await save(store, `t${turn}`, snapshot(turn, { state, ...(turn > 0 && { parentId: `t${turn - 1}` }) }));
      expect((await store.getSnapshot({ sessionId: 'session' }))?.state?.custom).toMatchObject({ n: turn });
    }
    for (const kept of [9, 10, 11])
      expect((await store.getSnapshot({ snapshotId: `t${kept}` }))?.state?.custom).toMatchObject({ n: kept });
    expect(await store.getSnapshot({ snapshotId: 't0' })).toBeUndefined();
    const index = own.forTenant('genkitx-agent').forTenant('snapshots');
    expect((await index.list()).sessions.map(({ id }) => id)).toEqual(['t9', 't10', 't11']);
  });

  test('a deleted session takes its snapshots with it', async () => {
    const own = new MemorySessionStore();
    const store = toGenkitStore(own);
    await twoTurns(store);
    await own.delete('session');
    for (const snapshotId of ['a', 'b']) expect(await store.getSnapshot({ snapshotId })).toBeUndefined();
    expect((await own.forTenant('genkitx-agent').forTenant('snapshots').list()).sessions).toEqual([]);
    await save(store, 'c', snapshot(3));
    expect((await store.getSnapshot({ sessionId: 'session' }))?.snapshotId).toBe('c');
  });

  test('any text may be an id', async () => {
    const store = toGenkitStore(new MemorySessionStore());
    const ids = ['../../etc/passwd', '\0', '__proto__', 's:a', '1', 'a/b~c', '\ud800', 'x'.repeat(100_000)];
    for (const id of ids) {
      const sessionId = `${id} session`;
      await save(store, id, { ...snapshot(1), sessionId });
      await save(store, `${id} 2`, { ...snapshot(2), sessionId, parentId: id });
    }
    for (const id of ids) {
      expect((await store.getSnapshot({ snapshotId: id }))?.state?.custom).toEqual({ n: 1 });
      expect((await store.getSnapshot({ sessionId: `${id} session` }))?.snapshotId === `${id} 2`).toBe(true);
    }
  });

  test('what is not JSON is refused, and what an agent of ours has made is none of Genkit’s', async () => {
    const own = new MemorySessionStore();
    const store = toGenkitStore(own);
    await expect(save(store, 'a', snapshot(1n as never))).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    expect(await store.getSnapshot({ sessionId: 'session' })).toBeUndefined();
    const lease = (await own.acquire('ours', { owner: 'run', ttlMs: 1_000 })) ?? expect.fail();
    await own.save(lease, { expectedVersion: 0, change: { kind: 'checkpoint', record: { state: {}, artifacts: [] } } });
    await expect(store.getSnapshot({ sessionId: 'ours' })).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
  });

  test('an option that cannot work is refused at once', () => {
    for (const options of [{ pollMs: 0 }, { leaseTtlMs: 1.5 }, { keepVersions: -1 }]) {
      expect(() => toGenkitStore(new MemorySessionStore(), options)).toThrow(/a whole number of at least 1/);
    }
    const misspelt = { onBranch: 'allow' } as never;
    expect(() => toGenkitStore(new MemorySessionStore(), misspelt)).toThrow(/"onBranch" expected one of refuse, keep/);
    const genkitsOwn = new InMemorySessionStore() as never;
    expect(() => toGenkitStore(genkitsOwn)).toThrow(/"store" expected a SessionStore/);
  });
});

describe('Genkit’s own agents', () => {
  /** Remembers what it hears, counts, and does as it is told. */
  function listener(store: GenkitSessionStore<{ n: number }>) {
    const gate = new Deferred<void>();
    const config = { name: 'listener', stateSchema: z.object({ n: z.number() }), store };
    const agent = genkit({}).defineCustomAgent(config, async (session, { abortSignal, sendChunk }) => {
      await session.run(async ({ message: heard }) => {
        const text = heard?.content[0]?.text;
        session.updateCustom((custom) => ({ n: (custom?.n ?? 0) + 1 }));
        if (text === 'fail') throw new RangeError('as asked');
        if (text === 'wait')
          await Promise.race([gate.promise, new Promise((stop) => abortSignal?.addEventListener('abort', stop))]);
        sendChunk({ modelChunk: { content: [{ text: `heard ${text}` }] } });
        return { finishReason: 'stop' };
      });
      return { message: { role: 'model', content: [{ text: 'done' }] } };
    });
    return { agent, open: () => gate.resolve() };
  }

  test('keep their conversations in it, over a turn that fails too', async () => {
    const { agent } = listener(toGenkitStore(new SqliteSessionStore({ path: ':memory:' })));
    const chat = agent.chat({ sessionId: 'mine' });
    await chat.send('one');
    await expect(chat.send('fail')).rejects.toMatchObject({ message: 'as asked' });
    await chat.send('two');
    expect(chat.state).toEqual({ n: 2 });
    const again = await agent.loadChat({ sessionId: 'mine' });
    expect([again.state, textsOf(again.messages)]).toEqual([{ n: 2 }, ['one', 'two']]);
  });

  const sayings = ['a', 'b', 'c', 'd'];

  test.each(['session', 'snapshot'])(
    'lose none of four turns at once on a %s: those too late are refused',
    async (by) => {
      const file = new SqliteSessionStore({ path: ':memory:' });
      const [{ agent }, there] = [listener(toGenkitStore(file)), listener(toGenkitStore(file))];
      const { output } = await converse(agent, ['root']);
      const { sessionId, snapshotId } = output;
      const init = by === 'session' ? { sessionId } : { snapshotId };
      const turns = sayings.map((saying, n) => converse(n < 2 ? agent : there.agent, [saying], init));
      const outcomes = await Promise.allSettled(turns);
      const saved = sayings.filter((_, turn) => outcomes[turn]?.status === 'fulfilled');
      expect(saved).not.toHaveLength(0);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ status: 'ABORTED' });
      }
      const newest = await agent.getSnapshotData({ sessionId });
      expect(textsOf(newest?.state?.messages).sort()).toEqual([...saved, 'root']);
    },
  );

  test('may have an answer made again: both stay, and the session goes on from the newer', async () => {
    const { agent } = listener(toGenkitStore(new MemorySessionStore()));
    const chat = agent.chat({ sessionId: 'mine' });
    await chat.send('one');
    const { snapshotId } = (await agent.getSnapshot({ sessionId: 'mine' })) ?? expect.fail();
    await chat.send('two');
    const old = (await agent.getSnapshot({ sessionId: 'mine' })) ?? expect.fail();
    await converse(agent, ['two, again'], { snapshotId });
    await agent.run(say('three'), { init: { sessionId: 'mine' } });
    const newest = await agent.getSnapshot({ sessionId: 'mine' });
    expect(textsOf(newest?.state?.messages)).toEqual(['one', 'two, again', 'three']);
    const kept = await agent.getSnapshot({ snapshotId: old.snapshotId });
    expect(textsOf(kept?.state?.messages)).toEqual(['one', 'two']);
  });

  test('keep the place of a turn in the background', async () => {
    const { agent, open } = listener(toGenkitStore(new MemorySessionStore()));
    const chat = agent.chat({ sessionId: 'mine' });
    await chat.send('one');
    const task = await chat.detach('wait');
    await expect(converse(agent, ['two'], { sessionId: 'mine' })).rejects.toMatchObject({ status: 'ABORTED' });
    open();
    expect((await task.wait({ intervalMs: 1 })).status).toBe('completed');
    await converse(agent, ['two'], { sessionId: 'mine' });
    const newest = await agent.getSnapshot({ sessionId: 'mine' });
    expect(textsOf(newest?.state?.messages)).toEqual(['one', 'wait', 'two']);
  });

  test('work in the background, and can be aborted from another process', async () => {
    const file = new SqliteSessionStore({ path: ':memory:' });
    const clock = new ManualClock(Date.now());
    const [here, there] = [listener(toGenkitStore(file, { clock })), listener(toGenkitStore(file))];
    const finished = await here.agent.chat().detach('one');
    expect((await finished.wait({ intervalMs: 1 })).status).toBe('completed');
    const task = await here.agent.chat().detach('wait');
    expect(await there.agent.abort(task.snapshotId)).toBe('pending');
    clock.advance(2_000);
    expect((await task.wait({ intervalMs: 1 })).status).toBe('aborted');
    here.open();
  });

  test('take a session up again in another process', async () => {
    const file = new SqliteSessionStore({ path: ':memory:' });
    const [here, there] = [listener(toGenkitStore(file)), listener(toGenkitStore(file))];
    await here.agent.run(say('one'), { init: { sessionId: 'mine' } });
    await there.agent.run(say('two'), { init: { sessionId: 'mine' } });
    await here.agent.run(say('three'), { init: { sessionId: 'mine' } });
    expect((await there.agent.getSnapshot({ sessionId: 'mine' }))?.state?.custom).toEqual({ n: 3 });
  });
});
