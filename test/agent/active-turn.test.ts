import { describe, expect, it } from 'vitest';
import { ActiveTurn } from '../../src/agent/active-turn.js';
import { AgentFlowError } from '../../src/errors.js';
import { Deferred } from '../../src/internal/deferred.js';

function turn() {
  const interrupts: number[] = [];
  const active = new ActiveTurn<string, string>({ number: 3, attempt: 2, inputId: 'id' }, () => interrupts.push(1));
  return { active, interrupts };
}

describe('a turn', () => {
  it('knows its number, its attempt and the id of its input', () => {
    const { active } = turn();
    expect([active.number, active.attempt, active.inputId]).toEqual([3, 2, 'id']);
  });

  it('is steered only while somebody listens', () => {
    const { active } = turn();
    const heard: string[] = [];
    expect([active.isListening, active.steer('a', undefined)]).toEqual([false, false]);
    active.onSteer((input) => heard.push(input));
    expect([active.isListening, active.steer('b', 'id-b'), active.steer('c', undefined)]).toEqual([true, true, true]);
    void active.endSteering();
    expect(active.steer('d', 'id-d')).toBe(false);
    active.onSteer((input) => heard.push(input));
    expect([active.isListening, active.steer('e', 'id-e')]).toEqual([false, false]);
    expect([heard, active.steeredIds]).toEqual([['b', 'c'], ['id-b']]);
  });

  it('can be taken apart', () => {
    const { active } = turn();
    const heard: string[] = [];
    const { onSteer, signal } = active;
    onSteer((input) => heard.push(input));
    active.steer('a', undefined);
    expect([heard, signal.aborted]).toEqual([['a'], false]);
  });

  it('is not steered after its end, though its function still works', () => {
    const { active } = turn();
    const heard: string[] = [];
    active.startWork(false);
    active.onSteer((input) => heard.push(input));
    active.isOpen = false;
    expect([active.isListening, active.steer('a', 'id-a')]).toEqual([false, false]);
    expect([heard, active.steeredIds]).toEqual([[], []]);
  });

  it.each([
    ['its function', 'own', 'own'],
    ['its listener', undefined, 'steering'],
  ])('has failed with what went wrong first, in %s', async (_, own, message) => {
    const { active } = turn();
    const heard = new Deferred<never>();
    active.onSteer(() => heard.promise);
    active.steer('a', undefined);
    const failure = active.endSteering(own === undefined ? undefined : new AgentFlowError('HANDLER_FAILED', own));
    heard.reject(new Error('steering'));
    expect(await failure).toMatchObject({ code: 'HANDLER_FAILED', message });
  });

  it('is interrupted once, while it works', () => {
    const { active, interrupts } = turn();
    active.startWork(true);
    active.assertMaySend();
    expect([active.interrupt(), active.interrupt()]).toEqual([true, true]);
    expect(interrupts).toEqual([1]);
    expect(active.signal.reason).toBe(active.interruption);
    expect(active.interruption).toMatchObject({ code: 'TURN_INTERRUPTED' });
    expect(() => active.assertMaySend()).toThrow(active.interruption);
    expect(active.finishWork()).toBe(true);
    expect(active.interrupt()).toBe(true);
    active.assertMaySend();
  });

  it('that was to be interrupted before it worked is interrupted when it begins to', () => {
    const { active, interrupts } = turn();
    active.interrupt();
    expect([active.signal.aborted, interrupts]).toEqual([false, []]);
    active.startWork(false);
    expect([active.signal.aborted, interrupts]).toEqual([true, [1]]);
  });

  it('is not interrupted after its work', () => {
    const { active, interrupts } = turn();
    active.startWork(false);
    expect(active.finishWork()).toBe(false);
    expect(active.interrupt()).toBe(false);
    expect([active.signal.aborted, active.interruption, interrupts]).toEqual([false, undefined, []]);
  });

  it('keeps the chunks of its work, only where somebody wants them', () => {
    const { active } = turn();
    active.startWork(true);
    active.keep('kept');
    active.finishWork();
    active.keep('said about it');
    expect(active.chunks).toEqual(['kept']);
    const { active: other } = turn();
    other.startWork(false);
    other.keep('not kept');
    expect(other.chunks).toEqual([]);
  });

  it('is aborted with its run, asked for its signal before or after', () => {
    const error = new AgentFlowError('RUN_ABORTED', 'stopped');
    const { active } = turn();
    active.abort(error);
    expect(active.signal.reason).toBe(error);
  });
});
