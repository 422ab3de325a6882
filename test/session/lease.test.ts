import { beforeEach, describe, expect, it } from 'vitest';
import { AgentFlowError, type LeaseLostError } from '../../src/errors.js';
import { type BusySessionPolicy, type HoldOptions, holdSession } from '../../src/session/lease.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { openTestSession } from '../support/sessions.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { errorOf, Gate, quiet, stateOf } from '../support/waiting.js';

const ttlMs = 15_000;

let clock: ManualClock;
let memory: MemorySessionStore;
let losses: [owner: string, error: LeaseLostError][];

beforeEach(() => {
  clock = new ManualClock();
  memory = new MemorySessionStore({ clock });
  losses = [];
});

function hold(store: UnsteadyStore, sessionId: string, owner: string, rest: Partial<HoldOptions> = {}) {
  const { signal } = new AbortController();
  const onLost = (error: LeaseLostError) => void losses.push([owner, error]);
  return holdSession(store, sessionId, { policy: 'queue', owner, clock, ttlMs, signal, onLost, ...rest });
}

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += ttlMs / 30) {
    clock.advance(ttlMs / 30);
    await quiet();
  }
}

const isHeld = async (sessionId: string) => {
  const lease = await memory.acquire(sessionId, { owner: 'a visitor', ttlMs });
  if (lease !== undefined) await memory.release(lease);
  return lease === undefined;
};

describe('a session that is held', () => {
  it('is held by one at a time, and free as soon as it is let go', async () => {
    const store = new UnsteadyStore(memory);
    const first = await hold(store, 's', 'one');
    const second = hold(store, 's', 'two');
    expect(await stateOf(second)).toBe('pending');
    await first.release();
    expect((await second).lease.owner).toBe('two');
    expect((await second).lease.fence).toBeGreaterThan(first.lease.fence);
    await (await second).release();
    expect(await isHeld('s')).toBe(false);
  });

  it('is renewed for as long as it is held, and not longer', async () => {
    const store = new UnsteadyStore(memory);
    const first = await hold(store, 's', 'one');
    await pass(ttlMs * 5);
    expect(await isHeld('s')).toBe(true);
    expect(losses).toEqual([]);
    await first.release();
    await pass(ttlMs);
    const renewals = store.count('renew');
    await pass(ttlMs * 5);
    expect(store.count('renew')).toBe(renewals);
  });

  it('is renewed though the renewal of another one hangs', async () => {
    const store = new UnsteadyStore(memory);
    await hold(store, 'stuck', 'one');
    const stuck = new Gate();
    store.before = (call) => {
      if (call !== 'renew') return undefined;
      store.before = () => {};
      return stuck.opened;
    };
    clock.advance(ttlMs / 3);
    await hold(store, 'other', 'two');
    await pass(ttlMs * 3);
    expect(await isHeld('other')).toBe(true);
    expect(losses).toEqual([]);
  });

  it('is renewed again when the store can be reached again', async () => {
    const store = new UnsteadyStore(memory);
    await hold(store, 's', 'one');
    store.before = (call) => {
      if (call === 'renew') throw new TypeError('unreachable');
    };
    await pass(ttlMs - 1_000);
    store.before = () => {};
    await pass(ttlMs * 3);
    expect(await isHeld('s')).toBe(true);
    expect(losses).toEqual([]);
  });

  it.each(['save', 'release'])('is let go by its lease, when a %s at its end is never answered', async (stuck) => {
    const store = new UnsteadyStore(memory);
    const options = { store, sessionId: 's', clock, leaseTtlMs: ttlMs };
    const { session } = await openTestSession<Record<string, unknown>>(options);
    const next = openTestSession({ ...options, policy: 'queue' });
    store.before = (call) => (call === stuck ? new Promise(() => {}) : undefined);
    void session.updateState({ last: 'words' });
    void session.end(new AgentFlowError('RUN_ENDED', 'over')).then(() => session.release());
    await quiet();
    expect(await isHeld('s')).toBe(true);
    await pass(ttlMs * 2 + ttlMs / 30);
    expect((await next).session.state).toEqual(stuck === 'save' ? {} : { last: 'words' });
  });

  it('is renewed for a while, when the last writes of its run take long', async () => {
    const store = new UnsteadyStore(memory);
    const first = await hold(store, 's', 'one');
    first.finish();
    await pass(ttlMs * 1.5);
    expect(await isHeld('s')).toBe(true);
    await first.release();
    expect(await isHeld('s')).toBe(false);
    const second = await hold(store, 's', 'two');
    await pass(ttlMs * 3);
    expect(losses).toEqual([]);
    expect(await stateOf(hold(store, 's', 'three'))).toBe('pending');
    await second.release();
  });

  it('is renewed while last writes are answered, however many there are', async () => {
    const store = new UnsteadyStore(memory);
    const options = { store, sessionId: 's', clock, leaseTtlMs: ttlMs };
    const { session } = await openTestSession<Record<string, unknown>>(options);
    const next = openTestSession({ ...options, store: new UnsteadyStore(memory) });
    store.before = (call) => (call === 'save' ? new Promise((done) => void clock.after(ttlMs * 0.6, done)) : undefined);
    const updates = [1, 2, 3, 4, 5, 6].map((last) => session.updateState({ last }));
    const over = session.end(new AgentFlowError('RUN_ENDED', 'over')).then(() => session.release());
    await pass(ttlMs * 4.5);
    await Promise.all([...updates, over]);
    expect((await next).session.state).toEqual({ last: 6 });
    expect(losses).toEqual([]);
  });

  it('is lost when another owner took it, told once', async () => {
    const store = new UnsteadyStore(memory);
    const first = await hold(store, 's', 'one');
    await memory.acquire('s', { owner: 'thief', ttlMs, takeover: true });
    await pass(ttlMs / 2);
    first.lose();
    expect(losses).toMatchObject([['one', { code: 'LEASE_LOST', sessionId: 's' }]]);
    await first.release();
    expect(store.count('release')).toBe(0);
    expect(await isHeld('s')).toBe(true);
  });
});

