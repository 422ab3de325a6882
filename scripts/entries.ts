/** The public entries of the package, read from `exports` in package.json, and the source file behind each. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** One importable path of the package. */
export interface Entry {
  /** What stands after the package's name: `.`, `./errors`, `./stores/memory`. */
  readonly path: string;
  /** The built file without its extension, relative to `dist`: `index`, `stores/memory`. */
  readonly name: string;
  /** The source file, relative to the root of the package. */
  readonly source: string;
}

/** Entries that promise to run in a browser: they may reach neither a Node builtin nor Genkit. */
export const browserSafe: readonly string[] = ['./errors', './schemas', './stores/memory'];

interface Manifest {
  readonly exports: Readonly<Record<string, unknown>>;
}

/** Every entry that has code; throws when an export has no source, so that a build cannot miss one. */
export function readEntries(root: string): Entry[] {
  const { exports } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as Manifest;
  return Object.entries(exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([path]) => {
      const name = path === '.' ? 'index' : path.slice(2);
      const places = [`src/${name}.ts`, `src/${name}/index.ts`, `src/${name}/${name}.ts`, `${name}/index.ts`];
      const source = places.find((place) => existsSync(resolve(root, place)));
      if (source === undefined) throw new Error(`Export "${path}" has no source: looked for ${places.join(', ')}`);
      return { path, name, source };
    });
}
