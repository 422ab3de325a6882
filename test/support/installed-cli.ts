/**
 * Vendors' own CLIs: named by a variable, in PATH, or fetched by npm for one test run where `GENKITX_AGENT_TEST_FETCH_CLIS`
 * is set. They are too large for a devDependency: 640 MB together.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** A CLI, or the reason why there is none. */
export interface InstalledCli extends AsyncDisposable {
  readonly path?: string;
  /** Why there is none; empty when there is one. */
  readonly missing: string;
}

/** Where a CLI comes from. */
export interface CliSource {
  /** Of the command. */
  readonly name: string;
  /** An environment variable with its path. */
  readonly variable: string;
  /** As npm knows it, with the version the tests were written against. */
  readonly package: string;
}

const fetchVariable = 'GENKITX_AGENT_TEST_FETCH_CLIS';
const fetchTimeoutMs = 180_000;

/** Finds a CLI, or fetches it; says on standard error when there is none. */
export async function installedCli(source: CliSource): Promise<InstalledCli> {
  const { name, variable } = source;
  const named = process.env[variable];
  const places = [
    ...(named === undefined || named === '' ? [] : [named]),
    ...(process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name)),
  ];
  const path = places.find(isExecutable);
  const nothing = async () => {};
  if (path !== undefined) return { path, missing: '', [Symbol.asyncDispose]: nothing };
  const fetched = process.env[fetchVariable] ? await fetchCli(source) : undefined;
  if (typeof fetched === 'object') return fetched;
  const missing = fetched ?? `no ${name} in PATH, ${variable} names none, and ${fetchVariable} is not set`;
  process.stderr.write(`The tests of the real ${name} are skipped: ${missing}\n`);
  return { missing, [Symbol.asyncDispose]: nothing };
}

/** The CLI in a folder of its own, which goes with it; or why npm could not fetch it. */
async function fetchCli({ name, package: wanted }: CliSource): Promise<InstalledCli | string> {
  const folder = await mkdtemp(join(tmpdir(), 'genkitx-agent-fetched-'));
  const path = join(folder, 'node_modules', '.bin', name);
  const dispose = () => rm(folder, { recursive: true, force: true, maxRetries: 10 });
  try {
    const args = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', wanted];
    await promisify(execFile)('npm', args, { timeout: fetchTimeoutMs });
    // The program itself is an optional package, one for each platform: where it could not be had, npm says nothing.
    await promisify(execFile)(path, ['--version'], { timeout: fetchTimeoutMs, env: { ...process.env, HOME: folder } });
  } catch (error) {
    await dispose();
    return `npm could not fetch ${wanted}: ${String(error).split('\n').at(0)}`;
  }
  return { path, missing: '', [Symbol.asyncDispose]: dispose };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
