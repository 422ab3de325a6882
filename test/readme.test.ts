/** The prose is true: every TypeScript block compiles, the README's runs, and every link leads somewhere. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { startGeminiServer } from './support/gemini-server.js';
import { Program } from './support/program.js';

const root = process.cwd();
const pages = [
  'README.md',
  'samples/README.md',
  'schemas/README.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** The TypeScript blocks of all pages, under the names they are compiled as. */
const blocks = new Map(
  pages.flatMap((page) => {
    const found = [...readFileSync(page, 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)];
    return found.map(([, text = ''], index) => [join(root, `${page.replaceAll(/\W/g, '-')}-${index + 1}.ts`), text]);
  }),
);

/** What the compiler, as strict as for our own files, says of the blocks. */
function complaints(): string[] {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => blocks.has(path) || fileExists(path);
  host.readFile = (path) => blocks.get(path) ?? readFile(path);
  host.getSourceFile = (path, target, ...rest) => {
    const text = blocks.get(path);
    return text === undefined ? getSourceFile(path, target, ...rest) : ts.createSourceFile(path, text, target);
  };
  const program = ts.createProgram([...blocks.keys()], options, host);
  return [...blocks.keys()].flatMap((path) =>
    ts.getPreEmitDiagnostics(program, program.getSourceFile(path)).map(({ messageText, start = 0 }) => {
      const line = (blocks.get(path) ?? '').slice(0, start).split('\n').length;
      return `${path.slice(root.length + 1)}:${line} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    }),
  );
}

/** The headings of a page, as links name them. */
function headingsOf(page: string): string[] {
  const headings = [...readFileSync(page, 'utf8').matchAll(/^#+ (.+)$/gm)];
  return headings.map(([, text = '']) =>
    text
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );
}

describe('the prose', () => {
  it('has TypeScript that compiles', { timeout: 300_000 }, () => {
    expect(blocks.size).toBeGreaterThan(3);
    expect(complaints()).toEqual([]);
  });

  it.each(pages)('has links that lead somewhere: %s', (page) => {
    const links = [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)];
    const dead = links.filter(([, path = '', heading]) => {
      const target = path === '' ? page : resolve(dirname(page), path);
      return !existsSync(target) || (heading !== undefined && !headingsOf(target).includes(heading));
    });
    expect(dead.map(([link]) => link)).toEqual([]);
  });
});

describe('the README', () => {
  it('has an example that runs', { timeout: 180_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'genkitx-agent-readme-'));
    const [[, example = ''] = []] = blocks;
    mkdirSync(join(folder, 'src'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'src/example.ts'), example);
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');

    await using gemini = await startGeminiServer({ reply: ({ text }) => `[about: ${text}] ` });
    const args = [
      '--import',
      'tsx',
      '--import',
      join(root, 'test/support/fixtures/local-gemini.mjs'),
      'src/example.ts',
    ];
    const env = {
      GEMINI_API_KEY: 'test',
      LOCAL_GEMINI_URL: gemini.url,
      TSX_TSCONFIG_PATH: join(root, 'tsconfig.json'),
    };
    await using program = new Program(process.execPath, args, { cwd: folder, env });
    expect(await program.end(), program.output).toEqual({ code: 0, signal: null });
    expect(program.output).toBe('[about: Tell me about Go.] [about: What are channels used for?] 6\n');
    expect(gemini.requests.at(-1)?.body.contents).toHaveLength(5);
    expect(existsSync(join(folder, 'chat.db'))).toBe(true);
    rmSync(folder, { recursive: true, force: true });
  });

  it('names commands that there are', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    const readme = readFileSync('README.md', 'utf8');
    for (const command of ['npm ci && npm start', 'npm ci && npm test']) expect(readme).toContain(`    ${command}\n`);
    expect(scripts.start).toMatch(/ samples\/chat\/main\.ts$/);
  });
});
