/** The machine by itself: the table is complete, and the order is the one of the documentation. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Happening, nextWork, type Phase, transition, transitions } from '../../src/host/machine.js';

const nothing = { preRun: false, admitted: false, selfChain: false, notification: undefined, prompt: undefined };
const everything = { preRun: true, admitted: true, selfChain: true, notification: 2, prompt: 1 };

function phaseAfter(start: Phase, ...happenings: readonly Happening[]): Phase {
  return happenings.reduce<Phase>((phase, on) => transition(phase, on)?.to ?? phase, start);
}

describe('the machine', () => {
  it('knows each transition once, and reaches every phase it names', () => {
    expect(new Set(transitions.map(([from, on]) => `${from}: ${on}`)).size).toBe(transitions.length);
    const named = new Set(transitions.flatMap(([from, , to]) => [from, to]));
    const reached = new Set<Phase>(['idle']);
    for (const _ of transitions) for (const [from, , to] of transitions) if (reached.has(from)) reached.add(to);
    expect(reached).toEqual(named);
    expect(reached.size).toBe(8);
  });

  it('ends from everywhere, and never again', () => {
    for (const [from] of transitions) expect(transition(from, 'end')?.to).toBe('ended');
    for (const [, on] of transitions) expect(transition('ended', on)).toBeUndefined();
  });

  it('lets every turn that begins end, wherever a halt or a resume comes in between', () => {
    const between: readonly Happening[] = ['halt', 'a callback halts', 'resume', 'its callbacks are through'];
    const reached = new Set<Phase>(['processing']);
    for (const _ of transitions)
      for (const phase of [...reached]) for (const on of between) reached.add(phaseAfter(phase, on));
    expect(reached.size).toBe(4);
    for (const phase of reached)
      expect(['idle', 'idle, to halt', 'halted']).toContain(phaseAfter(phase, 'the turn ends'));
  });

  it('takes back a halt that was asked for, and follows one that was decided with a resume', () => {
    expect(phaseAfter('idle', 'halt', 'resume')).toBe('idle');
    expect(phaseAfter('processing', 'halt', 'resume', 'its callbacks are through', 'the turn ends')).toBe('idle');
    expect(transition('processing', 'its callbacks are through')).toBeUndefined();
    const decided = phaseAfter('processing', 'a callback halts', 'resume');
    expect(transition(decided, 'its callbacks are through')?.then).toBe('run postRun');
    expect(Object.values(transition(decided, 'the turn ends') ?? {})).toEqual(['idle', 'tell that it resumes']);
    expect(phaseAfter(decided, 'halt', 'the turn ends')).toBe('halted');
  });

  it('takes internal work first, then the self-chain, then what came from outside in order', () => {
    const order: string[] = [];
    const left: { -readonly [Key in keyof typeof everything]: (typeof everything)[Key] | undefined } = {
      ...everything,
    };
    for (;;) {
      const work = nextWork('idle', { ...nothing, ...left } as typeof everything);
      if (work === 'nothing') break;
      order.push(work);
      left[work as keyof typeof left] = undefined;
    }
    expect(order).toEqual(['preRun', 'admitted', 'selfChain', 'prompt', 'notification']);
    expect(nextWork('idle, to halt', { ...everything, preRun: false })).toBe('admitted');
    expect(nextWork('idle, to halt', { ...nothing, selfChain: true, prompt: 1, notification: 2 })).toBe('halt');
    expect(nextWork('halted', { ...nothing, selfChain: true, prompt: 1 })).toBe('nothing');
    expect(nextWork('halted', { ...nothing, notification: 1 })).toBe('notification');
    expect(nextWork('processing', everything)).toBe('nothing');
    expect(nextWork('ended', everything)).toBe('nothing');
  });

  it('is the table of the documentation, row for row', () => {
    const page = readFileSync(new URL('../../docs/host.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$/gm)].map(([, ...cells]) => cells);
    for (const row of transitions) if (row[1] !== 'end') expect(rows).toContainEqual([...row]);
  });
});
