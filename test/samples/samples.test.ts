/** Every sample does what it says: it asserts, and exits 0. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { sampleNames, startSamples } from '../../samples/run-all.js';
import { built } from '../support/built.js';

it('the samples are listed in their README, each under its folder', () => {
  const table = readFileSync('samples/README.md', 'utf8').matchAll(/^\| \[([\w-]+)\]\(\1\/main\.ts\) \|/gm);
  expect([...table].map(([, name]) => name).sort()).toEqual(sampleNames);
});

const runs = startSamples((main) => [built(main)]);

// The last one waits for those before it.
it.each(sampleNames)('%s exits 0', { timeout: 180_000 }, async (name) => {
  const run = await runs.get(name);
  expect(run?.exitCode, run?.output).toBe(0);
});
