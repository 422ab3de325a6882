/** Prompts that an agent makes for itself when there is no place for them: none takes the place of one that is waited for. */
import { describe, expect, it } from 'vitest';
import { noreply, proceed, prompt, skip } from '../../src/host/host.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { Gate, harness, type Log, logged, settled } from './harness.js';

const refusedOnce = () => {
  let refusals = 1;
  return (text: Parameters<typeof proceed>[0], state: { readonly log: readonly string[] }) =>
    refusals-- > 0 ? skip(state) : proceed(text, state);
};

describe('the one slot', () => {
  it('keeps an attempt that somebody waits for when the prompt of an event has no room', async () => {
    const { start, host, clock, backend, told } = harness();
    const gate = new Gate();
    const failing = async () => {
      await gate.isOpen;
      throw new TypeError('broken');
    };
    await start(
      {
        handleEvent: (_event, state) => prompt('about an event', state),
        handleError: (_ref, _error, state, { origin }) => prompt(`${origin} again`, state),
      },
      { maxPendingPrompts: 0 },
      failing,
      'second',
    );
    const asked = host.ask('a', 'go');
    await settled();
    await host.notify('a', 'x');
    gate.open();
    expect((await asked).text).toBe('second');
    clock.advance(10);
    await settled();
    expect(backend.prompts.map(({ text }) => text)).toEqual(['go', 'ask again']);
    expect(told('turn.rejected').map(({ origin, code }) => [origin, code])).toEqual([
      ['event', 'AGENT_OVERLOADED'],
      ['self_chain', 'AGENT_OVERLOADED'],
    ]);
  });

  it('is no place in the queue: who takes its prompt back leaves the queue as it is', async () => {
    const { start, host, types } = harness();
    const gate = new Gate();
    const own = { handleError: (_ref: string, _error: unknown, state: Log) => prompt('again', state) };
    await start(own, {}, [gate.isOpen, { type: 'result', isError: true }]);
    const ref = await host.tell('a', 'go');
    await settled();
    await host.halt('a');
    gate.open();
    await settled();
    expect(await host.snapshot('a')).toMatchObject({ halted: true, selfChainPending: true });
    await host.cancel('a', ref);
    expect(await host.snapshot('a')).toMatchObject({ selfChainPending: false });
    expect(types().filter((type) => type.startsWith('mailbox.') || type === 'turn.cancelled')).toEqual([
      'turn.cancelled',
    ]);
  });

  it('gives what a turn decides precedence over what is only tried again, which then queues', async () => {
    const store = new MemorySessionStore();
    const { start, host, clock, backend } = harness({ store });
    await start(
      {
        handleEvent: (_event, state) => prompt('own', state),
        preTurn: refusedOnce(),
        handleError: (_ref, _error, state) => prompt('own again', state),
        handleResponse: (_ref, { text }, state) =>
          text === 'one' ? prompt('follow up', state) : noreply(logged(state, text)),
      },
      {},
      'one',
      'two',
      'three',
    );
    await host.notifyAck('a', 'x');
    await host.ask('a', 'go');
    await settled();
    clock.advance(10);
    await settled();
    expect(backend.prompts.map(({ text }) => text)).toEqual(['go', 'follow up', 'own again']);
    await host.close();
    const second = harness({ store });
    await second.start();
    await settled();
    expect(second.backend.prompts).toEqual([]);
  });

  it('drops and tells what gives way where nothing may queue, and remembers it no more', async () => {
    const store = new MemorySessionStore();
    const { start, host, clock, backend, told } = harness({ store });
    await start(
      {
        handleEvent: (_event, state) => prompt('own', state),
        preTurn: refusedOnce(),
        handleError: (_ref, _error, state) => prompt('own again', state),
        handleResponse: (_ref, { text }, state) => (text === 'one' ? prompt('follow up', state) : noreply(state)),
      },
      { maxPendingPrompts: 0 },
      'one',
      'two',
    );
    await host.notifyAck('a', 'x');
    await settled();
    await host.ask('a', 'go');
    await settled();
    clock.advance(10);
    await settled();
    expect(backend.prompts.map(({ text }) => text)).toEqual(['go', 'follow up']);
    expect(told('turn.rejected').map(({ code }) => code)).toEqual(['TURN_SKIPPED', 'AGENT_OVERLOADED']);
    await host.close();
    const second = harness({ store });
    await second.start();
    await settled();
    expect(second.backend.prompts).toEqual([]);
  });
});
