import { describe, expect, it } from 'vitest';
import { assertFunction, assertHas, assertObject, assertOptions, assertSignal } from '../../src/errors/options.js';

const refusal = (path: string, expected: string, received: string) =>
  expect.objectContaining({ code: 'INVALID_VALUE', kind: 'option', issues: [{ path, expected, received }] });

describe('an option', () => {
  it('may be absent, or what it is to be', () => {
    for (const options of [undefined, {}, Object.create(null), []]) assertOptions(options);
    for (const signal of [undefined, new AbortController().signal, new EventTarget()]) assertSignal(signal, 'signal');
    for (const made of [() => {}, class {}]) assertFunction(made, 'made');
    assertHas({ now: () => 0 }, 'clock', ['now'], 'a Clock');
  });

  it.each<[string, () => void, ReturnType<typeof refusal>]>([
    ['options', () => assertOptions(null), refusal('options', 'an object', 'null')],
    ['context', () => assertOptions('x', 'context'), refusal('context', 'an object', 'string')],
    ['config', () => assertObject(undefined, 'config'), refusal('config', 'an object', 'undefined')],
    ['a signal', () => assertSignal(5, 'signal'), refusal('signal', 'an AbortSignal', 'number')],
    ['no signal', () => assertSignal(null, 'signal'), refusal('signal', 'an AbortSignal', 'null')],
    ['a function', () => assertFunction({}, 'made'), refusal('made', 'a function', 'object')],
    [
      'an object',
      () => assertHas({ now: 5 }, 'clock', ['now'], 'a Clock'),
      refusal('clock', 'a Clock', 'an object without its methods'),
    ],
  ])('that is no %s is refused, saying what was expected', (_, assert, error) => {
    expect(assert).toThrow(error);
  });
});
