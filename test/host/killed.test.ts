/** A process that dies between any two writes: what it was told is kept, and nothing of it happens to the state twice. */
import { describe, expect, it } from 'vitest';
import { type HostStore, noreply, proceed, prompt } from '../../src/host/host.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { harness, type Log, logged, settled } from './harness.js';

/** A store whose process dies when it has written so often: nothing is ever answered again. */
function mortal(store: HostStore, life: { left: number }): HostStore {
  const isDead = () => life.left < 0;
  return new Proxy(store, {
    get(target, name) {
      const own: unknown = Reflect.get(target, name, target);
      if (typeof own !== 'function') return own;
      if (name === 'forTenant') return (tenant: string) => mortal(target.forTenant(tenant), life);
      return async (...args: unknown[]) => {
        if (name === 'save') life.left -= 1;
        return isDead() ? new Promise<never>(() => {}) : own.apply(target, args);
      };
    },
  });
}

/** Every callback writes a line; between any two of them somebody else may make the host write. */
const writer = {
  preTurn: async (text: unknown, state: Log) => {
    await settled();
    return proceed(String(text), logged(state, `asks ${text}`));
  },
  handleResponse: async (_ref: string, { text }: { readonly text: string }, state: Log) => {
    await settled();
    const next = logged(state, `response ${text}`);
    return text === 'one' ? prompt('and', next) : noreply(next);
  },
  postTurn: async (_outcome: unknown, _ref: string, state: Log) => {
    await settled();
    return logged(state, `${state.log.filter((line) => line.startsWith('response')).length} are over`);
  },
  handleEvent: async (event: unknown, state: Log) => {
    await settled();
    return prompt(`of ${event}`, logged(state, `event ${event}`));
  },
};

const turns = (asked: { readonly text: string }) => settled().then(() => asked.text);

describe('a process that dies after any of its writes', () => {
  it('loses nothing it was told, and does nothing to the state twice', async () => {
    let hasEnded = false;
    for (let writes = 2; !hasEnded; writes++) {
      const store = new MemorySessionStore();
      const life = { left: writes };
      const first = harness({ store: mortal(store, life) });
      const told: string[] = [];
      const done = (promise: Promise<unknown>, line: string) => void promise.then(() => told.push(line));
      await first.start(writer, {}, turns, turns, turns, turns, turns);
      done(first.host.tell('a', 'one'), 'response one');
      await settled();
      done(first.host.notify('a', 'x'), 'event x');
      for (let round = 0; round < 3; round++) await settled();
      done(first.host.tell('a', 'two'), 'response two');
      done(first.host.notify('a', 'y'), 'event y');
      for (let round = 0; round < 40; round++) await settled();
      hasEnded = life.left >= 0;

      const second = harness({ store });
      await second.start(writer, {}, turns, turns, turns, turns, turns);
      for (let round = 0; round < 40; round++) await settled();
      const log = await second.log();
      expect(new Set(log).size, `after ${writes} writes: ${log}`).toBe(log.length);
      const due = told.flatMap((line) => {
        const [, event] = /^event (.*)$/.exec(line) ?? [];
        if (line === 'response one') return [line, 'response and'];
        return event === undefined ? [line] : [line, `response of ${event}`];
      });
      expect(log).toEqual(expect.arrayContaining(due));
      await second.host.close();
    }
  });

  it('has not forgotten a resume that it had confirmed while the turn that halts was ending', async () => {
    const store = new MemorySessionStore();
    const life = { left: Number.POSITIVE_INFINITY };
    const first = harness({ store: mortal(store, life) });
    let resumed: Promise<void> | undefined;
    const postTurn = async (_outcome: unknown, _ref: string, state: Log) => {
      resumed = first.host.resume('a');
      await resumed;
      return state;
    };
    const handleResponse = (_ref: string, _response: unknown, state: Log) => ({ decision: 'halt', state }) as const;
    await first.start({ handleResponse, postTurn }, {}, 'done');
    await first.host.ask('a', 'go');
    await resumed;
    life.left = 0;

    const second = harness({ store });
    await second.start();
    expect(await second.host.status('a')).toMatchObject({ halted: false });
  });
});

describe('a request that is taken out of the queue', () => {
  it('is pending until the store has that, so that no crash takes back what was told', async () => {
    const { start, host } = harness({ store: new MemorySessionStore() });
    await start();
    await host.halt('a');
    const ref = await host.tell('a', 'go');
    const cancelled = host.cancel('a', ref);
    expect(await host.poll('a', ref)).toEqual({ status: 'pending' });
    const waiting = host.await('a', ref);
    await cancelled;
    expect(await host.poll('a', ref)).toMatchObject({ status: 'failed', error: { code: 'REQUEST_CANCELLED' } });
    await expect(waiting).rejects.toMatchObject({ code: 'REQUEST_CANCELLED' });
    await host.cancel('a', ref);
  });

  it('is answered with the end when that cannot be remembered', async () => {
    const life = { left: Number.POSITIVE_INFINITY };
    const { start, host } = harness({ store: failing(life) });
    await start();
    await host.halt('a');
    const completions: unknown[] = [];
    const onCompletion = ({ ok }: { readonly ok: boolean }) => void completions.push(ok);
    const ref = await host.tell('a', 'go', { onCompletion });
    const waiting = host.await('a', ref);
    life.left = 0;
    await expect(host.cancel('a', ref)).rejects.toThrow('no disk');
    await expect(waiting).rejects.toMatchObject({ code: 'AGENT_TERMINATED', details: { reason: 'crashed' } });
    expect(completions).toEqual([false]);
  });
});

describe('an event that is being handled when the agent is stopped', () => {
  it('is answered with the end, whatever its handler does', async () => {
    const { start, host, clock } = harness();
    await start({ handleEvent: () => new Promise(() => {}) });
    const acknowledged = host.notifyAck('a', 'x');
    await settled();
    const stopped = host.stop('a');
    await expect(acknowledged).rejects.toMatchObject({ code: 'AGENT_TERMINATED' });
    await settled();
    clock.advance(5_000);
    await stopped;
  });

  it('is answered with the end when what it led to cannot be remembered', async () => {
    // Its start, and the event itself.
    const { start, host } = harness({ store: failing({ left: 2 }) });
    await start();
    await expect(host.notifyAck('a', 'x')).rejects.toMatchObject({ code: 'AGENT_TERMINATED' });
  });
});

/** A store that fails when it has saved so often. */
function failing(life: { left: number }): HostStore {
  const store = new MemorySessionStore();
  return Object.assign(Object.create(store), {
    forTenant: (tenant: string) => {
      const own = store.forTenant(tenant);
      const save = (...args: Parameters<typeof own.save>) =>
        life.left-- > 0 ? own.save(...args) : Promise.reject(new Error('no disk'));
      return new Proxy(own, { get: (target, name) => (name === 'save' ? save : bound(target, name)) });
    },
  });
}

function bound(target: object, name: string | symbol): unknown {
  const own: unknown = Reflect.get(target, name, target);
  return typeof own === 'function' ? own.bind(target) : own;
}
