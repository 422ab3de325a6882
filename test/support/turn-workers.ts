/** Processes that share one session through an agent, what they said, and whether the session is what they say. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { rebuildRecord } from '../../src/session/record.js';
import type { SessionStore } from '../../src/session/store.js';
import { dieWithUs } from './last-will.js';
import type { StoreAddress } from './shared-stores.js';

const program = fileURLToPath(new URL('./fixtures/turn-worker.ts', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a worker is started with. */
export interface WorkerOptions {
  readonly address: StoreAddress;
  readonly session: string;
  readonly name: string;
  readonly leaseTtlMs: number;
}

/** What a worker can say, each followed by the name of the turn but the last. */
export type WorkerWord = 'holding' | 'saved' | 'failed' | 'over';

/** One line of a worker. */
interface Said {
  readonly word: WorkerWord;
  readonly turn: string;
  /** The code of the error of a turn that failed. */
  readonly code: string | undefined;
}

/** One process. */
export class TurnWorker {
  readonly name: string;
  readonly said: Said[] = [];
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ended: Promise<unknown>;
  readonly #listeners = new Set<() => void>();

  constructor(options: WorkerOptions) {
    this.name = options.name;
    this.#process = spawn(process.execPath, ['--import', 'tsx', program, JSON.stringify(options)], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.stdin.on('error', () => {});
    dieWithUs(this.#process);
    const lines = createInterface({ input: this.#process.stdout });
    lines.on('line', (line) => this.#hear(line));
    this.#ended = Promise.all([once(this.#process, 'exit'), once(lines, 'close')]).then(() => this.#tell());
  }

  /** Every turn it was told is saved. */
  get saved(): string[] {
    return this.said.filter(({ word }) => word === 'saved').map(({ turn }) => turn);
  }

  /** Makes its next turn stop before it saves, sent with an id or without; answers that turn once it has the session. */
  async hold(how: 'id' | 'plain'): Promise<string> {
    const from = this.said.length;
    this.#process.stdin.write(`hold ${how}\n`);
    return (await this.#until(from, ({ word }) => word === 'holding')).turn;
  }

  /** Lets a turn that holds go on. */
  go(): void {
    this.#process.stdin.write('go\n');
  }

  /** The next turn it saves. */
  async untilSaved(): Promise<void> {
    await this.#until(this.said.length, ({ word }) => word === 'saved');
  }

  /** Its next turn that is saved, or that fails because the store does; answers which. */
  async untilSavedOrStuck(): Promise<'saved' | 'stuck'> {
    const { word } = await this.#until(
      this.said.length,
      (said) => said.word === 'saved' || said.code === 'STORE_FAILED',
    );
    return word === 'saved' ? 'saved' : 'stuck';
  }

  /** How a turn that was begun failed; answers the code. */
  async untilFailed(turn: string): Promise<string | undefined> {
    return (await this.#until(0, (said) => said.word === 'failed' && said.turn === turn)).code;
  }

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

  /** Lets it end after the turn it is having. */
  async stop(): Promise<void> {
    this.#process.stdin.write('stop\n');
    await this.#until(0, ({ word }) => word === 'over');
    await this.#ended;
  }

  #hear(line: string): void {
    if (!line.startsWith('["')) return;
    const [word, turn = '', code] = JSON.parse(line) as [WorkerWord, string?, string?];
    this.said.push({ word, turn, code });
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** The first of its lines from `from` on that fits; rejects when it ends before. */
  #until(from: number, fits: (said: Said) => boolean): Promise<Said> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.said.slice(from).find(fits);
        const { exitCode, signalCode } = this.#process;
        if (found === undefined && exitCode === null && signalCode === null) return;
        this.#listeners.delete(look);
        if (found === undefined) reject(new Error(`Worker ${this.name} ended: ${exitCode ?? signalCode}`));
        else resolve(found);
      };
      this.#listeners.add(look);
      look();
    });
  }
}

/** A turn as the session remembers it. */
export interface LoggedTurn {
  readonly name: string;
  readonly by: string;
  /** How many turns it had seen when it began, and a hash over them. */
  readonly saw: number;
  readonly chain: string;
}

/**
 * The turns of a session, after it was checked like a list that many have appended to: each turn is there once and had
 * seen exactly those before it, every turn that was told saved is there, those of each process in their order, and
 * nobody has saved anything else.
 */
export async function checkedLog(
  store: SessionStore,
  session: string,
  workers: readonly TurnWorker[],
): Promise<LoggedTurn[]> {
  const stored = await store.load(session);
  if (stored === undefined) throw new Error('The session is not there');
  const { turns } = rebuildRecord(stored).state as { turns: LoggedTurn[] };
  const problems: string[] = [];
  if (stored.head !== turns.length + 1) problems.push(`${turns.length} turns after ${stored.head} saves`);
  const places = new Map<string, number>();
  let chain = '';
  for (const [place, turn] of turns.entries()) {
    if (places.has(turn.name)) problems.push(`${turn.name} is there twice`);
    places.set(turn.name, place);
    if (turn.saw !== place || turn.chain !== chain) problems.push(`${turn.name} had not seen all before it`);
    chain = createHash('sha1').update(`${turn.chain} ${turn.name}`).digest('hex');
  }
  for (const worker of workers) {
    const found = worker.saved.map((turn) => places.get(turn) ?? -1);
    for (const [index, place] of found.entries()) {
      if (place < 0) problems.push(`${worker.saved[index]} was told saved and is not there`);
      else if (place < (found[index - 1] ?? -1)) problems.push(`${worker.saved[index]} is there too early`);
    }
  }
  if (problems.length > 0) throw new Error(problems.slice(0, 20).join('\n'));
  return turns;
}
