import { defineConfig } from 'tsup';
import { readEntries } from './scripts/entries.js';

const entries = Object.fromEntries(readEntries(process.cwd()).map(({ name, source }) => [name, source]));
/** Built with the entries: a module that it loads gets the same copy of everything. */
const program = { bin: 'src/terminal/bin.ts' };

export default defineConfig({
  entry: { ...entries, ...program },
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: { entry: entries },
  // A program is run, not required.
  esbuildOptions(options, { format }) {
    if (format === 'cjs') options.entryPoints = entries;
    // What CommonJS calls a module's own address; `createRequire` takes either.
    if (format === 'cjs') options.define = { ...options.define, 'import.meta.url': '__filename' };
  },
  // One copy of every module per format, so that `instanceof` holds across entries.
  splitting: true,
  // By Rollup, for what else would make CommonJS of the parts takes a private `#name` for the export of that name.
  treeshake: true,
  clean: true,
  external: ['genkit', 'libsql'],
  // `node:sqlite` has no name without its prefix.
  removeNodeProtocol: false,
});
