/** A Postgres client that remembers what it was asked. */
import type { PostgresClient } from '../../src/stores/postgres.js';

/** Passes every query on. */
export class CountingClient implements PostgresClient {
  readonly texts: string[] = [];
  /** Awaited before each query. */
  before: () => void | Promise<void> = () => {};
  readonly #inner: PostgresClient;

  constructor(inner: PostgresClient) {
    this.#inner = inner;
  }

  async query(text: string, values?: unknown[]) {
    this.texts.push(text);
    await this.before();
    return this.#inner.query(text, values);
  }

  /** How many queries the work takes. */
  async countOf(work: () => Promise<unknown>): Promise<number> {
    const before = this.texts.length;
    await work();
    return this.texts.length - before;
  }
}
