/** A process with one run that others attach to. */
import type { StoreAddress } from './shared-stores.js';
import { type Line, WorkerProcess } from './worker-process.js';

/** What a worker is started with. */
export interface TalkWorkerOptions {
  readonly address: StoreAddress;
  readonly session: string;
  readonly leaseTtlMs: number;
}

/**
 * What it can say of itself: that it waits in mid-turn, that it is about to be frozen, that it was told to stop (code and
 * cause), and how its run ended.
 */
export type TalkWord = 'waiting' | 'frozen' | 'aborted' | 'over';

/** The process. */
export class TalkWorker {
  readonly #process: WorkerProcess<Line>;

  constructor(options: TalkWorkerOptions) {
    this.#process = new WorkerProcess('talk', 'talk-worker.ts', options, (line) => line);
  }

  /** Answers what it says beside this word; rejects when it ends without it. */
  async until(word: TalkWord): Promise<string[]> {
    const [, ...rest] = await this.#process.until(0, ([first]) => first === word);
    return rest;
  }

  /** Lets it say the rest. */
  go(): void {
    this.#process.write('go');
  }

  /** Without a word. */
  kill(): Promise<void> {
    return this.#process.kill();
  }

  /** Between two pieces of its work: frozen while it writes to SQLite it would stop all who want to write. */
  async freeze(): Promise<void> {
    this.#process.write('freeze');
    await this.until('frozen');
  }

  thaw(): void {
    this.#process.thaw();
  }
}
