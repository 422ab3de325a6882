import { describe, expect, it } from 'vitest';
import { readOptions, usage } from '../../src/terminal/options.js';

const nothing = {
  module: undefined,
  store: undefined,
  budget: undefined,
  width: undefined,
  help: false,
  version: false,
};

describe('the command line', () => {
  it.each([
    [[], {}],
    [['agents.mjs'], { module: 'agents.mjs' }],
    [
      ['--store', 'a.db', 'agents.mjs', '--budget=1.5', '--width', '100'],
      { module: 'agents.mjs', store: 'a.db', budget: 1.5, width: 100 },
    ],
    [['--budget', '0'], { budget: 0 }],
    [['--width', '0'], { width: Number.POSITIVE_INFINITY }],
    [['-h'], { help: true }],
    [['--version'], { version: true }],
  ])('%j', (args, options) => {
    expect(readOptions(args)).toEqual({ ...nothing, ...options });
  });

  it.each([
    [['--sesion', 'x'], "Unknown option '--sesion'"],
    [['a.mjs', 'b.mjs'], 'One module is expected, and "b.mjs" is a second one'],
    [[''], 'The module must not be empty'],
    [['--store', ''], '--store expects a file'],
    [['--store'], "'--store <value>' argument missing"],
    [['--budget', 'much'], '--budget expects US dollars, from 0; got "much"'],
    [['--budget=-1'], '--budget expects US dollars'],
    [['--budget='], '--budget expects US dollars'],
    [['--width', '19'], '--width expects 0 or a whole number from 20; got "19"'],
    [['--width', '80.5'], '--width expects'],
  ])('%j is refused', (args, message) => {
    expect(() => readOptions(args)).toThrow(message);
  });

  it('is explained on 80 columns', () => {
    expect(usage.split('\n').filter((line) => line.length > 80)).toEqual([]);
    for (const option of ['--store', '--budget', '--width', '--help', '--version']) expect(usage).toContain(option);
  });
});
