import { describe, expect, it } from 'vitest';
import { AgentFlowError } from '../../src/errors.js';
import { labelOf, Tells } from '../../src/terminal/tells.js';

const error = new AgentFlowError('TURN_TIMEOUT', 'too long');

describe('tells', () => {
  it('are called by their numbers, their refs, or by the name of the agent and a ref', () => {
    const tells = new Tells();
    const first = tells.add('writer', 'ref-a');
    const second = tells.add('critic', 'ref-b');
    expect(['1', '#1', 'ref-a', 'writer ref-a'].map((text) => tells.named(text, 'poll'))).toEqual([
      first,
      first,
      first,
      first,
    ]);
    expect(tells.named('2', 'poll')).toBe(second);
    expect(labelOf(second)).toBe('#2');
    const elsewhere = tells.named('"good 0" ref-c', 'poll');
    expect(elsewhere).toEqual({ number: 0, agent: 'good 0', ref: 'ref-c', state: 'waiting' });
    expect(labelOf(elsewhere)).toBe('ref-c');
  });

  it.each(['', '3', '0', '#x'])('says what is expected for %j', (text) => {
    const tells = new Tells();
    tells.add('writer', 'ref-a');
    expect(() => tells.named(text, 'poll NUMBER')).toThrow('usage: poll NUMBER');
  });

  it('are waited for until they are shown', () => {
    const tells = new Tells();
    const [good, bad, open] = ['a', 'b', 'c'].map((ref) => tells.add('writer', ref));
    tells.complete({ agent: 'writer', ref: 'b', ok: false, error });
    expect(bad).toMatchObject({ state: 'ended', error });
    if (good !== undefined) good.state = 'shown';
    expect(tells.unseen).toEqual([bad, open]);
    tells.complete({ agent: 'writer', ref: 'a', ok: false, error });
    expect(good?.state).toBe('shown');
    expect(tells.complete({ agent: 'writer', ref: 'unknown', ok: false, error })).toBeUndefined();
  });

  it('are forgotten beyond a thousand: those that were shown first', () => {
    const tells = new Tells();
    for (let number = 1; number <= 1_000; number++) tells.add('writer', `ref-${number}`);
    tells.named('7', 'poll').state = 'shown';
    tells.add('writer', 'one more');
    expect(tells.find('ref-7')).toBeUndefined();
    expect(tells.find('ref-1')).toBeDefined();
    tells.add('writer', 'and one');
    expect(tells.find('ref-1')).toBeUndefined();
    expect(tells.named('1002', 'poll').ref).toBe('and one');
  });
});
