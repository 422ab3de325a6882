/** A process that says what it does, a line of JSON each, and can be stopped in the middle of anything. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { bundled } from './built.js';
import { dieWithUs } from './last-will.js';

/** What a worker says in one line: a word, and what belongs to it. */
export type Line = readonly [word: string, ...rest: string[]];

/** One process. */
export class WorkerProcess<Said> {
  /** Everything it has said, in order. */
  readonly said: Said[] = [];
  /** Resolves when it has ended and all of its lines are here. */
  readonly ended: Promise<unknown>;
  readonly #name: string;
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #listeners = new Set<() => void>();
  #hasEnded = false;

  /**
   * @param name for errors
   * @param program a file in `fixtures`, given its options as its only argument, in JSON
   * @param read what a line says
   */
  constructor(name: string, program: string, options: object, read: (line: Line) => Said) {
    this.#name = name;
    const file = bundled(`test/support/fixtures/${program}`);
    this.#process = spawn(process.execPath, [file, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process.stdin.on('error', () => {});
    dieWithUs(this.#process);
    const lines = createInterface({ input: this.#process.stdout });
    lines.on('line', (line) => {
      if (!line.startsWith('["')) return;
      this.said.push(read(JSON.parse(line)));
      this.#tell();
    });
    this.ended = Promise.all([once(this.#process, 'exit'), once(lines, 'close')]).then(() => {
      this.#hasEnded = true;
      this.#tell();
    });
  }

  /** Says something to it. */
  write(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** The first of its lines from `from` on that fits; rejects when it ends before. */
  until(from: number, fits: (said: Said) => boolean): Promise<Said> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.said.slice(from).find(fits);
        // Of a process that has exited there may still be lines to come.
        if (found === undefined && !this.#hasEnded) return;
        const { exitCode, signalCode } = this.#process;
        this.#listeners.delete(look);
        if (found === undefined) reject(new Error(`Worker ${this.#name} ended: ${exitCode ?? signalCode}`));
        else resolve(found);
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** Without a word. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.ended;
  }

  freeze(): void {
    this.#process.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process.kill('SIGCONT');
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
