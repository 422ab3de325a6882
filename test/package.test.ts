/** The package as its users get it: built, packed, installed from the tarball, imported as ESM and as CommonJS. */
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { publint } from 'publint';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { browserSafe, readEntries } from '../scripts/entries.js';
import { type Import, readHouse } from './support/house.js';
import { Program } from './support/program.js';
import { output, run } from './support/shell.js';

// Compilers and checkers run here: how long that takes is the machine's business.
vi.setConfig({ testTimeout: 300_000 });

interface Manifest {
  readonly name: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
}

const root = process.cwd();
const bin = (name: string): string => join(root, 'node_modules/.bin', name);
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;
const entries = readEntries(root);
const specifierOf = (path: string): string => posix.join(manifest.name, path);

describe('package.json', () => {
  const imports = reachableImports();
  const named = new Set(imports.flatMap(({ package: name }) => name ?? []).filter((name) => !isBuiltin(name)));

  it('declares every package that an entry reaches, types included', () => {
    const declared = { ...manifest.dependencies, ...manifest.peerDependencies };
    expect([...named].filter((name) => !Object.hasOwn(declared, name))).toEqual([]);
  });

  it('declares every package that samples, tests, benches and scripts import', () => {
    const { name: own, dependencies, peerDependencies, devDependencies } = manifest;
    const declared = { ...dependencies, ...peerDependencies, ...devDependencies, [own]: 'itself' };
    const house = readHouse('schemas', 'samples', 'test', 'bench', 'scripts');
    const used = [...house.values()].flatMap((module) => module.imports.map((found) => found.package ?? own));
    expect(used.filter((name) => !isBuiltin(name) && !Object.hasOwn(declared, name))).toEqual([]);
  });

  it('has no dependency that nothing uses', () => {
    expect(Object.keys(manifest.dependencies).filter((name) => !named.has(name))).toEqual([]);
  });

  it('loads an optional peer only when it is asked for', () => {
    const optional = Object.keys(manifest.peerDependenciesMeta);
    const eager = imports.filter((found) => !found.lazy && !found.erased && optional.includes(found.package ?? ''));
    expect(eager).toEqual([]);
  });
});

describe('package-lock.json', () => {
  interface Locked {
    readonly resolved?: string;
    readonly optionalDependencies?: Readonly<Record<string, string>>;
  }
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, Locked> };

  // Without an entry, `npm ci` asks the registry for the package and refuses the lock file for not naming it.
  it('names the optional packages of every platform', () => {
    const absent = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => lookUp(path, name) === undefined),
    );
    expect(absent).toEqual([]);
  });

  it('names no registry but the public one', () => {
    const urls = Object.values(packages).flatMap(({ resolved }) => resolved ?? []);
    expect(urls.filter((url) => !url.startsWith('https://registry.npmjs.org/'))).toEqual([]);
  });

  /** The entry that Node's resolution finds for a name asked for by the package at `path`. */
  function lookUp(path: string, name: string): Locked | undefined {
    const found = packages[posix.join(path, 'node_modules', name)];
    if (found !== undefined || path === '') return found;
    return lookUp(path.slice(0, Math.max(0, path.lastIndexOf('node_modules/') - 1)), name);
  }
});

