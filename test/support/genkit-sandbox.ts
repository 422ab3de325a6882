/**
 * Where the real genkit-cli runs in a test: a home and a project folder of its own, a process group that can be ended
 * as one, and the ports one starting CLI at a time. Nothing is downloaded and nothing is written into the repository.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const fromHere = createRequire(import.meta.url);
const cliRoot = path.dirname(fromHere.resolve('genkit-cli/package.json'));
const fromCli = createRequire(path.join(cliRoot, 'package.json'));

/** Asks again and again until the answer is not `undefined`; a refused connection counts as "not yet". */
export async function poll<T>(what: string, deadlineMs: number, probe: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + deadlineMs;
  let lastError: unknown;
  while (Date.now() < end) {
    try {
      const answer = await probe();
      if (answer !== undefined) return answer;
    } catch (error) {
      if (error instanceof Fatal) throw error;
      lastError = error;
    }
    await wait(25);
  }
  throw new Error(`gave up after ${deadlineMs} ms: ${what}`, { cause: lastError });
}

/** Ends a `poll` at once: what is waited for can no longer happen. */
export class Fatal extends Error {}

/** A temporary folder that holds a home and a project; `remove` deletes both. */
export interface Sandbox {
  readonly root: string;
  readonly home: string;
  readonly project: string;
  remove(): void;
}

export function createSandbox(): Sandbox {
  const root = mkdtempSync(path.join(tmpdir(), 'genkit-cli-'));
  const home = path.join(root, 'home');
  const project = path.join(root, 'project');
  writeCliSettings(home);
  writeStubUi(home);
  mkdirSync(project, { recursive: true });
  // The CLI takes the nearest folder with a package.json for the project and puts `.genkit` there.
  writeFileSync(path.join(project, 'package.json'), '{"name":"genkit-cli-test","private":true}');
  // So that `node --import tsx …` finds tsx from the project, which is the command's working directory.
  symlinkSync(path.join(repository, 'node_modules'), path.join(project, 'node_modules'), 'junction');
  return { root, home, project, remove: () => rmSync(root, { recursive: true, force: true, maxRetries: 5 }) };
}

/** No analytics, and no question about them. */
function writeCliSettings(home: string): void {
  const folder = path.join(home, '.config', 'configstore', '@genkit-ai');
  mkdirSync(folder, { recursive: true });
  const settings = { userSettings: { analyticsOptOut: true }, analytics_notification: true };
  writeFileSync(path.join(folder, 'tools-common.json'), JSON.stringify(settings));
}

interface ZipLibrary {
  new (): { addFile(name: string, content: Buffer): void; toBuffer(): Buffer };
}

