/** Processes that share one session through an agent, what they said, and whether the session is what they say. */
import { createHash } from 'node:crypto';
import { rebuildRecord } from '../../src/session/record.js';
import type { SessionStore } from '../../src/session/store.js';
import type { StoreAddress } from './shared-stores.js';
import { type Line, WorkerProcess } from './worker-process.js';

/** What a worker is started with. */
export interface WorkerOptions {
  readonly address: StoreAddress;
  readonly session: string;
  readonly name: string;
  readonly leaseTtlMs: number;
}

/** What a worker can say, each followed by the name of the turn but the last two. */
export type WorkerWord = 'holding' | 'saved' | 'failed' | 'frozen' | 'over';

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
  readonly #process: WorkerProcess<Said>;

  constructor(options: WorkerOptions) {
    this.name = options.name;
    const read = ([word, turn = '', code]: Line): Said => ({ word: word as WorkerWord, turn, code });
    this.#process = new WorkerProcess(options.name, 'turn-worker.ts', options, read);
  }

  /** All it has said. */
  get said(): readonly Said[] {
    return this.#process.said;
  }

  /** Every turn it was told is saved. */
  get saved(): string[] {
    return this.said.filter(({ word }) => word === 'saved').map(({ turn }) => turn);
  }

  /** Makes its next turn stop before it saves, sent with an id or without; answers that turn once it has the session. */
  async hold(how: 'id' | 'plain'): Promise<string> {
    const from = this.said.length;
    this.#process.write(`hold ${how}`);
    return (await this.#process.until(from, ({ word }) => word === 'holding')).turn;
  }

  /** Lets a turn that holds go on. */
  go(): void {
    this.#process.write('go');
  }

  /** The next turn it saves. */
  async untilSaved(): Promise<void> {
    await this.#process.until(this.said.length, ({ word }) => word === 'saved');
  }

  /** Its next turn that is saved, or that fails because the store does; answers which. */
  async untilSavedOrStuck(): Promise<'saved' | 'stuck'> {
    const { word } = await this.#process.until(
      this.said.length,
      (said) => said.word === 'saved' || said.code === 'STORE_FAILED',
    );
    return word === 'saved' ? 'saved' : 'stuck';
  }

  /** How a turn that was begun failed; answers the code. */
  async untilFailed(turn: string): Promise<string | undefined> {
    return (await this.#process.until(0, (said) => said.word === 'failed' && said.turn === turn)).code;
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }

  freeze(): void {
    this.#process.freeze();
  }

  /** Between two pieces of its work: frozen while it writes to SQLite it would stop all who want to write. */
  async freezeBetweenSteps(): Promise<void> {
    const from = this.said.length;
    this.#process.write('freeze');
    await this.#process.until(from, ({ word }) => word === 'frozen');
  }

  thaw(): void {
    this.#process.thaw();
  }

  /** Lets it end after the turn it is having. */
  async stop(): Promise<void> {
    this.#process.write('stop');
    await this.#process.until(0, ({ word }) => word === 'over');
    await this.#process.ended;
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
  // Before the session is read: meanwhile they may save, and be told, what is not in it yet.
  const told = workers.map(({ saved }) => saved);
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
  for (const saved of told) {
    const found = saved.map((turn) => places.get(turn) ?? -1);
    for (const [index, place] of found.entries()) {
      if (place < 0) problems.push(`${saved[index]} was told saved and is not there`);
      else if (place < (found[index - 1] ?? -1)) problems.push(`${saved[index]} is there too early`);
    }
  }
  if (problems.length > 0) throw new Error(problems.slice(0, 20).join('\n'));
  return turns;
}
