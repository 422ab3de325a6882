/** Saves that the store did not answer: it may have them all the same, and nothing may be lost or made twice. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { AgentFlowError, type LeaseLostError } from '../../src/errors.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { openTestSession, type TestSessionOptions } from '../support/sessions.js';
import { type StoreCall, UnsteadyStore } from '../support/unsteady-store.js';
import { errorOf } from '../support/waiting.js';

const Log = z.object({ entries: z.array(z.string()).default([]) });
type Log = z.infer<typeof Log>;

let memory: MemorySessionStore;
let store: UnsteadyStore;

beforeEach(() => {
  memory = new MemorySessionStore();
  store = new UnsteadyStore(memory);
});

async function open(options: TestSessionOptions = {}) {
  return (await openTestSession<Log>({ schema: Log, store, ...options })).session;
}

async function stored(): Promise<string[]> {
  const other = { store: new UnsteadyStore(memory), policy: 'takeover' } as const;
  return [...(await open(other)).state.entries];
}

function add(...entries: string[]) {
  return (draft: Log) => void draft.entries.push(...entries);
}

function lost(): never {
  throw new AgentFlowError('STORE_FAILED', 'the connection was lost');
}

/** The next save is made and not answered; then none of these calls gets through until the answer is called. */
function loseNextAnswer(...alsoLost: StoreCall[]): () => void {
  store.after = (call) => {
    if (call !== 'save') return;
    store.after = () => {};
    store.before = (next) => (alsoLost.includes(next) ? lost() : undefined);
    lost();
  };
  return () => {
    store.before = () => {};
  };
}

describe('a save whose answer was lost', () => {
  it('is found in the store, and has succeeded', async () => {
    const session = await open();
    loseNextAnswer();
    await session.updateState(add('a'));
    expect(session.state.entries).toEqual(['a']);
    expect(session.version).toBe(2);
    await session.updateState(add('b'));
    expect(await stored()).toEqual(['a', 'b']);
  });

  it.each(['load', 'renew'] as const)(
    'is found before the next update when the store is gone for a while (%s)',
    async (call) => {
      const session = await open();
      const comeBack = loseNextAnswer(call);
      expect(await errorOf(session.updateState(add('a')))).toMatchObject({ code: 'STORE_FAILED' });
      expect(session.state.entries).toEqual([]);
      expect(await errorOf(session.updateState(add('not yet')))).toMatchObject({ code: 'STORE_FAILED' });
      comeBack();
      let seen: string[] = [];
      await session.updateState((draft) => {
        seen = [...draft.entries];
        draft.entries.push('b');
      });
      expect(seen).toEqual(['a']);
      expect(session.state.entries).toEqual(['a', 'b']);
      expect(session.version).toBe(3);
      expect(await stored()).toEqual(['a', 'b']);
    },
  );

  it('keeps later updates in order, each as it was given', async () => {
    const session = await open();
    const comeBack = loseNextAnswer('load');
    expect(await errorOf(session.updateState(add('a')))).toMatchObject({ code: 'STORE_FAILED' });
    comeBack();
    const mine = { entries: ['a', 'b'] };
    const updates = [session.updateState(mine), session.updateState(add('c'))];
    mine.entries.push('changed by its owner');
    await Promise.all(updates);
    expect(await stored()).toEqual(['a', 'b', 'c']);
  });

  it('is found though the store refuses it as one that it has', async () => {
    const session = await open();
    const save = store.save.bind(store);
    store.save = async (lease, change) => {
      store.save = save;
      await save(lease, change);
      // A client that repeats what it had no answer to.
      await save(lease, change);
    };
    await session.updateState(add('a'));
    await session.updateState(add('b'));
    expect(await stored()).toEqual(['a', 'b']);
  });

  it('is found when it goes on from an older version, and the next is a change again', async () => {
    const before = await open();
    for (const entry of ['a', 'b', 'c']) await before.updateState(add(entry));
    await before.release();
    const session = await open({ version: 2, keepVersions: 3 });
    loseNextAnswer();
    await session.updateState(add('B'));
    expect(session.version).toBe(5);
    await session.updateState(add('C'));
    expect(await memory.load('a session')).toMatchObject({ head: 6, patches: [[{ value: 'C' }]] });
    expect(await stored()).toEqual(['a', 'B', 'C']);
  });

  it('is in the result of a run that could not tell before', async () => {
    const session = await open();
    const comeBack = loseNextAnswer('load');
    expect(await errorOf(session.updateState(add('a')))).toMatchObject({ code: 'STORE_FAILED' });
    comeBack();
    await session.end(new AgentFlowError('RUN_ENDED', 'over'));
    expect([session.state.entries, session.version]).toEqual([['a'], 2]);
    expect(await errorOf(session.updateState(add('b')))).toMatchObject({ code: 'RUN_ENDED' });
  });

  it('holds up no run that ends while the store is gone', async () => {
    const session = await open();
    loseNextAnswer('load');
    void session.updateState(add('a')).catch(() => {});
    await session.end(new AgentFlowError('RUN_ENDED', 'over'));
    expect(session.state.entries).toEqual([]);
  });

  it('leaves what it did not touch the same objects', async () => {
    const session = await open();
    await session.saveArtifact({ name: 'report', parts: [{ text: 'one' }] });
    await session.updateState(add('a'));
    const [{ entries }, artifacts] = [session.state, session.artifacts];
    loseNextAnswer();
    await session.saveArtifact({ name: 'other', parts: [] });
    expect(session.state.entries).toBe(entries);
    expect(artifacts.map(({ name }) => name)).toEqual(['report']);
    expect(session.artifacts.map(({ name }) => name)).toEqual(['report', 'other']);
    expect(Object.isFrozen(session.artifactVersions('other')[0]?.parts)).toBe(true);
  });

  it('is not taken for one of another writer', async () => {
    const lostTo: LeaseLostError[] = [];
    const session = await open({ onLost: (error) => lostTo.push(error) });
    store.before = (call) => (call === 'save' ? lost() : undefined);
    const theirs = { store: new UnsteadyStore(memory), policy: 'takeover' } as const;
    await (await open(theirs)).updateState(add('theirs'));
    expect(await errorOf(session.updateState(add('a')))).toMatchObject({ code: 'STORE_FAILED' });
    expect(lostTo).toMatchObject([{ code: 'LEASE_LOST' }]);
    store.before = () => {};
    expect(await errorOf(session.updateState(add('b')))).toMatchObject({ code: 'LEASE_LOST' });
    expect(session.state.entries).toEqual([]);
    expect(await stored()).toEqual(['theirs']);
  });

  it('keeps artifacts, too, once', async () => {
    const session = await open();
    const comeBack = loseNextAnswer('load');
    const report = { name: 'report', parts: [{ text: 'one' }] };
    expect(await errorOf(session.saveArtifact(report))).toMatchObject({ code: 'STORE_FAILED' });
    comeBack();
    await session.saveArtifact({ ...report, parts: [{ text: 'two' }] });
    expect(session.artifactVersions('report').map(({ parts }) => parts)).toEqual([
      [{ text: 'one' }],
      [{ text: 'two' }],
    ]);
  });
});

