/** What a host remembers, and what becomes of agents that die. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { scriptedBackend } from '../../src/backends/scripted.js';
import { AgentFlowError } from '../../src/errors.js';
import { createAgentHost, halt, noreply } from '../../src/host/host.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { Program } from '../support/program.js';
import { Gate, harness, having, listener, logged, settled } from './harness.js';

const child = fileURLToPath(new URL('./host-child.ts', import.meta.url));

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

  it('takes up the session of the backend by its id', async () => {
    const store = new MemorySessionStore();
    const first = harness({ store });
    await first.start({ init: () => ({ state: { log: [] }, session: { system: 'S' } }) }, {}, 'hi');
    await first.host.ask('a', '1');
    const id = await first.host.sessionId('a');
    await first.host.close();
    const second = harness({ store });
    await second.start();
    expect(second.backend.started).toEqual([{ id, options: { system: 'S' } }]);
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

  it('refuses what it could not keep, and a state that is changed in place', async () => {
    const { start, host, told } = harness({ store: new MemorySessionStore() });
    await start({ handleEvent: (_event, state) => having((state.log as string[]).push('x'), noreply(state)) });
    await expect(host.notify('a', () => {})).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    await host.notifyAck('a', 'mutate');
    expect(told('callback.failed')).toMatchObject([{ callback: 'handleEvent' }]);
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
    timeout: 60_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'host-kill-'));
    const path = join(folder, 'host.db');
    try {
      await using program = new Program(process.execPath, ['--import', 'tsx', child, path]);
      await program.until('in flight\n');
      program.signal('SIGKILL');
      await program.exited;
      const refs = JSON.parse(/refs (.*)\n/.exec(program.output)?.[1] ?? '') as Record<string, string>;

      const store = new SqliteSessionStore({ path });
      const backend = scriptedBackend({ turns: ['two', 'three', 'four'] });
      const host = createAgentHost({ store });
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
      expect(backend.started.map(({ id }) => id)).toContain('session of busy');
      expect((await host.status('busy')).agentState).toEqual({
        log: ['response one', 'response two', 'event kept', 'response three', 'response four'],
      });
      expect(await host.status('halted')).toMatchObject({ halted: true, queued: 1 });
      await host.close();
      await store.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
