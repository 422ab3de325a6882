import { describe, expect, it } from 'vitest';
import { InputRecords } from '../../src/agent/input-records.js';
import type { AcceptedInput } from '../../src/session/store.js';
import { errorOf, Gate, quiet, stateOf } from '../support/waiting.js';

function inputRecords(record: (input: AcceptedInput) => Promise<AcceptedInput> = async (input) => input) {
  const told: string[] = [];
  const records = new InputRecords({
    id: 'run',
    record: (input) => {
      told.push(`${input.id} turn ${input.turn} #${input.attempt}${input.done ? ' done' : ''}`);
      return record(input);
    },
  });
  return { records, told };
}

describe('the records of inputs with ids', () => {
  it('answer what is recorded already', async () => {
    const known = { id: 'a', run: 'an earlier run', turn: 7, attempt: 1, done: true };
    const { records } = inputRecords(async () => known);
    expect(await records.begin({ id: 'a', turn: 1, attempt: 1, input: 'a' })).toBe(known);
  });

  it('tell of the ends of turns one after another, of their own inputs first', async () => {
    const gate = new Gate();
    const { records, told } = inputRecords(async (input) => {
      if (input.id === 'a') await gate.opened;
      return input;
    });
    records.end({ number: 1, attempt: 3, inputId: 'a', steeredIds: ['b'] });
    records.end({ number: 2, attempt: 1, inputId: 'c', steeredIds: [] });
    await quiet();
    expect(told).toEqual(['a turn 1 #3 done']);
    gate.open();
    await records.endings;
    expect(told).toEqual(['a turn 1 #3 done', 'b turn 1 #1 done', 'c turn 2 #1 done']);
    expect(records.endings).toBeUndefined();
  });

  it('tell of a failure those who wait by then, and nobody later', async () => {
    const failure = new Error('no store');
    const { records } = inputRecords(() => Promise.reject(failure));
    records.end({ number: 1, attempt: 1, inputId: 'a', steeredIds: [] });
    expect(await errorOf(records.endings ?? expect.fail())).toBe(failure);
    expect(records.endings).toBeUndefined();
  });

  it('are waited for while one is still being made, however that goes', async () => {
    const gate = new Gate();
    const { records } = inputRecords(async () => {
      await gate.opened;
      throw new Error('no store');
    });
    const beginning = errorOf(records.begin({ id: 'a', turn: 1, attempt: 1, input: 'a' }));
    const begun = records.begun();
    expect(await stateOf(begun)).toBe('pending');
    gate.open();
    await begun;
    expect(await beginning).toBeInstanceOf(Error);
  });
});
