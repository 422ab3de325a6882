/** What a host remembers, and what becomes of agents that die. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { scriptedBackend } from '../../src/backends/scripted.js';
import { AgentFlowError } from '../../src/errors.js';
import { createAgentHost, halt, noreply, prompt } from '../../src/host/host.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { built } from '../support/built.js';
import { Program } from '../support/program.js';
import { Gate, harness, having, type Log, listener, logged, settled } from './harness.js';
import { twoToolBackend } from './two-tools.js';

const child = built('test/host/host-child.ts');
const toolsChild = built('test/host/tools-child.ts');

describe('a host with a store', () => {
  it('goes on after close where it was: state, session, queue in order, results, halted', async () => {
    const store = new MemorySessionStore();
    const first = harness({ store });
    const gate = new Gate('one');
    await first.start({ handleResponse: (_ref, { text }, state) => halt(logged(state, text)) }, {}, gate.turn);
    const refs = [await first.host.tell('a', '1'), await first.host.tell('a', '2'), await first.host.tell('a', '3')];
    await settled();
    await first.host.notify('a', 'kept');
    const closed = first.host.close();
    gate.open();
    await closed;
    expect((await first.host.kept()).map(({ name, halted }) => [name, halted])).toEqual([['a', true]]);

    const second = harness({ store });
    const { resumed } = await second.start({}, {}, 'two', 'three');
    expect(resumed).toBe(true);
    expect(await second.host.status('a')).toMatchObject({ halted: true, queued: 2 });
    expect(await second.log()).toEqual(['one', 'event kept']);
    expect(await second.host.poll('a', refs[0] ?? '')).toMatchObject({
      status: 'completed',
      response: { text: 'one' },
    });
    await second.host.resume('a');
    expect((await second.host.await('a', refs[2] ?? '')).text).toBe('three');
    expect(second.backend.prompts.map(({ text }) => text)).toEqual(['2', '3']);
    expect(await second.host.turnCount('a')).toBe(3);
    expect((await second.host.history('a')).map(({ result }) => result)).toEqual(['one', 'two', 'three']);
  });

  it('keeps results through one restart after another, whatever is asked in between', async () => {
    const store = new MemorySessionStore();
    const refs: string[] = [];
    for (const turn of ['one', 'two', 'three']) {
      const { host, start } = harness({ store });
      await start({}, {}, turn);
      const ref = await host.tell('a', 'go');
      await host.await('a', ref);
      refs.push(ref);
      await host.close();
    }
    const last = harness({ store });
    await last.start();
    const texts = await Promise.all(refs.map(async (ref) => (await last.host.await('a', ref)).text));
    expect(texts).toEqual(['one', 'two', 'three']);
  });

  it('takes up the session of the backend by its id, with the conversation so far', async () => {
    const store = new MemorySessionStore();
    const first = harness({ store });
    await first.start({ init: () => ({ state: { log: [] }, session: { system: 'S' } }) }, {}, 'hi');
    await first.host.ask('a', '1');
    const id = await first.host.sessionId('a');
    await first.host.close();
    const second = harness({ store });
    await second.start();
    const messages = [
      { role: 'user', content: [{ text: '1' }] },
      { role: 'model', content: [{ text: 'hi' }] },
    ];
    expect(second.backend.started).toEqual([{ id, options: { system: 'S', messages } }]);
  });

  it('restores every agent it knows, told by their behaviours, and names those that do not start', async () => {
    const store = new MemorySessionStore();
    const first = harness({ store });
    for (const name of ['a', 'b', 'c']) await first.start({}, { name });
    await first.host.close();
    const second = createAgentHost({ store });
    const { restored, failed } = await second.restore(({ name, behaviour }) => {
      expect(behaviour).toBe('listener');
      if (name === 'c') return undefined;
      return {
        behaviour: listener(),
        backend: scriptedBackend(name === 'b' ? { startError: new TypeError('no') } : {}),
      };
    });
    expect(restored).toEqual(['a']);
    expect(failed).toMatchObject([{ name: 'b', error: { code: 'BACKEND_START_FAILED' } }]);
    expect((await second.kept()).map(({ name }) => name)).toEqual(['b', 'c']);
  });

  it('names an agent whose memory cannot be read, restores the others, and lets it be forgotten', async () => {
    const store = new MemorySessionStore();
    const first = harness({ store });
    for (const name of ['a', 'b']) await first.start({}, { name });
    await first.host.close();
    const tenant = store.forTenant('genkitx-agent/host/host');
    const lease = await tenant.acquire('a', { owner: 'the test', ttlMs: 1_000, takeover: true });
    const expectedVersion = (await tenant.load('a'))?.head ?? 0;
    const change = { kind: 'patch', patch: [{ op: 'remove', path: '/nowhere' }] } as const;
    if (lease !== undefined) await tenant.save(lease, { expectedVersion, change });
    const { host, backend } = harness({ store });
    expect(await host.kept()).toMatchObject([
      { name: 'a', behaviour: undefined, error: { code: 'STORE_CORRUPT' } },
      { name: 'b', behaviour: 'listener' },
    ]);
    const { restored, failed } = await host.restore(() => ({ behaviour: listener(), backend }));
    expect([restored, failed]).toMatchObject([['b'], [{ name: 'a', error: { code: 'STORE_CORRUPT' } }]]);
    await host.forget('a');
    expect(await host.kept()).toEqual([]);
  });

  it('forgets an agent that is stopped', async () => {
    const store = new MemorySessionStore();
    const { start, host } = harness({ store });
    await start();
    await host.stop('a');
    expect(await host.kept()).toEqual([]);
    expect((await start()).resumed).toBe(false);
  });

  it('a host of the same name takes over: the earlier one is fenced off, and its agents end', async () => {
    const store = new MemorySessionStore();
    const first = harness({ store });
    await first.start({}, { restart: 'on-crash' });
    const second = harness({ store });
    expect((await second.start()).resumed).toBe(true);
    await expect(first.host.tell('a', 'x')).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await settled();
    expect(first.told('terminated')).toMatchObject([{ reason: 'crashed', code: 'LEASE_LOST' }]);
    expect(await first.host.list()).toEqual([]);
    expect(first.told('restarting')).toEqual([]);
  });

  it('gives the conversation to a backend that keeps none, also where it cannot be taken up by its id', async () => {
    const store = new MemorySessionStore();
    const first = harness({ store });
    await first.start({}, {}, 'hi', { refuses: new TypeError('no') }, 'bye');
    for (const text of ['1', '2', '3']) await first.host.ask('a', text).catch(() => {});
    await first.host.close();
    for (const resumeSession of [undefined, () => Promise.reject(new AgentFlowError('BACKEND_CANNOT_RESUME', 'no'))]) {
      const second = harness({ store });
      const { resumeSession: _, ...forgetful } = second.backend;
      const backend = { ...forgetful, ...(resumeSession === undefined ? {} : { resumeSession }) };
      expect((await second.start({}, { backend })).resumed).toBe(true);
      const [started] = second.backend.started;
      const said = started?.options.messages?.map(({ role, content }) => [role, content[0]?.text]);
      // A turn that failed is no part of it.
      expect(said).toEqual([
        ['user', '1'],
        ['model', 'hi'],
        ['user', '3'],
        ['model', 'bye'],
      ]);
      expect(second.told('session.lost')).toHaveLength(1);
      await second.host.close();
    }
    const third = harness({ store });
    await third.start();
    await third.host.resetSession('a');
    await third.host.close();
    const fourth = harness({ store });
    await fourth.start();
    expect(fourth.backend.started[0]?.options.messages).toEqual([]);
  });

  it('keeps what a turn in flight decides while the host closes: its follow-up, and those of events', async () => {
    const store = new MemorySessionStore();
    const first = harness({ store });
    const gate = new Gate('one');
    const own = {
      handleResponse: (_ref: string, { text }: { text: string }, state: Log) =>
        text === 'one' ? prompt('chain', logged(state, text)) : noreply(logged(state, text)),
      handleEvent: (event: unknown, state: Log) => prompt(String(event), state),
    };
    await first.start(own, {}, gate.turn);
    await first.host.tell('a', '1');
    await settled();
    await first.host.notify('a', 'event');
    const closed = first.host.close();
    gate.open();
    await closed;
    const second = harness({ store });
    await second.start(own, {}, 'two', 'three');
    await settled();
    expect(second.backend.prompts.map(({ text }) => text)).toEqual(['chain', 'event']);
    expect(await second.log()).toEqual(['one', 'two', 'three']);
  });

  it('remembers a halt as soon as it was asked for, and that it was taken back', async () => {
    const store = new MemorySessionStore();
    const first = harness({ store });
    await first.start({}, {}, new Gate().turn);
    const ref = await first.host.tell('a', '1');
    await settled();
    await first.host.halt('a');
    // Another host takes over, as after a crash.
    const second = harness({ store });
    const ran: string[] = [];
    await second.start({ postRun: () => void ran.push('postRun') }, {}, 'again');
    expect((await second.host.await('a', ref)).text).toBe('again');
    await settled();
    expect([ran, (await second.host.status('a')).halted]).toEqual([['postRun'], true]);
    await second.host.resume('a');
    const third = harness({ store });
    await third.start();
    expect((await third.host.status('a')).halted).toBe(false);
  });

  it("counts what its agents had spent into the host's budget, once", async () => {
    const store = new MemorySessionStore();
    const budget = { maxCostUsd: 1 };
    const paid = [{ type: 'result', text: 'x', costUsd: 0.75 }] as const;
    const first = harness({ store, budget });
    await first.start({}, {}, paid);
    await first.host.ask('a', '1');
    await first.host.close();
    const second = harness({ store, budget });
    await second.start({}, {}, paid);
    expect(await second.host.budget()).toMatchObject({ spentUsd: 0.75, remainingUsd: 0.25 });
    await second.host.ask('a', '2');
    expect(await second.host.totalCost()).toBe(1.5);
    await expect(second.host.ask('a', '3')).rejects.toMatchObject({
      code: 'BUDGET_EXCEEDED',
      details: { scope: 'host' },
    });
    await second.host.kill('a');
    await second.start();
    expect([await second.host.totalCost(), await second.host.totalCost('a')]).toEqual([1.5, 1.5]);
  });

  it('refuses what it could not keep, and a state that is changed in place', async () => {
    const { start, host, told } = harness({ store: new MemorySessionStore() });
    await start({ handleEvent: (_event, state) => having((state.log as string[]).push('x'), noreply(state)) });
    await expect(host.notify('a', () => {})).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    await host.notifyAck('a', 'mutate');
    expect(told('callback.failed')).toMatchObject([{ callback: 'handleEvent' }]);
  });

  it('refuses a state that is not JSON: the start, or the callback that answers it', async () => {
    const { start, host, log } = harness({ store: new MemorySessionStore() });
    const state = { log: [], at: new Date(0) };
    await expect(start({ init: () => ({ state }) })).rejects.toMatchObject({
      code: 'AGENT_INIT_FAILED',
      cause: { issues: [{ path: 'at' }] },
    });
    await start({ handleResponse: (_ref, _response, own) => noreply({ ...own, at: new Map() } as Log) }, {}, 'hi');
    await expect(host.ask('a', 'go')).rejects.toMatchObject({
      code: 'CALLBACK_FAILED',
      cause: { code: 'INVALID_VALUE' },
    });
    expect(await log()).toEqual(['error CALLBACK_FAILED']);
  });

  it('looks into a state that somebody else froze, and freezes all of it', async () => {
    const { start, host } = harness({ store: new MemorySessionStore() });
    const notJson = Object.freeze({ log: [], at: new Date(0) });
    await expect(start({ init: () => ({ state: notJson }) })).rejects.toMatchObject({ code: 'AGENT_INIT_FAILED' });
    await start({ init: () => ({ state: Object.freeze({ log: [] }) }) });
    const { agentState } = await host.status('a');
    expect(Object.isFrozen((agentState as Log).log)).toBe(true);
  });

  it('takes prompts and events as they are just then, whatever their sender changes later', async () => {
    const { start, host, backend } = harness({ store: new MemorySessionStore() });
    const gate = new Gate();
    const heard: unknown[] = [];
    await start({ handleEvent: (event, state) => having(heard.push(event), noreply(state)) }, {}, gate.turn, 'x', 'y');
    const part = { text: 'a' };
    const asked = [host.ask('a', 'go'), host.ask('a', [part]), host.notify('a', part)];
    part.text = 'b';
    asked.push(host.ask('a', [part]));
    gate.open();
    await Promise.all(asked);
    expect(backend.prompts.map(({ text }) => text)).toEqual(['go', 'a', 'b']);
    expect(heard).toEqual([{ text: 'a' }]);
  });
});

describe('a closed host', () => {
  it('lets the turn in flight end, tells who waits, and starts nothing more', async () => {
    const { start, host } = harness();
    const gate = new Gate();
    await start({}, {}, gate.turn);
    const first = host.ask('a', '1');
    const second = host.ask('a', '2');
    await settled();
    const closed = host.close();
    gate.open();
    expect((await first).text).toBe('gated');
    await expect(second).rejects.toMatchObject({ code: 'AGENT_TERMINATED', details: { reason: 'closed' } });
    await closed;
    await expect(start()).rejects.toMatchObject({ code: 'HOST_CLOSED', status: 'FAILED_PRECONDITION' });
  });

  it('waits for a start that is under way, which goes no further: no session is opened', async () => {
    const { start, host, backend } = harness();
    const gate = new Gate();
    const started = start({ init: () => gate.isOpen.then(() => ({ state: { log: [] } })) });
    let hasClosed = false;
    const closed = host.close().then(() => {
      hasClosed = true;
    });
    await settled();
    expect(hasClosed).toBe(false);
    gate.open();
    await closed;
    await expect(started).rejects.toMatchObject({ code: 'AGENT_TERMINATED', details: { reason: 'closed' } });
    expect(backend.started).toEqual([]);
  });

  it('gives a start that hangs the time of a callback, and ends what comes of it later', async () => {
    const { host, clock, backend } = harness();
    const gate = new Gate();
    const slow = { ...backend, startSession: () => gate.isOpen.then(() => backend.startSession()) };
    const hanging = host.start(listener({ init: () => new Promise(() => {}) }), { name: 'a', backend });
    const late = host.start(listener(), { name: 'b', backend: slow });
    await settled();
    const closed = host.close();
    await settled();
    clock.advance(5_000);
    await closed;
    await expect(hanging).rejects.toMatchObject({ code: 'AGENT_TERMINATED' });
    await expect(late).rejects.toMatchObject({ code: 'AGENT_TERMINATED' });
    gate.open();
    await settled();
    expect(backend.terminated).toEqual(backend.started);
    expect(backend.started).toHaveLength(1);
    expect(await host.list()).toEqual([]);
  });
});

describe('a store that fails', () => {
  it('ends the agent, also one that does nothing, instead of going on without its memory', async () => {
    const store = new MemorySessionStore();
    let fails = false;
    const tenant = store.forTenant('t');
    const save = tenant.save.bind(tenant);
    tenant.save = (...args) =>
      fails ? Promise.reject(new AgentFlowError('STORE_FAILED', 'The disk is full')) : save(...args);
    store.forTenant = () => tenant;
    const { start, host, told } = harness({ store });
    await start();
    await host.halt('a');
    await settled();
    fails = true;
    await expect(host.tell('a', 'x')).rejects.toMatchObject({ code: 'STORE_FAILED' });
    await settled();
    expect(told('terminated')).toMatchObject([{ reason: 'crashed', code: 'STORE_FAILED' }]);
  });

  it('leaves no session of the backend behind when an agent cannot even begin', async () => {
    const store = new MemorySessionStore();
    const tenant = store.forTenant('t');
    tenant.save = () => Promise.reject(new AgentFlowError('STORE_FAILED', 'The disk is full'));
    store.forTenant = () => tenant;
    const { start, backend } = harness({ store });
    await expect(start()).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(backend.started).toHaveLength(1);
    expect(backend.terminated).toEqual(backend.started);
  });
});

describe('an agent that dies', () => {
  it('is reported, its callers are told, and its name is free', async () => {
    const { start, host, told } = harness();
    await start({}, {}, new Gate().turn);
    const asked = host.ask('a', 'go');
    await settled();
    await host.kill('a', new TypeError('why'));
    await expect(asked).rejects.toMatchObject({
      code: 'AGENT_TERMINATED',
      details: { reason: 'crashed' },
      cause: { message: 'why' },
    });
    expect(told('terminated')).toMatchObject([{ agent: 'a', reason: 'crashed' }]);
    await expect(start()).resolves.toMatchObject({ name: 'a' });
  });

  it('comes back with restart: on-crash, after a backoff, as it was last saved; the turn in flight is tried again', async () => {
    const { start, host, clock, log, told } = harness({ store: new MemorySessionStore() });
    await start({}, { restart: 'on-crash' }, 'one', new Gate().turn, 'two');
    await host.ask('a', '1');
    const ref = await host.tell('a', '2');
    await settled();
    await host.kill('a');
    await settled();
    await expect(host.ask('a', 'x')).rejects.toMatchObject({ code: 'AGENT_RESTARTING' });
    clock.advance(100);
    await settled();
    expect((await host.await('a', ref)).text).toBe('two');
    expect(await log()).toEqual(['response one', 'response two']);
    expect(told('turn.start').map(({ attempt }) => attempt)).toEqual([1, 1, 2]);
  });

  it('fails the turn in flight with TURN_LOST where that is the policy', async () => {
    const { start, host, clock, log } = harness({ store: new MemorySessionStore() });
    await start({}, { restart: 'on-crash', onLostTurn: 'fail' }, new Gate().turn, 'two');
    const lost = await host.tell('a', '1');
    const next = await host.tell('a', '2');
    await settled();
    await host.kill('a');
    await settled();
    clock.advance(100);
    expect((await host.await('a', next).catch(async () => having(await settled(), host.await('a', next)))).text).toBe(
      'two',
    );
    expect(await host.poll('a', lost)).toMatchObject({ status: 'failed', error: { code: 'TURN_LOST' } });
    expect(await log()).toEqual(['error TURN_LOST', 'response two']);
  });

  it('stays dead when it dies too often, with a backoff that grows', async () => {
    const { start, host, clock, told } = harness({ store: new MemorySessionStore() });
    await start({}, { restart: 'on-crash', restartLimits: { maxRestarts: 2, backoffMs: 10, withinMs: 1_000 } });
    for (const delay of [10, 20, 40]) {
      await host.kill('a');
      await settled();
      clock.advance(delay);
      await settled();
    }
    expect(told('restarting').map(({ delayMs }) => delayMs)).toEqual([10, 20]);
    await expect(host.status('a')).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' });
  });

  it('cannot be promised to come back without a store', async () => {
    await expect(harness().start({}, { restart: 'on-crash' })).rejects.toMatchObject({ code: 'NO_STORE' });
  });
});

describe('kill -9', () => {
  it('loses nothing: state, session, queue in order, results, halted, the turn in flight', {
    timeout: 180_000,
  }, async () => {
    await afterKill([child], 'in flight\n', async (path, output) => {
      const refs = refsIn(output);
      const store = new SqliteSessionStore({ path });
      const backend = scriptedBackend({ turns: ['two', 'three', 'four'] });
      const host = createAgentHost({ store });
      const attempts: number[] = [];
      host.observe((event) => void (event.type === 'turn.start' && attempts.push(event.attempt)));
      const { restored } = await host.restore(() => ({ behaviour: listener(), backend }));
      expect(restored).toEqual(['halted', 'busy']);
      for (const [ref, text] of [
        ['second', 'two'],
        ['third', 'three'],
        ['fourth', 'four'],
      ] as const)
        expect((await host.await('busy', refs[ref] ?? '')).text).toBe(text);
      expect(await host.poll('busy', refs.first ?? '')).toMatchObject({ response: { text: 'one' } });
      expect(backend.prompts.map(({ text }) => text)).toEqual(['2', '3', '4']);
      expect(attempts).toEqual([2, 1, 1]);
      expect(backend.started.find(({ id }) => id === 'session of busy')?.options.messages).toHaveLength(2);
      expect((await host.status('busy')).agentState).toEqual({
        log: ['response one', 'response two', 'event kept', 'response three', 'response four'],
      });
      expect((await host.history('busy')).map(({ result }) => result)).toEqual(['one', 'two', 'three', 'four']);
      expect(await host.status('halted')).toMatchObject({ halted: true, queued: 1 });
      await host.close();
      await store.close();
    });
  });

  it('fails the turn in flight where that is the policy, and goes on with the queue', {
    timeout: 180_000,
  }, async () => {
    await afterKill([child], 'in flight\n', async (path, output) => {
      const refs = refsIn(output);
      const store = new SqliteSessionStore({ path });
      const backend = scriptedBackend({ turns: ['three', 'four'] });
      const host = createAgentHost({ store });
      await host.start(listener(), { name: 'busy', backend, onLostTurn: 'fail' });
      expect((await host.await('busy', refs.fourth ?? '')).text).toBe('four');
      expect(await host.poll('busy', refs.second ?? '')).toMatchObject({
        status: 'failed',
        error: { code: 'TURN_LOST' },
      });
      expect(backend.prompts.map(({ text }) => text)).toEqual(['3', '4']);
      expect((await host.status('busy')).agentState).toMatchObject({
        log: ['response one', 'error TURN_LOST', 'event kept', 'response three', 'response four'],
      });
      await host.close();
      await store.close();
    });
  });

  it('does not repeat the tool calls that the turn in flight had completed', { timeout: 180_000 }, async () => {
    await afterKill([toolsChild, 'calls.txt'], 'in the second\n', async (path, output) => {
      const calls = join(path, '..', 'calls.txt');
      expect(readFileSync(calls, 'utf8')).toBe('first\nsecond\n');
      const store = new SqliteSessionStore({ path });
      const backend = twoToolBackend(async (name) => having(appendFileSync(calls, `${name}\n`), 'two'));
      const host = createAgentHost({ store });
      await host.start(listener(), { name: 'a', backend });
      const { text } = await host.await('a', /ref (.*)\n/.exec(output)?.[1] ?? '');
      // Hello and its answer, the prompt, two calls with their results; nothing twice.
      expect(text).toBe('7 messages: one, two');
      expect(readFileSync(calls, 'utf8')).toBe('first\nsecond\nsecond\n');
      expect((await host.ask('a', 'bye')).text).toBe('9 messages: ');
      await host.close();
      await store.close();
    });
  });
});

/** Runs a program with a database, kills it when it has said a line, and hands over what it has left behind. */
async function afterKill(
  [program, ...files]: readonly [string, ...string[]],
  line: string,
  then: (path: string, output: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'host-kill-'));
  const path = join(folder, 'host.db');
  try {
    const others = files.map((file) => join(folder, file));
    await using running = new Program(process.execPath, [program, path, ...others]);
    await running.until(line);
    running.signal('SIGKILL');
    await running.exited;
    await then(path, running.output);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function refsIn(output: string): Record<string, string> {
  return JSON.parse(/refs (.*)\n/.exec(output)?.[1] ?? '');
}
