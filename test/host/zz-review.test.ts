import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scriptedBackend } from '../../src/backends/scripted.js';
import { createAgentHost, defineBehaviour, halt, noreply, prompt } from '../../src/host/host.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
const memoryStore = () => new MemorySessionStore();
import { Gate, harness, listener, logged, settled } from './harness.js';

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => void process.on('unhandledRejection', note));
afterEach(() => { process.off('unhandledRejection', note); expect(unhandled.splice(0)).toEqual([]); });
const codeOf = (call: Promise<unknown>) => call.then(() => 'ok', (e) => e.code ?? String(e));

describe('review', () => {
  it('frozen but not JSON state', async () => {
    const { start } = harness({ store: memoryStore() });
    expect(await codeOf(start({ init: () => ({ state: Object.freeze({ log: [], at: new Date() }) as never }) }))).toBe('AGENT_INIT_FAILED');
  });
  it('a shallowly frozen state is frozen whole', async () => {
    const { start, host } = harness({ store: memoryStore() });
    await start({ init: () => ({ state: Object.freeze({ log: [] }) }) });
    const { agentState } = await host.status('a');
    expect(Object.isFrozen((agentState as any).log)).toBe(true);
  });
  it('null options', async () => {
    const { start, host } = harness();
    await start({}, {}, 'x', 'y');
    expect(await codeOf(host.ask('a', 'x', null as never))).toBe('INVALID_VALUE');
    expect(await codeOf(host.tell('a', 'x', null as never))).toBe('INVALID_VALUE');
    expect(await codeOf(host.await('a', 'x', null as never))).toBe('INVALID_VALUE');
  });
  it('bad budgets', async () => {
    const { start } = harness();
    expect(await codeOf(start({}, { budget: 5 as never }))).toBe('INVALID_VALUE');
    expect(await codeOf(start({}, { budget: null as never, name: 'b' }))).toBe('INVALID_VALUE');
    expect(await codeOf(start({}, { budget: { maxCostUsd: -1 }, name: 'c' }))).toBe('INVALID_VALUE');
    expect(await codeOf(start({}, { budget: { maxCost: 1 } as never, name: 'd' }))).toBe('?');
  });
  it('bad restartLimits', async () => {
    const { start } = harness();
    expect(await codeOf(start({}, { restartLimits: null as never }))).toBe('INVALID_VALUE');
  });
  it('queued prompts are as they were when they were told', async () => {
    const { start, host, backend } = harness({ store: memoryStore() });
    const gate = new Gate();
    await start({}, {}, gate.turn, 'x', 'y');
    const parts = [{ text: 'a' }];
    const first = host.ask('a', 'go');
    await settled();
    const one = host.ask('a', parts);
    parts[0]!.text = 'b';
    const two = host.ask('a', parts);
    gate.open();
    await Promise.all([first, one, two]);
    expect(backend.prompts.map((p: any) => p.text)).toEqual(['go', 'a', 'b']);
  });
  it('one corrupt memory leaves the others alone', async () => {
    const store = memoryStore();
    const one = harness({ store });
    await one.start({}, {});
    await one.start({}, { name: 'b' });
    await one.host.close();
    const tenant = store.forTenant('genkitx-agent/host/host');
    const lease = await tenant.acquire('a', { owner: 'x', ttlMs: 1000, takeover: true });
    const loaded = await tenant.load('a');
    await tenant.save(lease!, { expectedVersion: loaded!.head, change: { kind: 'patch', patch: [{ op: 'remove', path: '/nope' }] } as never, keepVersions: 1 });
    const two = harness({ store });
    const restored = await two.host.restore(() => ({ behaviour: listener(), backend: two.backend }));
    expect(restored.restored).toEqual(['b']);
    expect(restored.failed).toMatchObject([{ name: 'a', error: { code: 'STORE_CORRUPT' } }]);
  });
  it('a start of a name in the middle of starting, and stop', async () => {
    const { start, host } = harness();
    let go: () => void = () => {};
    const p = start({ init: () => new Promise((r) => { go = () => r({ state: { log: [] } }); }) });
    expect(await host.whereis('a')).toBeUndefined();
    expect(await codeOf(host.stop('a'))).toBe('AGENT_NOT_FOUND');
    go(); await p;
  });
  it('close waits for a start in flight', async () => {
    const { start, host, backend } = harness();
    let go: () => void = () => {};
    const p = codeOf(start({ init: () => new Promise((r) => { go = () => r({ state: { log: [] } }); }) }));
    await settled();
    let closed = false;
    const c = host.close().then(() => { closed = true; });
    await settled();
    console.log('closed while starting', closed);
    go(); console.log(await p); await c;
  });
});
