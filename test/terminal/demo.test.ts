import { describe, expect, it } from 'vitest';
import { createAgentHost } from '../../src/host/host.js';
import { demoBackend, demoNote, startDemo } from '../../src/terminal/demo.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { settled } from '../host/harness.js';

/** Time passes as long as somebody waits for it. */
async function pass<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  let isOver = false;
  work.then(
    () => {
      isOver = true;
    },
    () => {
      isOver = true;
    },
  );
  while (!isOver) {
    clock.advance(25);
    await settled();
  }
  return work;
}

describe('the demo', () => {
  it('says that it is one', () => {
    expect(demoNote).toMatch(/offline.*without AI.*made up/s);
  });

  it('has a writer whose drafts a critic reads, who notifies the writer', async () => {
    const clock = new ManualClock();
    const host = createAgentHost({ clock });
    await startDemo(host, clock);
    const { text, usage, costUsd } = await pass(clock, host.ask('writer', 'a poem'));
    expect(text).toContain('"a poem"');
    expect(usage).toMatchObject({ inputTokens: 2, outputTokens: text.split(' ').length });
    expect(costUsd).toBeCloseTo((2 + text.split(' ').length) * 0.00001);
    const heard = new Promise<void>((resolve) => {
      host.observe(({ type, agent }) => type === 'event.received' && agent === 'writer' && resolve());
    });
    await pass(clock, heard);
    await settled();
    expect(await host.status('writer')).toMatchObject({
      agentState: { notes: [expect.stringMatching(/^20 words, and the longest is /)] },
    });
    expect(host.graph()).toContainEqual({ from: 'writer', to: 'critic', kind: 'tell', count: 1 });
    expect(host.graph()).toContainEqual({ from: 'critic', to: 'writer', kind: 'notify', count: 1 });
  });

  it('has a parrot that goes on until it is interrupted', async () => {
    const clock = new ManualClock();
    const host = createAgentHost({ clock });
    await startDemo(host, clock);
    expect(await pass(clock, host.ask('parrot', 'hello'))).toMatchObject({ text: 'hello, again!' });
    await settled();
    expect(await host.status('parrot')).toMatchObject({ state: 'processing' });
    await pass(clock, host.interrupt('parrot'));
    clock.advance(25);
    await settled();
    expect(await host.status('parrot')).toMatchObject({ state: 'idle', queued: 0 });
    await host.close();
  });

  it('stops for a signal, at the next word', async () => {
    const clock = new ManualClock();
    const backend = demoBackend((text) => text, clock);
    const session = await backend.startSession();
    const leaving = new AbortController();
    const { events } = await backend.prompt(session, 'one two', { signal: leaving.signal });
    const iterator = events[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toEqual({ type: 'session', sessionId: session });
    const word = iterator.next();
    leaving.abort(new TypeError('enough'));
    clock.advance(25);
    await expect(word).rejects.toThrow('enough');
  });
});
