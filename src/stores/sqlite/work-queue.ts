/** Writes that are asked for at about the same time: one transaction and one flush for all of them. */
import { isAgentFlowError } from '../../errors.js';
import type { OpenDatabase, Queries, Transaction } from './open-database.js';

/** What is to be done, and who is told. */
interface Work {
  readonly transaction: Transaction;
  /** For which session. */
  readonly session: string;
  /** May be run again when what it wrote was undone. Answers what tells its caller; that is for after the commit. */
  run(queries: Queries): () => void;
  fail(error: unknown): void;
}

/** So many share a transaction: the event loop and other processes wait for all of it. */
const mostAtOnce = 100;

/** Stands for the session of those who read, and of several who have written together; no session is called so. */
const nobody = '';

/**
 * What is to be done on one database, in the order it was asked for. A session that writes alone is served at once. Where
 * another has written since the event loop last went round, writes are gathered until it has: what many sessions ask for
 * meanwhile, each in a callback of its own, is flushed together. None is told of before it is flushed, and none notices
 * the others: when one fails, each has a transaction of its own.
 */
export class WorkQueue {
  readonly #database: OpenDatabase;
  #waiting: Work[] = [];
  /** The session that has written in this round of the event loop. */
  #lastWriter: string | undefined;
  #nextRound: NodeJS.Immediate | undefined;

  constructor(database: OpenDatabase) {
    this.#database = database;
  }

  /** Sees all writes that were asked for before. */
  read<T>(work: (queries: Queries) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const read = toWork('READ', nobody, work, resolve, reject);
      if (this.#waiting.length === 0) this.#runAlone(read);
      else this.#waiting.push(read);
    });
  }

  /** All is written or nothing. A `NORMAL` write is flushed only when it meets a `FULL` one. */
  write<T>(transaction: 'FULL' | 'NORMAL', session: string, work: (queries: Queries) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(toWork(transaction, session, work, resolve, reject));
      const isAlone = this.#lastWriter === undefined || this.#lastWriter === session;
      if (isAlone && this.#waiting.length === 1) this.#runNext();
    });
  }

  /** Does all that was asked for, now. */
  finish(): void {
    while (this.#waiting.length > 0) this.#runNext();
  }

  #runNext(): void {
    const group = this.#waiting.slice(0, mostAtOnce);
    this.#waiting = this.#waiting.slice(mostAtOnce);
    const writes = group.filter(({ transaction }) => transaction !== 'READ');
    this.#lastWriter = writes.length === 1 ? writes[0]?.session : nobody;
    this.#nextRound ??= setImmediate(() => this.#beginRound());
    this.#write(writes);
    for (const work of group) if (work.transaction === 'READ') this.#runAlone(work);
  }

  #beginRound(): void {
    this.#nextRound = undefined;
    this.#lastWriter = undefined;
    if (this.#waiting.length > 0) this.#runNext();
  }

  #write(works: readonly Work[]): void {
    if (works.length > 1) this.#writeTogether(works);
    else for (const work of works) this.#runAlone(work);
  }

  #writeTogether(works: readonly Work[]): void {
    const transaction = works.some((work) => work.transaction === 'FULL') ? 'FULL' : 'NORMAL';
    const answers: (() => void)[] = [];
    let isBegun = false;
    try {
      this.#database.run(transaction, (queries) => {
        isBegun = true;
        for (const work of works) answers.push(this.#answerOf(work, queries));
      });
    } catch (error) {
      // Otherwise it is the transaction that failed: one for each would have to wait for the same lock, or fill the same disk.
      const isOneToBlame = isBegun && answers.length < works.length;
      for (const work of works) {
        if (isOneToBlame) this.#runAlone(work);
        else work.fail(error);
      }
      return;
    }
    for (const tell of answers) tell();
  }

  /** Throws what leaves something to undo. A refusal by this package that has written nothing does not. */
  #answerOf(work: Work, queries: Queries): () => void {
    const { changes } = this.#database;
    try {
      return work.run(queries);
    } catch (error) {
      if (!isAgentFlowError(error) || this.#database.changes !== changes) throw error;
      return () => work.fail(error);
    }
  }

  #runAlone(work: Work): void {
    let tell: () => void;
    try {
      tell = this.#database.run(work.transaction, (queries) => work.run(queries));
    } catch (error) {
      tell = () => work.fail(error);
    }
    tell();
  }
}

function toWork<T>(
  transaction: Transaction,
  session: string,
  work: (queries: Queries) => T,
  resolve: (result: T) => void,
  fail: (error: unknown) => void,
): Work {
  const run = (queries: Queries) => {
    const result = work(queries);
    return () => resolve(result);
  };
  return { transaction, session, run, fail };
}
