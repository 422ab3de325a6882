/** Text made harmless, and made to fit: how wide it is on a screen, cut, padded, wrapped. */
import { stripVTControlCharacters } from 'node:util';

/** Takes nothing on a screen: combining marks, joiners, what is not to be seen. */
const zeroWidth = /^(?!\u00ad)[\p{Mn}\p{Me}\p{Cf}\p{Cc}]$/u;

/** Takes two columns: East Asian wide and fullwidth characters, and what is drawn as a picture. Where in doubt, two. */
const wide = new RegExp(
  `^[\\p{Emoji_Presentation}${[
    ...['\\u1100-\\u115f', '\\u2329\\u232a', '\\u2630-\\u2637', '\\u268a-\\u268f', '\\u2e80-\\u303e'],
    ...[
      '\\u3041-\\u4dff',
      '\\u4e00-\\ua4cf',
      '\\ua960-\\ua97f',
      '\\uac00-\\ud7a3',
      '\\uf900-\\ufaff',
      '\\ufe10-\\ufe19',
    ],
    ...['\\ufe30-\\ufe6f', '\\uff01-\\uff60', '\\uffe0-\\uffe6', '\\u{16fe0}-\\u{1b2ff}', '\\u{1d15e}-\\u{1d376}'],
    ...['\\u{1f000}-\\u{1faff}', '\\u{20000}-\\u{3fffd}'],
  ].join('')}]$`,
  'u',
);

/** Steers a terminal or turns the direction of a line, so that it shows something else than it says. */
const steering = /(?![\n\t])\p{Cc}|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

/** How many columns a text takes on a screen; of several lines, what they take one after another. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += widthOfOne(character);
  return width;
}

function widthOfOne(character: string): number {
  if (wide.test(character)) return 2;
  return zeroWidth.test(character) ? 0 : 1;
}

/** Takes away what could steer the terminal: a model may have been talked into anything. Lines and tabs stay. */
export function harmless(text: string): string {
  return stripVTControlCharacters(text)
    .replace(steering, '')
    .replace(/[\u2028\u2029]/g, '\n')
    .replace(/\p{Cs}/gu, '\ufffd');
}

/** The text on one line: harmless, with a single space for whatever space there was. */
export function oneLine(text: string): string {
  return harmless(text).replace(/\s+/g, ' ').trim();
}

/** At most so many columns of one line; an ellipsis says that there was more. */
export function cut(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  const [piece = ''] = pieces(text, columns - 1);
  return columns < 1 ? '' : `${piece}…`;
}

/** One line cut or filled up with spaces to exactly so many columns; numbers stand to the right. */
export function fill(text: string, columns: number, side: 'left' | 'right' = 'left'): string {
  const fitting = cut(text, columns);
  const space = ' '.repeat(Math.max(0, columns - widthOf(fitting)));
  return side === 'left' ? fitting + space : space + fitting;
}

/** Lines of at most so many columns, broken at spaces where there are some; harmless. */
export function wrap(text: string, columns: number): string[] {
  const flow = new Flow(columns);
  return `${flow.push(text)}${flow.end()}`.split('\n');
}

/** Text as it comes, broken into lines of at most so many columns; harmless. The last word waits until it is whole. */
export class Flow {
  readonly #columns: number;
  /** Where the next word would stand. */
  #column = 0;
  /** Spaces that are written only if a word follows on the same line. */
  #gap = '';
  /** A word that may go on. */
  #held = '';

  /** Less than two columns are two: no character needs more. */
  constructor(columns: number) {
    this.#columns = Math.max(2, columns);
  }

  /** Takes more text; answers what is to be written now. */
  push(text: string): string {
    const words: string[] = (this.#held + text).match(/\n|[^\S\n]+|\S+/g) ?? [];
    this.#held = words.pop() ?? '';
    // Nothing is gained by waiting for the end of what fills a line already.
    if (!/^\S/.test(this.#held) || this.#held.length >= this.#columns * 2) words.push(this.#takeHeld());
    return words.map((word) => this.#place(word)).join('');
  }

  /** The rest; the next text begins a line. */
  end(): string {
    const rest = this.#place(this.#held);
    this.#held = '';
    this.beginLine();
    return rest;
  }

  /** What comes next stands at the beginning of a line, wherever the last one ended. */
  beginLine(): void {
    this.#column = 0;
    this.#dropGap();
  }

  /** A pair of surrogates is not torn apart. */
  #takeHeld(): string {
    const [, taken = '', half = ''] = /^(.*?)([\ud800-\udbff]?)$/s.exec(this.#held) ?? [];
    this.#held = half;
    return taken;
  }

  #place(raw: string): string {
    const words: readonly string[] = harmless(raw).match(/\n|[^\S\n]+|\S+/g) ?? [];
    return words.map((word) => this.#placeWord(word)).join('');
  }

  #placeWord(word: string): string {
    if (word === '\n') return this.#newLine();
    // A line is never begun twice for the sake of spaces.
    const anew = () => (this.#column === 0 ? this.#dropGap() : this.#newLine());
    if (!/\S/.test(word)) {
      this.#gap += word.replace(/\t/g, '    ').replace(/\s/g, ' ');
      return '';
    }
    const width = widthOf(word);
    const fits = this.#column + this.#gap.length + width <= this.#columns;
    const isTooLong = width + (this.#column === 0 ? this.#gap.length : 0) > this.#columns;
    const before = fits || (isTooLong && this.#hasRoomBehindGap) ? this.#takeGap() : anew();
    const [first = '', ...others] = pieces(word, this.#columns, this.#columns - this.#column);
    this.#column = others.length === 0 ? this.#column + widthOf(first) : widthOf(others.at(-1) ?? '');
    return before + [first, ...others].join('\n');
  }

  /** At least one wide character can stand behind the spaces. */
  get #hasRoomBehindGap(): boolean {
    return this.#column + this.#gap.length + 2 <= this.#columns;
  }

  #takeGap(): string {
    const gap = this.#gap;
    this.#column += gap.length;
    this.#gap = '';
    return gap;
  }

  #newLine(): string {
    this.#column = 0;
    return `${this.#dropGap()}\n`;
  }

  #dropGap(): string {
    this.#gap = '';
    return '';
  }
}

/** A text without spaces, in pieces of at most so many columns; the first may have to be shorter. */
function pieces(text: string, columns: number, first = columns): string[] {
  const found: string[] = [];
  let piece = '';
  let width = 0;
  for (const character of text) {
    const more = widthOfOne(character);
    if (width + more > (found.length === 0 ? first : columns)) {
      found.push(piece);
      piece = '';
      width = 0;
    }
    piece += character;
    width += more;
  }
  return [...found, piece];
}
