/** Saves: those that come while others are on their way share a statement, and whoever is refused is told why. */
import { LeaseLostError, SessionConflictError } from '../../errors.js';
import type { SessionLease, SessionSave } from '../../session/store.js';
import { escapedText, jsonText } from '../../session/store-checks.js';
import type { PostgresConnection, Statement } from './client.js';
import { Gathering } from './gathering.js';
import type { Statements } from './statements.js';

/** A lease as statements take it: the tenant's key, the session's, the owner and the fence. */
export type Held = readonly [tenantKey: string, sessionKey: string, owner: string, fence: number];

/** A lease as statements take it. A fence that no store has given out could be anything: it is one that nobody has. */
export function heldBy(keys: readonly [string, string], { owner, fence }: SessionLease): Held {
  return [...keys, escapedText(owner), Number.isSafeInteger(fence) ? fence : -1];
}

/** A save as it is sent. */
interface Sending {
  readonly sessionId: string;
  /** The one that it takes when it goes alone. */
  readonly statement: Statement;
  /** The first seven are the same for every statement. */
  readonly values: readonly [...Held, expectedVersion: number, isWhole: boolean, data: string, ...unknown[]];
}

/** With more of them fewer saves travel together; with fewer one that is slow delays too many. */
const mostAtOnce = 4;

/** The saves of all tenants of a store. */
export class Saves {
  readonly #connection: PostgresConnection;
  readonly #statements: Statements;
  readonly #gathering: Gathering<Sending>;

  /** Asks the database for nothing. */
  constructor(connection: PostgresConnection, statements: Statements) {
    this.#connection = connection;
    this.#statements = statements;
    const ways = {
      alone: (save: Sending) => this.#sendAlone(save),
      together: (saves: readonly Sending[]) => this.#sendTogether(saves),
    };
    this.#gathering = new Gathering(ways, Math.min(mostAtOnce, connection.width));
  }

  /**
   * Writes a save that was checked. Throws `LeaseLostError`, `SessionConflictError`, `STORE_FAILED`, and `INVALID_VALUE` for
   * what is not JSON.
   */
  async write(sessionId: string, held: Held, save: SessionSave): Promise<void> {
    const [tenantKey, sessionKey] = held;
    const sending = this.#sending(sessionId, held, save);
    const canTravel = sending.statement === this.#statements.save;
    const size = canTravel ? sending.values[6].length : Number.POSITIVE_INFINITY;
    await this.#gathering.send(sending, tenantKey + sessionKey, size);
  }

  #sending(sessionId: string, held: Held, save: SessionSave): Sending {
    const { expectedVersion, change, parent, keepVersions } = save;
    const isWhole = change.kind === 'checkpoint';
    const data = isWhole ? jsonText(change.record, 'change.record') : jsonText(change.patch, 'change.patch');
    const values = [...held, expectedVersion, isWhole, data] as const;
    const { create, save: add, saveAndDrop } = this.#statements;
    // There is nothing yet that could be dropped.
    if (expectedVersion === 0) {
      const origin = parent === undefined ? [null, null] : [escapedText(parent.sessionId), parent.version];
      return { sessionId, statement: create, values: [...values, ...origin] };
    }
    if (keepVersions === undefined) return { sessionId, statement: add, values };
    return { sessionId, statement: saveAndDrop, values: [...values, keepVersions] };
  }

  async #sendAlone({ sessionId, statement, values }: Sending): Promise<void> {
    if ((await this.#connection.row(statement, ...values)) !== undefined) return;
    const [tenantKey, sessionKey, owner, fence, expectedVersion] = values;
    const held = [tenantKey, sessionKey, owner, fence];
    const found = await this.#connection.row<{ is_held: boolean; head: number }>(this.#statements.refusal, ...held);
    if (found?.is_held !== true) throw new LeaseLostError(sessionId);
    throw new SessionConflictError(sessionId, expectedVersion, Number(found.head));
  }

  /** Answers those that were not written. JSON has line breaks only as escapes, so that lines can be told apart. */
  async #sendTogether(saves: readonly Sending[]): Promise<readonly Sending[]> {
    const lists = [0, 1, 2, 3, 4, 5, 6].map((place) => saves.map(({ values }) => values[place]).join('\n'));
    const row = await this.#connection.rowUnlessUndone<{ places: string | null }>(
      this.#statements.saveTogether,
      ...lists,
    );
    const written = new Set(row?.places?.split(','));
    return written.size === saves.length ? [] : saves.filter((_, index) => !written.has(String(index + 1)));
  }
}