/** The Dev UI's front end is no part of any npm package; a zip that is already there keeps the CLI from fetching it. */
function writeStubUi(home: string): void {
  const tools = fromCli('@genkit-ai/tools-common/utils') as { toolsPackage: { version: string } };
  const { version } = tools.toolsPackage;
  const fromTools = createRequire(fromCli.resolve('@genkit-ai/tools-common/utils'));
  const Zip = fromTools('adm-zip') as ZipLibrary; // The one that the CLI reads it with.
  const zip = new Zip();
  zip.addFile('ui/browser/index.html', Buffer.from('<!doctype html><title>stub</title>'));
  const folder = path.join(home, '.genkit', 'assets', version);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${version}.zip`), zip.toBuffer());
}

/** How the CLI ended. */
interface CliEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The CLI and all it started, with everything they printed. */
export interface CliProcess {
  readonly pid: number;
  /** stdout alone, in pieces joined. */
  stdout(): string;
  /** stdout and stderr of the CLI and of the app, as they came. */
  output(): string;
  /** Settles when the CLI has ended. */
  readonly exited: Promise<CliEnd>;
  /** Settles when all that it and the app have printed is here too, which may be later. */
  readonly closed: Promise<CliEnd>;
  hasExited(): boolean;
  /** Sends the signal to the CLI alone, or with `group` to every process in its group. False when there is none left. */
  kill(signal: NodeJS.Signals | 0, target?: 'group'): boolean;
}

/** Runs `genkit <args>` in the sandbox, leading a process group of its own so that no child can be left behind. */
export function spawnCli(sandbox: Sandbox, args: readonly string[], env: NodeJS.ProcessEnv = {}): CliProcess {
  const entry = path.join(cliRoot, 'dist', 'bin', 'genkit.js');
  const child = spawn(process.execPath, [entry, '--non-interactive', '--no-update-notification', ...args], {
    cwd: sandbox.project,
    env: { ...cleanEnvironment(sandbox.home), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  if (child.pid === undefined) throw new Error('genkit-cli did not start');
  guard(child.pid, sandbox.root);
  return watch(child, child.pid);
}

function watch(child: ChildProcess, pid: number): CliProcess {
  let output = '';
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const kill = (signal: NodeJS.Signals | 0, target?: 'group') => signalTo(target === 'group' ? -pid : pid, signal);
  const told = (event: 'exit' | 'close') =>
    new Promise<CliEnd>((resolve) => child.once(event, (code, signal) => resolve({ code, signal })));
  const hasExited = () => child.exitCode !== null || child.signalCode !== null;
  const [exited, closed] = [told('exit'), told('close')];
  return { pid, stdout: () => stdout, output: () => output, exited, closed, hasExited, kill };
}

/**
 * Kills the group and removes its folder when this process is gone, however it ended (Ctrl-C and a killed test worker run
 * no exit handler): a second process that holds the other end of a pipe and sees it close.
 */
function guard(group: number, folder: string): void {
  const script = `process.stdin.resume().on('close', () => {
    try { process.kill(-${group}, 'SIGKILL'); } catch {}
    require('node:fs').rmSync(process.argv[1], { recursive: true, force: true, maxRetries: 5 });
  });`;
  const stdio = ['pipe', 'ignore', 'ignore'] as const;
  const guardian = spawn(process.execPath, ['-e', script, folder], { stdio: [...stdio], detached: true });
  guardian.unref();
  guardians.set(group, guardian);
}

const guardians = new Map<number, ChildProcess>();

/** False when there is no such process. */
function signalTo(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** Of our environment, what would steer Genkit, Node or tsx, or hand a developer's own key to an app under test. */
const notForTheCli = /^(GENKIT_|GEMINI_|GOOGLE_|VITEST|NODE_ENV$|NODE_OPTIONS$|TSX_)/;

function cleanEnvironment(home: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !notForTheCli.test(name));
  const tsconfig = path.join(repository, 'tsconfig.json');
  return {
    ...Object.fromEntries(kept),
    HOME: home,
    USERPROFILE: home,
    XDG_CONFIG_HOME: path.join(home, '.config'),
    GENKIT_CLI_DISABLE_UPDATE_NOTIFICATIONS: 'true',
    // tsx looks for a tsconfig in the working directory; the samples rely on the repository's `paths`.
    ...(existsSync(tsconfig) ? { TSX_TSCONFIG_PATH: tsconfig } : {}),
  };
}

/** Whether the process is still at work. One that has ended counts as gone even where nobody collects it (no init in a container). */
export function isRunning(pid: number): boolean {
  if (!signalTo(pid, 0)) return false;
  const status = `/proc/${pid}/status`;
  return !existsSync(status) || !/^State:\s*Z/m.test(readFileSync(status, 'utf8'));
}

/**
 * Ends the app and then the CLI, and returns when not one process of theirs is left. The app goes first, by its own pid:
 * SIGINT to the CLI alone would orphan it. What is still there after the grace period is killed as a group.
 */
export async function endProcesses(cli: CliProcess, appPid: number | undefined, graceMs = 5_000): Promise<void> {
  const ended = (isThere: () => boolean) => poll('the process ended', graceMs, async () => !isThere() || undefined);
  try {
    if (appPid !== undefined && signalTo(appPid, 'SIGTERM')) await ended(() => isRunning(appPid));
    cli.kill('SIGINT');
    await ended(() => cli.kill(0, 'group'));
  } catch {
    cli.kill('SIGKILL', 'group');
  }
  await cli.exited;
  guardians.get(cli.pid)?.kill('SIGKILL');
  guardians.delete(cli.pid);
}

/** Just below the ports that the CLI looks through. */
const lockPort = 3199;

/**
 * The CLI finds free ports for its telemetry (4033…) and its socket (3200…) by itself, but looks first and binds later, so
 * two that start at once may choose the same. Test files run in parallel processes: whoever listens on this port may
 * start one. The kernel gives it back when a holder dies.
 */
export async function oneStartAtATime<T>(work: () => Promise<T>): Promise<T> {
  const lock = await poll('another genkit-cli is starting', 120_000, tryLock);
  try {
    return await work();
  } finally {
    await new Promise((resolve) => lock.close(resolve));
  }
}

function tryLock(): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => resolve(undefined));
    server.listen(lockPort, '127.0.0.1', () => resolve(server));
  });
}

/** A port that nobody listens on now, below all that the kernel gives to whoever asks for any: so nobody takes it. */
export async function freeUiPort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 30_000);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