describe('waiting for a session', () => {
  it('ends with the signal, in the queue and at the store, and holds up nobody', async () => {
    const [here, there] = [new UnsteadyStore(memory), new UnsteadyStore(memory)];
    const first = await hold(here, 's', 'one');
    for (const store of [here, there]) {
      const controller = new AbortController();
      const waiting = hold(store, 's', 'two', { signal: controller.signal });
      await quiet();
      controller.abort('enough');
      expect(await errorOf(waiting)).toBe('enough');
      expect(await errorOf(hold(store, 's', 'three', { signal: controller.signal }))).toBe('enough');
    }
    await first.release();
    expect((await hold(there, 's', 'four')).lease.owner).toBe('four');
  });

  it('ends when a dead holder’s lease runs out, and not before', async () => {
    const [dead, alive] = [new UnsteadyStore(memory), new UnsteadyStore(memory)];
    await hold(dead, 's', 'one');
    dead.die();
    const waiting = hold(alive, 's', 'two');
    await pass(ttlMs - 1_000);
    expect(await stateOf(waiting)).toBe('pending');
    await pass(2_000);
    expect((await waiting).lease.owner).toBe('two');
  });

  it('goes on when whoever is first in line cannot have it', async () => {
    const store = new UnsteadyStore(memory);
    const first = await hold(store, 's', 'one');
    const broken = hold(store, 's', 'two');
    const waiting = hold(store, 's', 'three');
    await quiet();
    store.before = (call) => {
      if (call !== 'acquire') return;
      store.before = () => {};
      throw new TypeError('no luck');
    };
    await first.release();
    expect(await errorOf(broken)).toMatchObject({ code: 'STORE_FAILED', cause: expect.any(TypeError) });
    expect((await waiting).lease.owner).toBe('three');
  });

  it.each(['here', 'elsewhere'])('is not done under the policy reject, when it is held %s', async (where) => {
    const store = new UnsteadyStore(memory);
    await hold(where === 'here' ? store : new UnsteadyStore(memory), 's', 'one');
    const policy: BusySessionPolicy = 'reject';
    expect(await errorOf(hold(store, 's', 'two', { policy }))).toMatchObject({ code: 'SESSION_BUSY' });
  });
});

