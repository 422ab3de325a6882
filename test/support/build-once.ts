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
/** Programs that many processes run: each in one file with its packages, as loading Genkit is most of what they do. */
const bundles = [
  'samples/chat/main.ts',
  'test/support/fixtures/queue-worker.ts',
  'test/support/fixtures/talk-worker.ts',
  'test/support/fixtures/turn-worker.ts',
];

/** A global set-up of Vitest; what it answers is called when all tests are done. */
export default async function buildOnce(project: TestProject): Promise<() => void> {
  const folder = mkdtempSync(join(tmpdir(), 'genkitx-agent-built-'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as object;
  // Under its own name the package finds itself.
  const exports = Object.fromEntries(readEntries(root).map(({ path, source }) => [path, `./${translated(source)}`]));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...manifest, exports }));
  const translateAll = () => Promise.all([translate(folder), bundle(folder)]).then(() => {});
  await translateAll();
  project.onTestsRerun(translateAll);
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

/** In a folder beside, under the same names. */
async function bundle(folder: string): Promise<void> {
  await build({
    config: false,
    entry: Object.fromEntries(bundles.map((file) => [file.slice(0, -'.ts'.length), file])),
    outDir: join(folder, 'bundled'),
    format: 'esm',
    target: 'node20',
    platform: 'node',
    noExternal: [/./],
    // Native or absent: they are found in `node_modules`.
    external: ['libsql', 'pg-native'],
    removeNodeProtocol: false,
    silent: true,
    // CommonJS in a module asks for Node's own by `require`.
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
  });
}

function translated(source: string): string {
  return source.replace(/\.ts$/, '.js');
}
