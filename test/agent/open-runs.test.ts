import { describe, expect, it } from 'vitest';
import { OpenRuns } from '../../src/agent/open-runs.js';

describe('the runs that are open', () => {
  it('are known by their session, in the order they were opened, until each of them is over', () => {
    const openRuns = new OpenRuns<{ sessionId: string; name: string }>();
    const [a, b, c, other] = ['a', 'b', 'c', 'other'].map((name) => ({
      sessionId: name === 'other' ? 'o' : 's',
      name,
    }));
    if (!a || !b || !c || !other) throw new Error('four runs');
    const names = () => openRuns.of('s').map(({ name }) => name);
    expect([names(), openRuns.has('s')]).toEqual([[], false]);
    for (const run of [a, other, b, c]) openRuns.add(run);
    expect([names(), openRuns.has('s')]).toEqual([['a', 'b', 'c'], true]);
    openRuns.delete(b);
    expect(names()).toEqual(['a', 'c']);
    openRuns.delete(a);
    openRuns.delete(a);
    expect(names()).toEqual(['c']);
    openRuns.delete(c);
    expect([names(), openRuns.has('s'), openRuns.of('o')]).toEqual([[], false, [other]]);
  });
});