describe('a takeover', () => {
  it('also takes it from one that is only about to have it, who is told and gets nothing', async () => {
    const store = new UnsteadyStore(memory);
    const gate = new Gate();
    store.before = (call) => (call === 'acquire' ? gate.opened : undefined);
    const controller = new AbortController();
    const onLost = (error: LeaseLostError) => {
      losses.push(['one', error]);
      controller.abort(error);
    };
    const first = hold(store, 's', 'one', { signal: controller.signal, onLost });
    const second = hold(store, 's', 'two', { policy: 'takeover' });
    gate.open();
    const { lease } = await second;
    expect(losses).toHaveLength(1);
    const [fate] = await Promise.allSettled([first]);
    if (fate?.status === 'fulfilled') expect(fate.value.lease.fence).toBeLessThan(lease.fence);
    const change = { kind: 'checkpoint', record: {} } as const;
    await memory.save(lease, { expectedVersion: 0, change });
  });

  it('of one that the store has not answered yet waits for that answer, and gets the session', async () => {
    const store = new UnsteadyStore(memory);
    const gate = new Gate();
    store.before = () => (store.count('acquire') === 1 ? gate.opened : undefined);
    const first = hold(store, 's', 'one', { policy: 'takeover' });
    const [second, third] = ['two', 'three'].map((owner) => hold(store, 's', owner, { policy: 'takeover' }));
    const ends = Promise.all([errorOf(first), second && errorOf(second)]);
    await quiet();
    expect(losses.map(([owner]) => owner)).toEqual(['one', 'two']);
    // Had the others been quicker, it would now take from them what it may not have.
    gate.open();
    expect(await ends).toMatchObject([{ code: 'LEASE_LOST' }, { code: 'LEASE_LOST' }]);
    const held = await third;
    expect(held && (await memory.renew(held.lease, ttlMs))).toBe(true);
    await held?.release();
    expect(await isHeld('s')).toBe(false);
  });

  it('takes nothing from anybody when its signal has fired before', async () => {
    const store = new UnsteadyStore(memory);
    await hold(store, 's', 'one');
    const signal = AbortSignal.abort('early');
    expect(await errorOf(hold(store, 's', 'two', { policy: 'takeover', signal }))).toBe('early');
    expect(losses).toEqual([]);
    expect(await isHeld('s')).toBe(true);
  });

  it('that is given up once it has put the holder out leaves the session free, not with whom it has put out', async () => {
    const store = new UnsteadyStore(memory);
    const thief = new AbortController();
    const first = await hold(store, 's', 'one', { onLost: () => thief.abort('given up') });
    const second = await hold(store, 's', 'two', { policy: 'takeover', signal: thief.signal });
    expect(thief.signal.aborted).toBe(true);
    await first.release();
    await second.release();
    expect(await isHeld('s')).toBe(false);
  });

  it('goes ahead of those who wait, who come after it', async () => {
    const store = new UnsteadyStore(memory);
    await hold(store, 's', 'one');
    const waiting = hold(store, 's', 'two');
    const thief = await hold(store, 's', 'three', { policy: 'takeover' });
    expect(losses.map(([owner]) => owner)).toEqual(['one']);
    expect(await stateOf(waiting)).toBe('pending');
    await thief.release();
    expect((await waiting).lease.owner).toBe('two');
  });
});

it('hostile ids are ids like all others', async () => {
  const store = new UnsteadyStore(memory);
  const ids = ['__proto__', 'constructor', '', '\u0000', '../..'];
  const holds = await Promise.all(ids.map((id) => hold(store, id, 'one')));
  for (const id of ids) expect(await isHeld(id)).toBe(true);
  for (const held of holds) await held.release();
  for (const id of ids) expect(await isHeld(id)).toBe(false);
});
