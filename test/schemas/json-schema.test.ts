import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { jsonSchemas } from '../../schemas/json-schema.js';

it('the checked-in JSON Schema files are what their sources say; if not, run `npm run schemas`', () => {
  const files = readdirSync('schemas').filter((name) => name.endsWith('.json'));
  const checkedIn = Object.fromEntries(files.map((name) => [name, readFileSync(`schemas/${name}`, 'utf8')]));
  expect(checkedIn).toEqual(jsonSchemas());
});

it('every shape is explained in schemas/README.md', () => {
  const table = readFileSync('schemas/README.md', 'utf8').matchAll(/^\| \[([\w-]+\.json)\]\(\1\) \|/gm);
  expect([...table].map(([, name]) => name).sort()).toEqual(Object.keys(jsonSchemas()).sort());
});
