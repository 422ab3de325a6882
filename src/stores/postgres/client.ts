/** The Postgres clients a store can work with, and how a statement is run on one. */
import { createHash } from 'node:crypto';
import { AgentFlowError, InvalidValueError } from '../../errors.js';

/** The part of a Postgres client that is used here. A `Client` and a `Pool` of `pg` and a `PGlite` fit as they are. */
export interface PostgresClient {
  /** Runs one statement with its parameters. */
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>;
}

/** A connection that a pool has lent. */
export interface PostgresPoolClient extends PostgresClient {
  /** Gives it back; `true` closes it instead. */
  release(destroy?: boolean): void;
}

/** A client with many connections, such as a `Pool` of `pg`. */
export interface PostgresPool extends PostgresClient {
  /** Lends a connection. */
  connect(): Promise<PostgresPoolClient>;
  /** As given to the pool. */
  readonly options?: { readonly max?: number };
}

/** Where the tables are. */
export type PostgresSource =
  | {
      /**
       * The pool that every call goes to. While somebody waits for a session, one of its connections listens for the
       * release; a pool of one connection is asked again and again instead.
       */
      readonly pool: PostgresPool;
    }
  | {
      /**
       * The one connection that every call goes to: an open `Client` of `pg`, or a `PGlite`. A transaction of yours that is
       * open on it would take the store's writes with it, so let it have none.
       */
      readonly client: PostgresClient;
    };

/** A statement, and the name under which a connection may keep it prepared; without one it never is. */
export interface Statement {
  readonly name?: string;
  readonly text: string;
}

/** A statement whose name no other text has, so that versions of this package that share a pooler never mix theirs up. */
export function statement(name: string, text: string): Statement {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8);
  return { name: `${name}_${hash}`, text };
}

/** How `pg` is told to prepare a statement once per connection. */
interface PreparingClient {
  query(
    statement: Required<Statement> & { readonly values: readonly unknown[] },
  ): Promise<{ readonly rows: unknown[] }>;
}

/** The queries of all stores on one connection, and of what listens on it: `pg` wants them one after another. */
const lastQueries = new WeakMap<PostgresClient, Promise<unknown>>();

/** Runs a query of a single connection when the ones before it are over. */
export function inTurn<T>(client: PostgresClient, query: () => Promise<T>): Promise<T> {
  const answer = (lastQueries.get(client) ?? Promise.resolve()).then(query);
  lastQueries.set(
    client,
    answer.catch(() => {}),
  );
  return answer;
}

/** As many as may collide at once where transactions are serializable by default; each round lets one through. */
const mostAttempts = 100;

/** Runs single statements. Throws `STORE_FAILED`, with the client's error as cause. */
export class PostgresConnection {
  readonly #client: PostgresClient;
  readonly #isPool: boolean;
  #isPreparing: boolean;

  /**
   * Throws `INVALID_VALUE` for a client that cannot query.
   *
   * @param isPreparing whether statements are kept prepared; by default for clients of `pg`
   */
  constructor(source: PostgresSource, isPreparing: boolean | undefined) {
    const isPool = 'pool' in source;
    const client = isPool ? source.pool : source.client;
    if (typeof client?.query !== 'function') {
      const path = isPool ? 'pool' : 'client';
      const received = client === null ? 'null' : typeof client;
      throw new InvalidValueError('option', [{ path, expected: 'a pool or client of Postgres', received }]);
    }
    this.#client = client;
    this.#isPool = isPool;
    this.#isPreparing = isPreparing ?? isOfPg(client);
  }

  /** How many statements can run at once. */
  get width(): number {
    if (!this.#isPool) return 1;
    const { options }: Partial<PostgresPool> = this.#client;
    const max = Number(options?.max);
    // Other pools mean by 0 that there is no limit.
    return max >= 1 ? max : Number.POSITIVE_INFINITY;
  }

  /** The rows of the answer. `Row` is what the statement selects. */
  async rows<Row>(statement: Statement, ...values: unknown[]): Promise<Row[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return (await this.#answer(statement, values)) as Row[];
      } catch (error) {
        // The statement was undone as a whole and sees more the next time; hardly ever, but under stricter isolation than usual.
        const isToRepeat = statesOfCollisions.includes(sqlStateOf(error)) || this.#givesUpPreparing(error);
        if (!isToRepeat || attempt === mostAttempts) throw failed(error);
      }
    }
  }

  /** The first row, or `undefined`. */
  async row<Row>(statement: Statement, ...values: unknown[]): Promise<Row | undefined> {
    return (await this.rows<Row>(statement, ...values))[0];
  }

  /** The first row; `undefined` also when the database has refused the statement for whatever reason, so that nothing was done. */
  async rowUnlessUndone<Row>(statement: Statement, ...values: unknown[]): Promise<Row | undefined> {
    try {
      return (await this.#answer(statement, values))[0] as Row | undefined;
    } catch (error) {
      if (this.#givesUpPreparing(error) || statesOfUndone.test(sqlStateOf(error) ?? '')) return undefined;
      throw failed(error);
    }
  }

  async #answer(statement: Statement, values: unknown[]): Promise<unknown[]> {
    const query = () => this.#query(statement, values);
    return (await (this.#isPool ? query() : inTurn(this.#client, query))).rows;
  }

  /** Something stands between us and the database that mixes up what is prepared: nothing was done, and goes without. */
  #givesUpPreparing(error: unknown): boolean {
    if (!statesOfMixedUpStatements.includes(sqlStateOf(error))) return false;
    this.#isPreparing = false;
    return true;
  }

  #query({ name, text }: Statement, values: unknown[]): Promise<{ readonly rows: unknown[] }> {
    if (!this.#isPreparing || name === undefined) return this.#client.query(text, values);
    return (this.#client as PostgresClient & PreparingClient).query({ name, text, values });
  }
}

/** Those of `pg` know how to prepare a statement; what else has a `query` may not. */
function isOfPg(client: PostgresClient): boolean {
  return 'totalCount' in client || 'getTypeParser' in client;
}

/** Serialization failure and deadlock. */
const statesOfCollisions: readonly (string | undefined)[] = ['40001', '40P01'];
/** A prepared statement is not there, or is there already. */
const statesOfMixedUpStatements: readonly (string | undefined)[] = ['26000', '42P05'];
/** A statement that failed, and not the connection or the server: what those were about to do, nobody knows, or 40003. */
const statesOfUndone = /^(?!08|40003|57P|58)(\d\d|P0)[\dA-Z]{3}$/;
/** An undefined table, column or sequence, and the state that the schema itself raises. */
const statesOfWrongTables: readonly (string | undefined)[] = ['42P01', '42703', '55000'];

function sqlStateOf(error: unknown): string | undefined {
  const isCoded = error instanceof Error && 'code' in error && typeof error.code === 'string';
  return isCoded ? String(error.code) : undefined;
}

function failed(cause: unknown): AgentFlowError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  if (!statesOfWrongTables.includes(sqlStateOf(cause)))
    return new AgentFlowError('STORE_FAILED', `Postgres failed: ${reason}`, { cause });
  // Trying again would not help, which the usual UNAVAILABLE would say.
  const message = `Postgres does not have this store's tables as they should be (${reason}): run migrate() once`;
  return new AgentFlowError('STORE_FAILED', message, { cause, status: 'FAILED_PRECONDITION' });
}
