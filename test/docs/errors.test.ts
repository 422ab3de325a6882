import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { errorCodes } from '../../src/errors.js';

it('docs/errors.md has every code, with its status, once', () => {
  const rows = readFileSync('docs/errors.md', 'utf8').matchAll(/^\| `([A-Z_]+)` \| ([A-Z_]+) \| [^|]+ \| [^|]+ \|$/gm);
  const listed = [...rows].map(([, code, status]) => `${code}: ${status}`).sort();
  expect(listed).toEqual(
    Object.entries(errorCodes)
      .map(([code, status]) => `${code}: ${status}`)
      .sort(),
  );
});