describe('a save that was not made', () => {
  it('is rejected, and the next update goes on from what was there before', async () => {
    const session = await open();
    store.before = (call) => (call === 'save' ? lost() : undefined);
    expect(await errorOf(session.updateState(add('a')))).toMatchObject({ code: 'STORE_FAILED' });
    store.before = () => {};
    await session.updateState(add('b'));
    expect(await stored()).toEqual(['b']);
  });

  it('is found when it is made late, after the store was asked', async () => {
    const session = await open();
    let makeIt = () => Promise.resolve();
    store.before = (call) => (call === 'save' ? lost() : undefined);
    const save = store.save.bind(store);
    store.save = (lease, change) => {
      makeIt = () => memory.save(lease, change);
      store.save = save;
      return save(lease, change);
    };
    expect(await errorOf(session.updateState(add('late')))).toMatchObject({ code: 'STORE_FAILED' });
    store.before = () => {};
    await makeIt();
    await session.updateState(add('b'));
    expect(session.state.entries).toEqual(['late', 'b']);
    expect(await stored()).toEqual(['late', 'b']);
  });

  it('is not taken for an earlier one that was made late', async () => {
    const session = await open();
    const save = store.save.bind(store);
    let makeFirst = () => Promise.resolve();
    store.save = async (lease, change) => {
      makeFirst = () => memory.save(lease, change);
      lost();
    };
    expect(await errorOf(session.updateState(add('first')))).toMatchObject({ code: 'STORE_FAILED' });
    store.save = async (lease, change) => {
      store.save = save;
      await makeFirst();
      await errorOf(memory.save(lease, change));
      lost();
    };
    expect(await errorOf(session.updateState(add('second')))).toMatchObject({ code: 'STORE_FAILED' });
    expect(session.state.entries).toEqual(['first']);
    await session.updateState(add('third'));
    expect(session.state.entries).toEqual(['first', 'third']);
    expect(await stored()).toEqual(['first', 'third']);
  });

  it('is not asked about when the store has refused it', async () => {
    const session = await open();
    const loads = store.count('load');
    await errorOf(session.updateState({ entries: [1] } as unknown as Log));
    const theirs = { store: new UnsteadyStore(memory), policy: 'takeover' } as const;
    await open(theirs);
    expect(await errorOf(session.updateState(add('a')))).toMatchObject({ code: 'LEASE_LOST' });
    expect(store.count('load')).toBe(loads);
  });
});

/** What becomes of a save, and of the question after it. */
const fate = fc.record({
  save: fc.constantFrom('answered', 'made', 'not made', 'made late'),
  lateSaves: fc.nat(2),
  ask: fc.constantFrom('answered', 'load lost', 'renew lost'),
});

it('whatever is lost, the session is what the store has: all that was acknowledged, nothing twice, in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fate, { maxLength: 12 }), async (fates) => {
      memory = new MemorySessionStore();
      store = new UnsteadyStore(memory);
      const session = await open();
      const save = store.save.bind(store);
      const late: (() => Promise<void>)[] = [];
      const acknowledged: string[] = [];
      for (const [index, { save: how, lateSaves, ask }] of fates.entries()) {
        store.save = async (lease, change) => {
          for (const make of late.splice(0, lateSaves)) await make().catch(() => {});
          const given = structuredClone(change);
          if (how === 'made late') late.push(() => memory.save(lease, given));
          if (how === 'answered' || how === 'made') await save(lease, change);
          if (how !== 'answered') lost();
        };
        store.before = (call) => (ask === `${call} lost` ? lost() : undefined);
        await session.updateState(add(String(index))).then(
          () => acknowledged.push(String(index)),
          () => {},
        );
      }
      store.save = save;
      store.before = () => {};
      for (const make of late) await make().catch(() => {});
      await session.end(new AgentFlowError('RUN_ENDED', 'over'));
      const { entries } = session.state;
      expect(await stored()).toEqual(entries);
      expect([...entries].sort((one, other) => Number(one) - Number(other))).toEqual(entries);
      expect(new Set(entries).size).toBe(entries.length);
      expect(entries).toEqual(expect.arrayContaining(acknowledged));
    }),
    { numRuns: 300 },
  );
});
