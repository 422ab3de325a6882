import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pairs, table } from '../../src/terminal/table.js';
import { widthOf } from '../../src/terminal/text.js';

describe('a table', () => {
  it('is as wide as what is in it, with numbers to the right', () => {
    const lines = table(
      [{ head: 'NAME' }, { head: 'COST', side: 'right' }],
      [
        ['writer', '$1.00'],
        ['日本', '$10.00'],
      ],
      80,
    );
    expect(lines).toEqual(['NAME      COST', 'writer   $1.00', '日本    $10.00']);
  });

  it('takes from the widest column what does not fit', () => {
    const row = ['a'.repeat(30), 'b'.repeat(60), 'c'];
    expect(table([{ head: 'A' }, { head: 'B' }, { head: 'C' }], [row], 40)).toEqual([
      'A                   B                  C',
      `${'a'.repeat(17)}…  ${'b'.repeat(16)}…  c`,
    ]);
  });

  it('fits, whatever is in it', () => {
    const cell = fc.string({ unit: 'binary', maxLength: 120 });
    const rows = fc
      .integer({ min: 1, max: 6 })
      .chain((size) => fc.array(fc.array(cell, { minLength: size, maxLength: size }), { minLength: 1, maxLength: 5 }));
    fc.assert(
      fc.property(rows, fc.integer({ min: 20, max: 100 }), ([heads = [], ...others], width) => {
        for (const line of table(
          heads.map((head) => ({ head })),
          others,
          width,
        )) {
          expect(widthOf(line)).toBeLessThanOrEqual(width);
          expect(line).not.toMatch(/\p{Cc}/u);
        }
      }),
    );
  });
});

describe('pairs', () => {
  it('let a text go on beneath itself', () => {
    const rows = [
      ['state', 'idle'],
      ['session', 'one two three four'],
    ] as const;
    expect(pairs(rows, 20)).toEqual(['state    idle', 'session  one two', '         three four']);
  });
});
