/** Runs every sample in a process of its own, two at a time, and fails if one fails: `npm run samples`. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));

/** What the samples that read from a terminal are given instead. */
const typed: Readonly<Record<string, string>> = { chat: 'my name is Ada\nwhat is my name?\n/history\n/quit\n' };

/** The samples, by the names of their folders. */
export const sampleNames: readonly string[] = readdirSync(folder)
  .filter((name) => existsSync(join(folder, name, 'main.ts')))
  .sort();

/** How a sample went. */
export interface SampleRun {
  readonly exitCode: number | null;
  /** All that it printed, on either stream. */
  readonly output: string;
  readonly seconds: number;
}

const withTsx = (main: string): readonly string[] => ['--import', 'tsx', join(dirname(folder), main)];

/**
 * Starts all samples, two at a time; each has its own promise.
 *
 * @param argumentsOf what Node is given to run a file, which is named from the root of the repository
 */
export function startSamples(argumentsOf = withTsx): ReadonlyMap<string, Promise<SampleRun>> {
  const lanes: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];
  return new Map(
    sampleNames.map((name, index) => {
      const lane = index % lanes.length;
      const run = Promise.resolve(lanes[lane]).then(() => runSample(name, argumentsOf(`samples/${name}/main.ts`)));
      lanes[lane] = run.catch(() => {});
      return [name, run];
    }),
  );
}

/** Samples work offline, so they get no key; and nothing of the user's, so the chat gets another place for its sessions. */
async function runSample(name: string, args: readonly string[]): Promise<SampleRun> {
  const startedAt = performance.now();
  const XDG_STATE_HOME = mkdtempSync(join(tmpdir(), 'samples-'));
  const { GEMINI_API_KEY: _gemini, ANTHROPIC_API_KEY: _anthropic, ...env } = process.env;
  const child = spawn(process.execPath, args, { env: { ...env, XDG_STATE_HOME }, cwd: dirname(folder) });
  child.stdin.end(typed[name] ?? '');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  rmSync(XDG_STATE_HOME, { recursive: true });
  return { exitCode, output, seconds: (performance.now() - startedAt) / 1_000 };
}

async function runAll(): Promise<void> {
  let failed = 0;
  for (const [name, run] of startSamples()) {
    const { exitCode, output, seconds } = await run;
    console.log(`${exitCode === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds.toFixed(1)} s)`);
    if (exitCode === 0) continue;
    failed += 1;
    console.log(`${output}\nexit code ${exitCode}`);
  }
  console.log(`${sampleNames.length - failed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runAll();
