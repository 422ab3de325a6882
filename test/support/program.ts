/** Runs a program and talks to it: writes to its standard input, waits for what it prints, sends it signals. */
import { type ChildProcess, spawn } from 'node:child_process';
import { Transcript } from './transcript.js';

export interface ProgramOptions {
  /** Added to this process's environment; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Leads a process group of its own, so that a signal can reach all of it, as Ctrl-C in a terminal does. */
  readonly group?: boolean;
}

/** How a program ended. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program that runs, or has run. `await using` kills it. */
export class Program implements AsyncDisposable {
  readonly exited: Promise<ProgramEnd>;
  readonly #child: ChildProcess;
  readonly #isGroup: boolean;
  readonly #transcript = new Transcript();
  #hasEnded = false;

  constructor(command: string, args: readonly string[], { env = {}, cwd, group = false }: ProgramOptions = {}) {
    this.#isGroup = group;
    this.#child = spawn(command, args, { cwd, env: { ...process.env, ...env }, detached: group });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#transcript.add(text));
    }
    this.#child.stdin?.on('error', () => {});
    this.exited = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) => {
        this.#hasEnded = true;
        this.#transcript.end();
        resolve({ code, signal });
      });
    });
  }

  /** Everything it has printed, on either stream. */
  get output(): string {
    return this.#transcript.text;
  }

  /** Types text. */
  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Types a last text and ends the input; resolves when the program has ended. */
  end(text = ''): Promise<ProgramEnd> {
    this.#child.stdin?.end(text);
    return this.exited;
  }

  /** Waits until it prints the text, after what was waited for before. Rejects when it ends without. */
  until(text: string): Promise<void> {
    return this.#transcript.until(text);
  }

  /** Sends a signal to it, or to its whole group if it leads one. */
  signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#hasEnded) return;
    if (this.#isGroup) process.kill(-pid, signal);
    // It may have ended without having said so yet, which this forgives.
    else this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }
}