describe('the tarball', () => {
  let folder = '';
  let tarball = '';
  let consumer = '';
  let installed = '';
  let files: readonly string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'genkitx-agent-package-'));
    // Built in a copy, so that a run beside this one finds its `dist` untouched.
    const source = join(folder, 'source');
    await cp(root, source, {
      recursive: true,
      filter: (path) => !/^\/(node_modules|dist|\.git)$/.test(path.slice(root.length)),
    });
    await symlink(join(root, 'node_modules'), join(source, 'node_modules'));
    await output('npm', ['run', 'build'], source);
    const [packed] = JSON.parse(await output('npm', ['pack', '--json', '--pack-destination', folder], source)) as [
      { readonly filename: string; readonly files: readonly { readonly path: string }[] },
    ];
    tarball = join(folder, packed.filename);
    files = packed.files.map(({ path }) => path);

    consumer = join(folder, 'consumer');
    installed = join(consumer, 'node_modules', manifest.name);
    await mkdir(consumer);
    await writeFile(join(consumer, 'package.json'), '{ "private": true }');
    // What the package depends on comes from our own copies, as packages: no registry is asked, which might not answer.
    const own = Object.keys(manifest.dependencies).map((name) => join(root, 'node_modules', name));
    const local = ['--offline', '--install-links', '--ignore-scripts', '--no-audit', '--no-fund'];
    await output('npm', ['install', ...local, '--legacy-peer-deps', '--omit=peer', tarball, ...own], consumer);
    // Genkit is a peer of 500 packages: the consumer borrows ours. The optional peers stay absent.
    await symlink(join(root, 'node_modules/genkit'), join(consumer, 'node_modules/genkit'));
  }, 600_000);

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('holds the built entries, the schemas, the documents and the samples, and nothing else', () => {
    const allowed =
      /^(dist\/.+\.(js|cjs|d\.ts|d\.cts)|schemas\/([\w-]+\.json|README\.md)|docs\/.+\.md|samples\/.+\.(ts|mjs|md)|README\.md|LICENSE|CHANGELOG\.md|package\.json)$/;
    const built = entries.flatMap(({ name }) => ['js', 'cjs', 'd.ts', 'd.cts'].map((kind) => `dist/${name}.${kind}`));
    const wanted = ['dist/bin.js', 'README.md', 'LICENSE', 'CHANGELOG.md', 'schemas/agent-output.json', ...built];
    expect(files.filter((path) => !allowed.test(path))).toEqual([]);
    expect(wanted.filter((path) => !files.includes(path))).toEqual([]);
  });

  it('has documents that link to nothing it does not hold', () => {
    const pages = files.filter((path) => path.endsWith('.md'));
    const targets = pages.flatMap((page) => {
      const links = readFileSync(join(installed, page), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g);
      return [...links].map(([, path = '']) => posix.join(posix.dirname(page), path));
    });
    expect(targets.length).toBeGreaterThan(pages.length);
    expect(targets.filter((path) => !files.includes(path))).toEqual([]);
  });

  it('has no private member whose name CommonJS takes for that of an export, and assigns that too', () => {
    const mistaken = files
      .filter((path) => path.endsWith('.cjs'))
      .flatMap((path) => readFileSync(join(installed, path), 'utf8').match(/#\w+ = exports\..*/g) ?? []);
    expect(mistaken).toEqual([]);
  });

  it('gives publint nothing to report', async () => {
    const { messages } = await publint({ pkgDir: installed, pack: false, strict: true, level: 'suggestion' });
    expect(messages).toEqual([]);
  });

  it('gives attw nothing to report', async () => {
    const { exitCode, stdout } = await run(bin('attw'), [tarball, '--profile', 'node16', '--no-emoji'], folder);
    expect(exitCode, stdout).toBe(0);
  });

  describe.each([
    { format: 'ESM', file: 'probe.mjs', load: 'import' },
    { format: 'CommonJS', file: 'probe.cjs', load: 'require' },
  ])('as $format', ({ file, load }) => {
    it('exports from every entry what its source exports, one copy of each', async () => {
      const specifiers = entries.map(({ path }) => specifierOf(path));
      const probe = `(async () => {
        const found = {};
        const shared = new Map();
        const copies = [];
        for (const specifier of ${JSON.stringify(specifiers)}) {
          const module = await ${load}(specifier);
          found[specifier] = Object.keys(module).sort();
          for (const [name, value] of Object.entries(module)) {
            if (shared.has(name) && shared.get(name) !== value) copies.push(specifier + ' ' + name);
            shared.set(name, value);
          }
        }
        console.log(JSON.stringify({ found, copies }));
      })();`;
      await writeFile(join(consumer, file), probe);
      const { stdout, stderr } = await run(process.execPath, [file], consumer);

      expect(stderr).toBe('');
      expect(JSON.parse(stdout)).toEqual({ found: await sourceExports(), copies: [] });
    });

    it('runs an agent', async () => {
      const open = load === 'import' ? 'await import' : 'require';
      await writeFile(join(consumer, `agent-${file}`), agentProgram(open));
      const { stdout, stderr } = await run(process.execPath, [`agent-${file}`], consumer);

      expect({ stdout, stderr }).toEqual({
        stdout: '{"chunks":["you said hello"],"output":"bye","turns":1}\n',
        stderr: '',
      });
    });
  });

  it('has a bin that starts the agents of a module, which has the same copy of everything', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
    expect(await output('npx', ['--no-install', manifest.name, '--version'], consumer)).toBe(`${version}\n`);

    await writeFile(join(consumer, 'agents.mjs'), namedAgents);
    const program = join(consumer, 'node_modules/.bin', manifest.name);
    await using running = new Program(program, ['agents.mjs'], { cwd: consumer });
    expect(await running.end('ask echo hello\nstatus echo\n'), running.output).toEqual({ code: 0, signal: null });
    expect(running.output).toContain('You said: hello\n');
    expect(running.output).toContain("knows    { name: 'echo' }\n");

    // As a compiler makes CommonJS of a module: what it exports by default is found one level deeper.
    const compiled =
      "exports.__esModule = true; exports.default = async (host) => (await import('./agents.mjs')).default(host)";
    await writeFile(join(consumer, 'compiled.cjs'), compiled);
    await using again = new Program(program, ['compiled.cjs'], { cwd: consumer });
    expect(await again.end('list\n'), again.output).toEqual({ code: 0, signal: null });
  });

  it('type-checks in a strict consumer of either format', async () => {
    const all = entries.map(({ path }, index) => `import * as e${index} from '${specifierOf(path)}';`).join('\n');
    const used = `export const all = [${entries.map((_, index) => `e${index}`).join(', ')}];`;
    for (const kind of ['mts', 'cts'])
      await writeFile(join(consumer, `types.${kind}`), `${all}\n${used}\n${typedAgent}`);
    const strict = ['--strict', '--exactOptionalPropertyTypes'];
    const options = ['--noEmit', ...strict, '--skipLibCheck', '--module', 'nodenext', '--target', 'es2022'];
    // @types/node stands in for what a consumer on Node has.
    const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
    const { stdout } = await run(bin('tsc'), [...options, ...types, 'types.mts', 'types.cts'], consumer);
    expect(stdout).toBe('');
  });

  describe.each(browserSafe)('%s', (path) => {
    it.each(['js', 'cjs'])('reaches neither a Node builtin nor Genkit, chunk by chunk (%s)', async (extension) => {
      const name = entries.find((entry) => entry.path === path)?.name;
      const reached = await builtReach(join(installed, 'dist'), `${name}.${extension}`);
      expect(reached.filter((specifier) => isBuiltin(specifier) || specifier.includes('genkit'))).toEqual([]);
      expect(reached.filter((specifier) => !Object.hasOwn(manifest.dependencies, specifier))).toEqual([]);
    });
  });

  it('keeps the prefix of builtins that have no name without it', async () => {
    const reached = await builtReach(join(installed, 'dist'), 'stores/sqlite.js');
    expect(reached.filter((specifier) => builtinModules.includes(specifier))).toEqual([]);
  });
});

