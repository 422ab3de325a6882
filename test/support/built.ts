/** Where the processes that tests start find our files: translated to JavaScript by `build-once.ts`. */
import { isAbsolute, join, relative } from 'node:path';
import { inject } from 'vitest';

/** The file that `node` can run for a TypeScript file of ours, which is named by its path or from the root of the repository. */
export function built(source: string): string {
  const path = isAbsolute(source) ? relative(process.cwd(), source) : source;
  return join(inject('builtFolder'), path.replace(/\.ts$/, '.js'));
}

/** The same in one file with its packages, for what `bundles` in `build-once.ts` names: for tests that start it often. */
export function bundled(source: string): string {
  return built(join('bundled', source));
}
