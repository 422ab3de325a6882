/** Text that fits: measured against what Node's own readline takes a text to be wide. */
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { cut, Flow, fill, harmless, oneLine, widthOf, wrap } from '../../src/terminal/text.js';

const output = Object.assign(new PassThrough(), { columns: Number.MAX_SAFE_INTEGER });
const reader = createInterface({ input: new PassThrough(), output, terminal: true, prompt: '' });
afterAll(() => reader.close());

/** How wide Node takes a text to be. */
function nodeWidth(text: string): number {
  Object.assign(reader, { line: text, cursor: text.length });
  return reader.getCursorPos().cols;
}

const steers = (text: string): boolean => /(?!\n)\p{Cc}|[\u202a-\u202e\u2066-\u2069]|\p{Cs}/u.test(text);

/** What a model may have been talked into. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.string({
    unit: fc.constantFrom(
      '\x1b[31m',
      '\x1b]0;t\x07',
      '\u202e',
      '\r',
      '\b',
      '한',
      '👩‍👩‍👧',
      'a',
      ' ',
      '\n',
      '\t',
      '\ud83d',
    ),
  }),
);

describe('the width of a text', () => {
  it.each([
    ['', 0],
    ['plain', 5],
    ['naïve', 5],
    ['nai\u0308ve', 5],
    ['日本語', 6],
    ['한글', 4],
    ['ＡＢ', 4],
    ['👍', 2],
    ['→…│', 3],
  ])('%j is %i', (text, width) => {
    expect(widthOf(text)).toBe(width);
    expect(nodeWidth(text)).toBe(width);
  });

  it('is never less than what Node takes it to be, for any character', () => {
    const narrow: string[] = [];
    for (let code = 0x20; code < 0x3_0000; code++) {
      const character = String.fromCodePoint(code);
      if (/\p{C}/u.test(character)) continue;
      if (widthOf(character) < nodeWidth(character)) narrow.push(code.toString(16));
    }
    expect(narrow).toEqual([]);
  });
});

describe('harmless text', () => {
  it('keeps lines and tabs, and nothing that steers a terminal', () => {
    expect(harmless('a\x1b]0;title\x07b\x1b[31mred\x1b[0m\u009b2J\tc\nd\r\x00')).toBe('abred\tc\nd');
    expect(harmless('user\u202etxt.exe')).toBe('usertxt.exe');
    expect(harmless('half \ud83d of a pair')).toBe('half \ufffd of a pair');
  });

  it('is one line where it must be', () => {
    expect(oneLine('  a\n\tb\u2028c  ')).toBe('a b c');
  });
});

describe('fitting', () => {
  it('cuts with an ellipsis', () => {
    expect(cut('abcdef', 6)).toBe('abcdef');
    expect(cut('abcdef', 5)).toBe('abcd…');
    expect(cut('日本語', 5)).toBe('日本…');
    expect(cut('日本語', 4)).toBe('日…');
    expect(cut('ab', 1)).toBe('…');
    expect(cut('ab', 0)).toBe('');
  });

  it('fills up on either side', () => {
    expect(fill('日本', 6)).toBe('日本  ');
    expect(fill('12', 4, 'right')).toBe('  12');
    expect(fill('abcdef', 4)).toBe('abc…');
  });

  it('cuts anything to the columns there are', () => {
    fc.assert(
      fc.property(hostile, fc.nat(90), (text, columns) => {
        expect(nodeWidth(cut(oneLine(text), columns))).toBeLessThanOrEqual(columns);
      }),
    );
  });
});

describe('wrapping', () => {
  it('breaks at spaces, and words that are too long anywhere', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrap('abcdefghij kl', 4)).toEqual(['abcd', 'efgh', 'ij', 'kl']);
    expect(wrap('日本語の文', 4)).toEqual(['日本', '語の', '文']);
  });

  it('keeps lines, empty ones and indentation', () => {
    expect(wrap('a\n\n  b\n\tc\n', 10)).toEqual(['a', '', '  b', '    c', '']);
    expect(wrap('a      b', 4)).toEqual(['a', 'b']);
  });

  it('gives lines that fit and do not steer, of anything, however it comes', () => {
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 8 }), fc.integer({ min: 2, max: 90 }), (texts, columns) => {
        const flow = new Flow(columns);
        const written = texts.map((text) => flow.push(text)).join('') + flow.end();
        for (const line of written.split('\n')) expect(nodeWidth(line)).toBeLessThanOrEqual(columns);
        expect(steers(written)).toBe(false);
      }),
    );
  });

  it('loses nothing but spaces, wherever the pieces are torn', () => {
    const visible = (text: string) => text.replace(/\s/g, '');
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 200 }),
        fc.nat(200),
        fc.integer({ min: 2, max: 40 }),
        (text, at, columns) => {
          const flow = new Flow(columns);
          const written = flow.push(text.slice(0, at)) + flow.push(text.slice(at)) + flow.end();
          expect(visible(written)).toBe(visible(harmless(text)));
        },
      ),
    );
  });

  it('holds back only the last word', () => {
    const flow = new Flow(80);
    expect(flow.push('one tw')).toBe('one');
    expect(flow.push('o ')).toBe(' two');
    expect(flow.push('three\n')).toBe(' three\n');
    expect(flow.end()).toBe('');
  });
});