function isBuiltin(specifier: string): boolean {
  return specifier.startsWith('node:') || builtinModules.includes(specifier);
}

/** Every import of every source file that an entry reaches, by whatever way. */
function reachableImports(): Import[] {
  const house = readHouse('src', 'schemas');
  const reached = new Set<string>(entries.map(({ source }) => source));
  // A set goes on to what is added to it while it is walked.
  for (const path of reached) {
    for (const { target } of house.get(path)?.imports ?? []) if (target !== undefined) reached.add(target);
  }
  return [...reached].flatMap((path) => house.get(path)?.imports ?? []);
}

/** What each entry exports at run time, asked of its source. */
async function sourceExports(): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const { path, source } of entries) {
    const module = (await import(/* @vite-ignore */ join(root, source))) as object;
    found[specifierOf(path)] = Object.keys(module).sort();
  }
  return found;
}

/** Every package or builtin that a built file names, itself or through its chunks. */
async function builtReach(dist: string, file: string): Promise<string[]> {
  const reached = new Set<string>();
  const paths = new Set([file]);
  for (const path of paths) {
    const { importedFiles } = ts.preProcessFile(await readFile(join(dist, path), 'utf8'), true, true);
    for (const { fileName } of importedFiles) {
      if (fileName.startsWith('.')) paths.add(posix.join(posix.dirname(path), fileName));
      else reached.add(fileName);
    }
  }
  return [...reached];
}

const agentBody = `
    const ai = genkit({});
    const chat = defineAgent(
      ai,
      {
        name: 'chat',
        inputSchema: z.string(),
        streamSchema: z.string(),
        outputSchema: z.string(),
        stateSchema: z.object({ turns: z.number() }),
        initialState: { turns: 0 },
      },
      async ({ session, inputStream, responder }) => {
        for await (const input of inputStream) {
          await responder.send('you said ' + input);
          await session.updateState((draft) => {
            draft.turns += 1;
          });
          await responder.endTurn();
        }
        return { output: 'bye' };
      },
    );
    const connection = chat.streamBidi({});`;

/** A whole conversation with nothing but the package and Genkit; `open` is how the format loads a module. */
function agentProgram(open: string): string {
  return `(async () => {
    const { defineAgent } = ${open}('${manifest.name}');
    const { genkit, z } = ${open}('genkit');
    ${agentBody}
    connection.send('hello');
    const chunks = [];
    for await (const chunk of connection.receive()) chunks.push(chunk);
    connection.close();
    const { output, state } = await connection.output();
    console.log(JSON.stringify({ chunks, output, turns: state.turns }));
  })();`;
}

/** For the bin: the agent knows its name only where the bin and the module have one copy of the host. */
const namedAgents = `
  import { scriptedBackend } from '${manifest.name}/backends/scripted';
  import { currentName, defineBehaviour, noreply } from '${manifest.name}/host';
  const echo = defineBehaviour({
    init: () => ({ state: { name: 'nobody' } }),
    handleResponse: () => noreply({ name: currentName() }),
  });
  export default (host) =>
    host.start(echo, { name: 'echo', backend: scriptedBackend({ turns: [({ text }) => 'You said: ' + text] }) });`;

const typedAgent = `
  import { defineAgent, type SessionStore } from '${manifest.name}';
  import type { PostgresSessionStore } from '${manifest.name}/stores/postgres';
  import type { RedisSessionStore } from '${manifest.name}/stores/redis';
  import type { SqliteSessionStore } from '${manifest.name}/stores/sqlite';
  import { genkit, z } from 'genkit';
  export async function typed() {
    ${agentBody}
    await connection.send('hello');
    // @ts-expect-error the input is a string
    await connection.send(1);
    for await (const chunk of connection.receive()) chunk.toUpperCase();
    const { output, state } = await connection.output();
    return output.length + state.turns;
  }
  export const asStores = (all: (SqliteSessionStore | PostgresSessionStore | RedisSessionStore)[]): SessionStore[] => all;`;
