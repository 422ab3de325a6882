import { defineConfig } from 'tsup';
import { readEntries } from './scripts/entries.js';

export default defineConfig({
  entry: Object.fromEntries(readEntries(process.cwd()).map(({ name, source }) => [name, source])),
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: true,
  // One copy of every module per format, so that `instanceof` holds across entries.
  splitting: true,
  clean: true,
  external: ['genkit', 'libsql'],
  // `node:sqlite` has no name without its prefix.
  removeNodeProtocol: false,
});
