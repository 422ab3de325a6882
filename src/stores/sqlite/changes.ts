/** Those who wait for something to change in the database, by this process or another, and the one look for all of them. */
import { AgentFlowError } from '../../errors.js';
import { systemClock } from '../../internal/clock.js';
import type { SqliteConnection } from './database.js';
import type { Queries } from './open-database.js';

/** What somebody wants to know as soon as it is so. */
export interface Question {
  /** Looks whether it is so. What it answers is called when the look is over; then the question may be asked again. */
  ask(queries: Queries): (() => void) | undefined;
  /** The database cannot tell; the question is forgotten. */
  fail(error: unknown): void;
}

/** How often other processes are looked after: as seldom as nobody notices. A look costs some microseconds. */
const lookEveryMs = 20;

/** The open questions to one database. It is looked at only while there are any. */
export class Changes {
  readonly #connection: SqliteConnection;
  readonly #questions = new Set<Question>();
  /** The state of the database that all questions have been asked about. */
  #version: number | undefined;
  #isLooking = false;
  #cancelLook: (() => void) | undefined;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  /** Asks now, and after every change until it is dropped. */
  add(question: Question): void {
    this.#questions.add(question);
    this.made();
  }

  drop(question: Question): void {
    this.#questions.delete(question);
    if (this.#questions.size > 0) return;
    this.#cancelLook?.();
    this.#cancelLook = undefined;
  }

  /** This process has changed something: nobody has to wait for the next look. */
  made(): void {
    this.#version = undefined;
    if (this.#questions.size > 0 && !this.#isLooking) void this.#look();
  }

  /** The database is closed. */
  close(): void {
    this.#failAll(new AgentFlowError('STORE_FAILED', 'The SQLite session store is closed'));
  }

  async #look(): Promise<void> {
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    this.#isLooking = true;
    try {
      // Before the questions: what changes while they are asked is looked at again.
      const version = await this.#connection.dataVersion();
      if (version !== this.#version) {
        this.#version = version;
        await this.#askAll();
      }
    } catch (error) {
      this.#failAll(error);
    } finally {
      this.#isLooking = false;
    }
    if (this.#questions.size === 0) return;
    if (this.#version === undefined) void this.#look();
    else this.#cancelLook = systemClock.after(lookEveryMs, () => void this.#look());
  }

  async #askAll(): Promise<void> {
    const asked = [...this.#questions];
    const answers = await this.#connection.read((queries) => asked.map((question) => question.ask(queries)));
    for (const answer of answers) answer?.();
  }

  #failAll(error: unknown): void {
    const asked = [...this.#questions];
    for (const question of asked) this.drop(question);
    for (const question of asked) question.fail(error);
  }
}
