/**
 * Translates our TypeScript to JavaScript, once before all tests. Tests start many processes, and one that runs the
 * sources with tsx needs twice as much processor time to begin as one that finds them translated.
 */
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'tsup';
import type { TestProject } from 'vitest/node';
import { readEntries } from '../../scripts/entries.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The folder with the translated files, which lie in it as in the repository; see `built.ts`. */
    builtFolder: string;
  }
}

const root = process.cwd();
/** Where the programs that tests start are, and all they import. */
const sources = ['src', 'schemas', 'samples', 'test'];

/** A global set-up of Vitest; what it answers is called when all tests are done. */
export default async function buildOnce(project: TestProject): Promise<() => void> {
  const folder = mkdtempSync(join(tmpdir(), 'genkitx-agent-built-'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as object;
  // Under its own name the package finds itself.
  const exports = Object.fromEntries(readEntries(root).map(({ path, source }) => [path, `./${translated(source)}`]));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...manifest, exports }));
  await translate(folder);
  project.onTestsRerun(() => translate(folder));
  project.provide('builtFolder', folder);
  return () => rmSync(folder, { recursive: true, force: true });
}

/** Each file on its own, as tsx does: nothing is bundled. */
async function translate(folder: string): Promise<void> {
  const files = sources.flatMap((source) =>
    readdirSync(source, { recursive: true, encoding: 'utf8' }).map((name) => join(source, name)),
  );
  const entry = files.filter((file) => /(?<!\.test|\.test-d)\.ts$/.test(file));
  await build({
    config: false,
    entry: Object.fromEntries(entry.map((file) => [file.slice(0, -'.ts'.length), file])),
    outDir: folder,
    format: 'esm',
    target: 'node20',
    bundle: false,
    splitting: false,
    removeNodeProtocol: false,
    silent: true,
  });
  for (const file of files.filter((name) => name.endsWith('.mjs'))) copyFileSync(file, join(folder, file));
}

function translated(source: string): string {
  return source.replace(/\.ts$/, '.js');
}
