/** Starts processes that share one session database, and kills them. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { built } from './built.js';
import { dieWithUs } from './last-will.js';

/** A process on its own. */
export class SqliteChild {
  readonly #process: ChildProcessByStdio<null, Readable, null>;
  readonly #said: string[] = [];
  readonly #ended: Promise<unknown>;
  #onLine: () => void = () => {};

  /** Runs one command of `sqlite-child.ts` on the database. */
  constructor(path: string, command: string, ...args: string[]) {
    const stdio: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit'];
    this.#process = spawn(process.execPath, [built('test/support/sqlite-child.ts'), path, command, ...args], { stdio });
    dieWithUs(this.#process);
    const lines = createInterface({ input: this.#process.stdout });
    lines.on('line', (line) => {
      this.#said.push(line);
      this.#onLine();
    });
    this.#ended = Promise.all([once(this.#process, 'exit'), once(lines, 'close')]);
  }

  /** All it has said, once it has ended by itself. */
  async lines(): Promise<string[]> {
    await this.#ended;
    if (this.#process.exitCode !== 0) throw new Error(`The child ended with ${this.#process.exitCode}`);
    return this.#said;
  }

  /** Kills it as soon as it has said so many lines; answers those, and whatever it said until it was dead. */
  async killAfter(lines: number): Promise<string[]> {
    await new Promise<void>((resolve) => {
      this.#onLine = () => {
        if (this.#said.length >= lines) resolve();
      };
      this.#onLine();
      this.#process.once('exit', () => resolve());
    });
    this.#process.kill('SIGKILL');
    await this.#ended;
    if (this.#process.signalCode !== 'SIGKILL') throw new Error(`The child ended with ${this.#process.exitCode}`);
    return this.#said;
  }
}
