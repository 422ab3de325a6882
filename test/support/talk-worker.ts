/** A process with one run that others attach to. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { dieWithUs } from './last-will.js';
import type { StoreAddress } from './shared-stores.js';

const program = fileURLToPath(new URL('./fixtures/talk-worker.ts', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a worker is started with. */
export interface TalkWorkerOptions {
  readonly address: StoreAddress;
  readonly session: string;
  readonly leaseTtlMs: number;
}

/** What it can say of itself: that it waits in mid-turn, that it was told to stop (code and cause), and how its run ended. */
export type TalkWord = 'waiting' | 'aborted' | 'over';

/** The process. */
export class TalkWorker {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #said: string[][] = [];
  readonly #ended: Promise<unknown>;
  #look: () => void = () => {};

  constructor(options: TalkWorkerOptions) {
    this.#process = spawn(process.execPath, ['--import', 'tsx', program, JSON.stringify(options)], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.stdin.on('error', () => {});
    dieWithUs(this.#process);
    const lines = createInterface({ input: this.#process.stdout });
    lines.on('line', (line) => {
      if (line.startsWith('["')) this.#said.push(JSON.parse(line));
      this.#look();
    });
    this.#ended = Promise.all([once(this.#process, 'exit'), once(lines, 'close')]).then(() => this.#look());
  }

  /** Answers what it says beside this word; rejects when it ends without it. */
  until(word: TalkWord): Promise<string[]> {
    return new Promise((resolve, reject) => {
      this.#look = () => {
        const found = this.#said.find(([first]) => first === word);
        const { exitCode, signalCode } = this.#process;
        if (found !== undefined) resolve(found.slice(1));
        else if (exitCode !== null || signalCode !== null)
          reject(new Error(`The worker ended: ${exitCode ?? signalCode}`));
      };
      this.#look();
    });
  }

  /** Lets it say the rest. */
  go(): void {
    this.#process.stdin.write('go\n');
  }

  /** Without a word. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  freeze(): void {
    this.#process.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process.kill('SIGCONT');
  }
}
