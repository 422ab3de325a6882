import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventOf, firstWord, quotedName } from '../../src/terminal/line.js';

describe('the first word', () => {
  it.each([
    ['ask writer  hello  there ', { word: 'ask', rest: 'writer  hello  there' }],
    ['"good 0" go on', { word: 'good 0', rest: 'go on' }],
    [`'it is "it"' go`, { word: 'it is "it"', rest: 'go' }],
    ['"a \\"b\\" \\\\" x', { word: 'a "b" \\', rest: 'x' }],
    [`don't stop`, { word: `don't`, rest: 'stop' }],
    ['"never ended', { word: '"never', rest: 'ended' }],
    ['"a"b c', { word: '"a"b', rest: 'c' }],
    ['"" x', { word: '', rest: 'x' }],
    ['   ', undefined],
    ['', undefined],
  ])('of %j', (text, expected) => {
    expect(firstWord(text)).toEqual(expected);
  });

  it('is any name that was quoted, and leaves what follows as it was typed', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string(), (name, text) => {
        expect(firstWord(`${quotedName(name)} ${text}`)).toEqual({ word: name, rest: text.trim() });
      }),
    );
  });
});

describe('an event', () => {
  it.each([
    ['{"failed": "test_auth"}', { failed: 'test_auth' }],
    ['[1, 2]', [1, 2]],
    ['5', 5],
    ['"5"', '5'],
    ['main was pushed', 'main was pushed'],
    ['{broken', '{broken'],
  ])('%j', (text, event) => {
    expect(eventOf(text)).toEqual(event);
  });
});
