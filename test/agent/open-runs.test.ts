import { describe, expect, it } from 'vitest';
import { Running } from '../../src/agent/running.js';

describe('the runs that are open', () => {
  it('are known by their session, in the order they were opened, until each of them is over', () => {
    const running = new Running<{ sessionId: string; name: string }>();
    const [a, b, c, other] = ['a', 'b', 'c', 'other'].map((name) => ({
      sessionId: name === 'other' ? 'o' : 's',
      name,
    }));
    if (!a || !b || !c || !other) throw new Error('four runs');
    const names = () => running.of('s').map(({ name }) => name);
    expect([names(), running.has('s')]).toEqual([[], false]);
    for (const run of [a, other, b, c]) running.add(run);
    expect([names(), running.has('s')]).toEqual([['a', 'b', 'c'], true]);
    running.delete(b);
    expect(names()).toEqual(['a', 'c']);
    running.delete(a);
    running.delete(a);
    expect(names()).toEqual(['c']);
    running.delete(c);
    expect([names(), running.has('s'), running.of('o')]).toEqual([[], false, [other]]);
  });
});
