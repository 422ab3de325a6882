/**
 * The benchmark: `npm run bench`, or `npm run bench -- chunks idle` for some of its questions. `--write` keeps the tables
 * in README.md. Every question runs in a process of its own, all its contestants in the same one.
 */
import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { argv, env, version } from 'node:process';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';
import { questions } from './questions.js';
import { type Answer, toMarkdown } from './support/report.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const readme = `${here}README.md`;
/** Inside the project, so that packages are found from there. */
const built = `${here}../node_modules/.cache/genkitx-agent-bench`;
/** Telemetry as it is in production by default: spans are made and batched, and there is no server to send them to. */
const childEnv = { ...env, NODE_ENV: 'production', GENKIT_ENV: 'prod' };

const names = argv.slice(2).filter((argument) => !argument.startsWith('--'));
const isToBeKept = argv.includes('--write');
if (isToBeKept && names.length > 0) throw new Error('--write replaces all tables: name no question beside it');
await buildChild();
const results = await askAll(names.length === 0 ? questions.map(({ name }) => name) : names);
if (isToBeKept) keep(results);

/** As the package itself is built: run from the sources, tsx would give a name to every closure each time it is made. */
async function buildChild(): Promise<void> {
  await build({
    entry: [`${here}child.ts`],
    outDir: built,
    format: 'esm',
    target: 'node20',
    skipNodeModulesBundle: true,
    removeNodeProtocol: false,
    clean: true,
    config: false,
    silent: true,
  });
}

async function askAll(chosen: readonly string[]): Promise<string> {
  const load = loadavg()[0]?.toFixed(1);
  const machine = `${cpus().length} cores of ${cpus()[0]?.model ?? 'an unknown machine'}, load ${load} before the start`;
  const sections = [`Node ${version}, ${machine}.`];
  const start = performance.now();
  console.log(sections[0]);
  for (const { name, title } of questions) {
    if (!chosen.includes(name)) continue;
    const asked = performance.now();
    const section = toMarkdown(title, await ask(name));
    console.log(`\n${section}\n\n${seconds(asked)}`);
    sections.push(section);
  }
  console.log(`\nTogether ${seconds(start)}`);
  return sections.join('\n\n');
}

function seconds(since: number): string {
  return `${Math.round((performance.now() - since) / 1_000)} s`;
}

function ask(name: string): Promise<Answer> {
  const child = fork(`${built}/child.js`, [name], { env: childEnv, execArgv: ['--expose-gc'] });
  return new Promise((resolve, reject) => {
    child.once('message', (answer) => resolve(answer as Answer));
    child.once('exit', (code) => reject(new Error(`The question "${name}" ended with code ${code}`)));
  });
}

/** Replaces what stands between the two marks in README.md. */
function keep(tables: string): void {
  const [before, rest] = readFileSync(readme, 'utf8').split('<!-- results -->');
  const after = rest?.split('<!-- end of results -->')[1];
  if (after === undefined) throw new Error(`${readme} has lost its marks`);
  writeFileSync(readme, `${before}<!-- results -->\n\n${tables}\n\n<!-- end of results -->${after}`);
}
