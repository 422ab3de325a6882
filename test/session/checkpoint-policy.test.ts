import { describe, expect, it } from 'vitest';
import { diff } from '../../src/internal/diff.js';
import { applyPatch } from '../../src/internal/patch.js';
import { CheckpointPolicy } from '../../src/session/checkpoint-policy.js';

describe('when a checkpoint is written', () => {
  /** Saves states one after another; tells how many characters were written, and the most a load would read. */
  function save(states: readonly unknown[]) {
    const policy = new CheckpointPolicy(JSON.stringify(states[0]).length);
    let written = 0;
    let load = JSON.stringify(states[0]).length;
    let mostLoaded = load;
    let checkpoints = 0;
    let before = states[0];
    for (const state of states.slice(1)) {
      const patch = diff(before, state);
      const change = policy.choose(patch, () => applyPatch(before, patch));
      const size = JSON.stringify(change.kind === 'patch' ? change.patch : change.record).length;
      if (change.kind === 'checkpoint') {
        expect(change.record).toEqual(state);
        checkpoints += 1;
        load = 0;
      }
      load += size;
      written += size;
      mostLoaded = Math.max(mostLoaded, load);
      before = state;
    }
    return { written, mostLoaded, checkpoints, finalSize: JSON.stringify(before).length };
  }

  const chat = (turns: number) =>
    Array.from({ length: turns }, (_, turn) => ({
      messages: Array.from({ length: turn }, (_, index) => ({ role: 'user', text: `message ${index}` })),
    }));

  it('writing a chat that only grows costs what it holds: linear, not quadratic', () => {
    const [small, large] = [save(chat(250)), save(chat(1_000))];
    expect(large.written / small.written).toBeLessThan(5);
    expect(large.written).toBeLessThan(large.finalSize * 4);
  });

  it('loading a value that is overwritten costs what it holds, however often that was', () => {
    const states = Array.from({ length: 3_000 }, (_, n) => ({ n, text: 'x'.repeat(2_000) }));
    const { mostLoaded, checkpoints, finalSize } = save(states);
    expect(mostLoaded).toBeLessThan(finalSize * 10);
    expect(checkpoints).toBeGreaterThan(1);
    expect(checkpoints).toBeLessThan(100);
  });
});
