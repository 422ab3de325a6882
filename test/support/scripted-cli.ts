/** The scripted CLI of `fixtures/scripted-cli.mjs`, in the hands of a test. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ModelTurn } from '../../src/testing/backend-suite.js';

/** What the CLI does in one turn, beside what any model does. */
export interface CliPlay extends ModelTurn {
  /** Ignores SIGTERM. */
  readonly stubborn?: boolean;
  /** Processes it starts and leaves running. */
  readonly children?: readonly { readonly stubborn?: boolean; readonly ownGroup?: boolean }[];
  /** Lines it says first, as they are. */
  readonly raw?: readonly string[];
  readonly newline?: string;
  readonly stderr?: string;
  /** Exits with this code at once. */
  readonly exit?: number;
  /** Writes byte by byte. */
  readonly bytewise?: boolean;
  /** Goes on living when its turn is over. */
  readonly lingers?: boolean;
  /** Members of Claude's result message. */
  readonly result?: Readonly<Record<string, unknown>>;
}

/** What it was asked. */
export interface CliAsked {
  readonly prompt: string;
  readonly earlier: number;
  readonly system?: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

const fixture = resolve('test/support/fixtures/scripted-cli.mjs');

/** A folder with the plays of a CLI, and the processes that play them. `await using` ends both. */
export class ScriptedCli implements AsyncDisposable {
  readonly command = process.execPath;
  readonly commandArguments: readonly string[];
  readonly folder: string;
  #plays = 0;

  constructor(kind: 'claude' | 'codex', folder: string) {
    this.folder = folder;
    this.commandArguments = [fixture, kind, folder];
    for (const name of ['plays', 'pids', 'escaped']) mkdirSync(join(folder, name));
  }

  static async start(kind: 'claude' | 'codex'): Promise<ScriptedCli> {
    return new ScriptedCli(kind, await mkdtemp(join(tmpdir(), 'scripted-cli-')));
  }

  play(turn: CliPlay): void {
    this.#plays += 1;
    writeFileSync(join(this.folder, 'plays', `${String(this.#plays).padStart(6, '0')}.json`), JSON.stringify(turn));
  }

  asked(): CliAsked[] {
    const file = join(this.folder, 'asked.jsonl');
    if (!existsSync(file)) return [];
    return (
      readFileSync(file, 'utf8')
        .split('\n')
        // A line that is being written is none yet; nor is there one after the last.
        .slice(0, -1)
        .map((line) => JSON.parse(line) as CliAsked)
    );
  }

  /** Processes that live, the CLI's own children included. */
  working(): number {
    return this.#pids('pids').filter(isAlive).length;
  }

  /** Children that have come up. */
  childrenUp(): number {
    const file = join(this.folder, 'children.up');
    return existsSync(file) ? readFileSync(file, 'utf8').length : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of [...this.#pids('pids'), ...this.#pids('escaped')]) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #pids(folder: string): number[] {
    return readdirSync(join(this.folder, folder)).map(Number);
  }
}

/** A zombie is no life: somebody only has not looked at it yet. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return !existsSync('/proc/self/stat');
  }
}

/** Ends the wait for what does not come; what comes does so much sooner, even where the machine is busy. */
const patienceMs = 30_000;

/** Waits for something the file system or the process table tells, turn by turn of the event loop. */
export async function until(isSo: () => boolean): Promise<void> {
  const startedAt = Date.now();
  while (!isSo()) {
    if (Date.now() - startedAt > patienceMs) throw new Error(`not within ${patienceMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
