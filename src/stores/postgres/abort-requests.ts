/** Runs of this process that want to know when they are asked to end: one question to the database for all of them. */
import { AgentFlowError } from '../../errors.js';
import type { Listening, Notices } from '../../session/notices.js';
import type { AbortListener } from '../../session/run-feed.js';
import type { SessionLease } from '../../session/store.js';
import { escapedText, unescapedText } from '../../session/store-checks.js';
import { here } from './answers.js';
import type { PostgresConnection, Statement } from './client.js';

interface ListeningRun {
  /** The two keys of its session. */
  readonly keys: string;
  readonly owner: string;
  readonly listener: AbortListener;
}

interface RequestRow {
  readonly keys: string;
  readonly owner: string;
  readonly fence: string;
  readonly reason: string;
}

/** All who listen on the tables of one prefix, whatever their tenant. */
export class AbortRequests {
  readonly #connection: PostgresConnection;
  readonly #notices: Notices;
  readonly #statement: Statement;
  readonly #token: string;
  /** Under their fences, of which a store has none twice. */
  readonly #runs = new Map<number, Set<ListeningRun>>();
  #listening: Listening | undefined;
  #isAsking = false;
  #isToAskAgain = false;

  /**
   * @param statement answers every run that is asked to end
   * @param token what is told when there is one more
   */
  constructor(connection: PostgresConnection, notices: Notices, statement: Statement, token: string) {
    this.#connection = connection;
    this.#notices = notices;
    this.#statement = statement;
    this.#token = token;
  }

  /** Until the answer is called. */
  listen(keys: string, lease: SessionLease, listener: AbortListener): () => void {
    const { fence } = lease;
    const run = { keys, owner: escapedText(lease.owner), listener };
    const all = this.#runs.get(fence) ?? new Set();
    this.#runs.set(fence, all.add(run));
    // It may have been asked before it listened.
    void this.#ask();
    return () => this.#forget(fence, run);
  }

  /** Asks for all; once more afterwards for those who came while it asked. */
  async #ask(): Promise<void> {
    this.#isToAskAgain = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      while (this.#isToAskAgain && this.#runs.size > 0) {
        await this.#listen().ready;
        this.#isToAskAgain = false;
        for (const row of await this.#connection.rows<RequestRow>(this.#statement)) this.#tell(row);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isAsking = false;
    }
  }

  #listen(): Listening {
    this.#listening ??= this.#notices.listen(this.#token, {
      onTold: () => void this.#ask(),
      onBroken: () =>
        this.#fail(new AgentFlowError('STORE_FAILED', 'The connection to Postgres that listened is gone')),
    });
    return this.#listening;
  }

  #tell({ keys, owner, fence, reason }: RequestRow): void {
    for (const run of this.#runs.get(Number(fence)) ?? []) {
      if (run.keys !== keys || run.owner !== owner) continue;
      this.#forget(Number(fence), run);
      run.listener.onAbortRequested(unescapedText(reason, here));
    }
  }

  #fail(error: unknown): void {
    const deaf = [...this.#runs.values()].flatMap((runs) => [...runs]);
    this.#runs.clear();
    this.#stopListening();
    for (const { listener } of deaf) listener.onDeaf(error);
  }

  #forget(fence: number, run: ListeningRun): void {
    const all = this.#runs.get(fence);
    all?.delete(run);
    if (all?.size === 0) this.#runs.delete(fence);
    if (this.#runs.size === 0) this.#stopListening();
  }

  #stopListening(): void {
    const listening = this.#listening;
    this.#listening = undefined;
    listening?.stop();
  }
}
