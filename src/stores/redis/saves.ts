/** Saves: those that are asked for in the same turn of the event loop travel together, and each is judged by itself. */
import { randomBytes } from 'node:crypto';
import { LeaseLostError, SessionConflictError } from '../../errors.js';
import type { SessionSave } from '../../session/store.js';
import { escapedText, jsonText } from '../../session/store-checks.js';
import type { Field } from './answers.js';
import { isRefusal, type RedisConnection, type Script } from './client.js';
import type { SessionKeys } from './keys.js';
import * as scripts from './scripts.js';

/** A lease as scripts take it. */
export interface Held {
  readonly session: SessionKeys;
  readonly owner: string;
  readonly fence: string;
}

/** What was created but not listed yet, if it was. */
type Unlisted = Field;

/** `saved` and what is not listed yet, `lost`, or `conflict` and the head. */
type Outcome = [outcome: string, detail?: Field];

/** A save that waits for its answer. */
interface Sending {
  readonly sessionId: string;
  readonly token: string;
  /** The one that it takes when it goes alone. */
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  /** In characters. */
  readonly size: number;
  readonly expectedVersion: number;
  readonly resolve: (unlisted: Unlisted) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * So many travel together at most, and so many characters: nobody else is served while a script runs, and while the server
 * saves the first of many the rest are made ready.
 */
const mostTogether = 25;
const mostSizeTogether = 256 * 1_024;

/** The saves of all tenants of a store. */
export class Saves {
  readonly #connection: RedisConnection;
  /** With a number behind it, the name of one save among all that are made with the same lease, by whatever store. */
  readonly #names = `${randomBytes(9).toString('base64url')}.`;
  #named = 0;
  #gathered: Sending[] = [];
  #size = 0;
  /** The sessions with a save under way, each with those behind it: it may have to be sent again, and comes first even so. */
  readonly #lines = new Map<string, Sending[]>();
  /** In a cluster a script reaches one slot. */
  #isCluster: boolean;

  /** Asks the server for nothing. */
  constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.#isCluster = connection.isCluster;
  }

  /**
   * Writes a save that was checked → what was created but not listed yet. Throws `LeaseLostError`, `SessionConflictError`,
   * `STORE_FAILED`, and `INVALID_VALUE` for what is not JSON.
   */
  async write(sessionId: string, held: Held, save: SessionSave): Promise<Unlisted> {
    const { script, keys, args, size } = this.#sendingOf(held, save);
    const { token } = held.session;
    return new Promise((resolve, reject) => {
      const { expectedVersion } = save;
      const sending = { sessionId, token, script, keys, args, size, expectedVersion, resolve, reject };
      const line = this.#lines.get(token);
      if (line !== undefined) line.push(sending);
      else {
        this.#lines.set(token, []);
        this.#send(sending);
      }
    });
  }

  #sendingOf({ session, owner, fence }: Held, save: SessionSave): Pick<Sending, 'script' | 'keys' | 'args' | 'size'> {
    const { expectedVersion, change, parent, keepVersions } = save;
    const isWhole = change.kind === 'checkpoint';
    const data = isWhole ? jsonText(change.record, 'change.record') : jsonText(change.patch, 'change.patch');
    const size = data.length;
    const name = this.#names + ++this.#named;
    if (expectedVersion === 0) {
      // Marked, because an empty text is an id too.
      const from = parent === undefined ? [] : [`=${escapedText(parent.sessionId)}`, String(parent.version)];
      return { script: scripts.create, keys: session.keys, args: [owner, fence, name, data, ...from], size };
    }
    const keep = keepVersions === undefined ? '' : String(keepVersions);
    const args = [owner, fence, String(expectedVersion), isWhole ? '1' : '', keep, name, data];
    return { script: scripts.save, keys: session.versionKeys, args, size };
  }

  #send(sending: Sending): void {
    if (this.#isCluster || sending.script !== scripts.save) void this.#goAlone(sending);
    else this.#gather(sending);
  }

  #gather(sending: Sending): void {
    const isFull = this.#gathered.length === mostTogether || this.#size + sending.size > mostSizeTogether;
    if (isFull) this.#depart();
    // After everything that is ready to run: the answer to many saves at once brings as many others.
    if (this.#gathered.length === 0) process.nextTick(() => this.#depart());
    this.#gathered.push(sending);
    this.#size += sending.size;
  }

  #depart(): void {
    const all = this.#gathered;
    this.#gathered = [];
    this.#size = 0;
    const [first] = all;
    if (first === undefined) return;
    if (all.length === 1) void this.#goAlone(first);
    else void this.#goTogether(all);
  }

  async #goAlone(one: Sending): Promise<void> {
    const { sessionId, script, keys, args, expectedVersion } = one;
    try {
      const [answer] = (await this.#connection.run(script, keys, args)) as [1 | Outcome];
      one.resolve(answer === 1 ? null : unlistedOf(answer, sessionId, expectedVersion));
    } catch (error) {
      one.reject(error);
    }
    this.#letNext(one);
  }

  /** Whoever is not saved so goes alone, and is the same save if it was written after all. */
  async #goTogether(all: readonly Sending[]): Promise<void> {
    const keys: string[] = [];
    const args: string[] = [];
    for (const one of all) {
      keys.push(...one.keys);
      args.push(...one.args);
    }
    try {
      const answers = (await this.#connection.run(scripts.save, keys, args)) as (1 | Outcome)[];
      for (const [index, one] of all.entries()) {
        if (answers[index] !== 1) void this.#goAlone(one);
        else {
          one.resolve(null);
          this.#letNext(one);
        }
      }
    } catch (error) {
      this.#failTogether(all, error);
    }
  }

  #failTogether(all: readonly Sending[], error: unknown): void {
    if (isRefusal(error, 'CROSSSLOT')) this.#isCluster = true;
    // What the server has refused as a whole may be the fault of one of them.
    const isRefused = isRefusal(error);
    for (const one of all) {
      if (isRefused) void this.#goAlone(one);
      else {
        one.reject(error);
        this.#letNext(one);
      }
    }
  }

  #letNext({ token }: Sending): void {
    const next = this.#lines.get(token)?.shift();
    if (next === undefined) this.#lines.delete(token);
    else this.#send(next);
  }
}

function unlistedOf([outcome, detail = null]: Outcome, sessionId: string, expectedVersion: number): Unlisted {
  if (outcome === 'lost') throw new LeaseLostError(sessionId);
  if (outcome === 'conflict') throw new SessionConflictError(sessionId, expectedVersion, Number(detail));
  return detail;
}
