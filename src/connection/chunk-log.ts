/** What a run has said, as one list: its chunks, and marks between them for the turns. */

/** The end of a turn, as it stands among the chunks. */
export class TurnEnd {
  readonly interrupted: boolean;
  readonly error: unknown;

  constructor(interrupted: boolean, error?: unknown) {
    this.interrupted = interrupted;
    this.error = error;
  }
}

/** The beginning of a turn. */
export class TurnStart {
  readonly turn: number;
  readonly attempt: number;

  constructor(turn: number, attempt: number) {
    this.turn = turn;
    this.attempt = attempt;
  }
}

/** A chunk, or a mark between chunks. */
export type LogEntry<Stream> = Stream | TurnStart | TurnEnd;

/** Where an entry stands: its turn and attempt, and how many chunks of the turn came before it. */
export interface LogPosition {
  readonly index: number;
  readonly turn: number;
  readonly attempt: number;
  readonly seq: number;
}

/** Somebody who is told of every entry, in the call that adds it. */
export interface LogFollower {
  /** The log has one more entry. Must not throw. */
  logGrew(): void;
}

/** Where every log begins. */
const beginning: LogPosition = { index: 0, turn: 0, attempt: 1, seq: 0 };

/** Forgotten entries are cut off in blocks, so that cutting costs nothing per chunk. */
const cutBlock = 1_024;

/**
 * Everything a run has said, in one list that the reader and any number of watchers walk, each at its own pace. What
 * has been read is kept for late watchers up to a bound, then forgotten from the old end.
 */
export class ChunkLog<Stream> {
  readonly #keep: number;
  #entries: LogEntry<Stream>[] = [];
  #start: LogPosition = beginning;
  #waiting: (() => void)[] | undefined;
  /** At most one; others wait for {@link grown}. */
  follower: LogFollower | undefined;

  /** @param keep how many entries that have been read are kept for watchers */
  constructor(keep: number) {
    this.#keep = keep;
  }

  /** Index of the next entry to come. */
  get end(): number {
    return this.#start.index + this.#entries.length;
  }

  /** The oldest entry that is kept. */
  get start(): LogPosition {
    return this.#start;
  }

  at(index: number): LogEntry<Stream> | undefined {
    return this.#entries[index - this.#start.index];
  }

  append(entry: LogEntry<Stream>): void {
    this.#entries.push(entry);
    if (this.#waiting !== undefined) this.wake();
    this.follower?.logGrew();
  }

  /** The next entry, or the end of the run, or nothing: resolves at the next `wake`. */
  grown(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting ??= [];
      this.#waiting.push(resolve);
    });
  }

  wake(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const resolve of waiting) resolve();
  }

  /** Forgets what is older than the bound; nothing at or after `readUpTo` is ever forgotten. */
  forget(readUpTo: number): void {
    const surplus = Math.min(readUpTo, this.end - this.#keep) - this.#start.index;
    if (surplus < cutBlock || surplus < this.#entries.length / 2) return;
    this.#start = positionAfter(this.#start, this.#entries, surplus);
    this.#entries = this.#entries.slice(surplus);
  }
}

/** Where the entry after this one stands. */
export function advance(position: LogPosition, entry: unknown): LogPosition {
  const index = position.index + 1;
  if (entry instanceof TurnStart) return { index, turn: entry.turn, attempt: entry.attempt, seq: 0 };
  return { ...position, index, seq: position.seq + 1 };
}

/** Where the entry after the first `count` entries stands: `advance`, many times, with one object made at the end. */
function positionAfter(start: LogPosition, entries: readonly unknown[], count: number): LogPosition {
  let { turn, attempt, seq } = start;
  for (let index = 0; index < count; index++) {
    const entry = entries[index];
    seq += 1;
    if (!(entry instanceof TurnStart)) continue;
    ({ turn, attempt } = entry);
    seq = 0;
  }
  return { index: start.index + count, turn, attempt, seq };
}
