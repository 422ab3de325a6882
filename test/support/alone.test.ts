/** Which files share their process. */
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { longest, meddling } from './alone.js';

it('the files that take longest are there', () => {
  expect(longest.filter((file) => !existsSync(file))).toEqual([]);
});

it('a file that sets where traces go, fakes time, or listens to the process has a process to itself', () => {
  const some = ['test/genkit/spans.test.ts', 'test/stores/sqlite/feed.test.ts', 'test/host/callers.test.ts'];
  expect(meddling()).toEqual(expect.arrayContaining(some));
  expect(meddling()).not.toContain('test/support/alone.test.ts');
});
