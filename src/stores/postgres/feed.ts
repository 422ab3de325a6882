/** The feeds of runs in Postgres: one row for all that was appended at once, told to those who watch. */
import { LeaseLostError } from '../../errors.js';
import type { Notices } from '../../session/notices.js';
import type { AbortListener, FeedEntries, FeedPage, RunFeed } from '../../session/run-feed.js';
import type { SessionLease } from '../../session/store.js';
import {
  checkStretch,
  escapedText,
  feedTexts,
  storeCorrupt,
  storedJson,
  unescapedText,
} from '../../session/store-checks.js';
import type { AbortRequests } from './abort-requests.js';
import { here } from './answers.js';
import type { PostgresConnection } from './client.js';
import type { FeedStatements } from './feed-statements.js';
import { grown } from './phrases.js';
import { heldBy } from './saves.js';

/** What the feeds of all tenants of one store have in common. */
export interface FeedParts {
  readonly connection: PostgresConnection;
  readonly statements: FeedStatements;
  readonly notices: Notices;
  readonly abortRequests: AbortRequests;
}

interface PageRow {
  readonly run: string;
  readonly is_held: boolean;
  readonly is_kept: boolean;
  readonly first: string | null;
  readonly end: string | null;
  readonly start: string | null;
  readonly data: string | null;
}

/** The feeds of one tenant. */
export class PostgresRunFeed implements RunFeed {
  readonly #parts: FeedParts;
  readonly #keys: (sessionId: string) => readonly [string, string];

  /** @param keys the tenant's key and a session's, as they are handed to statements */
  constructor(parts: FeedParts, keys: (sessionId: string) => readonly [string, string]) {
    this.#parts = parts;
    this.#keys = keys;
  }

  async append(lease: SessionLease, entries: FeedEntries): Promise<void> {
    const texts = feedTexts(entries);
    const { connection, statements } = this.#parts;
    const { sessionId } = lease;
    const held = heldBy(this.#keys(sessionId), lease);
    const values = [entries.start, texts.length, texts.join(','), entries.keep, entries.ttlMs];
    const row = await connection.row<{ is_new: boolean }>(statements.append, ...held, ...values);
    if (row === undefined) throw new LeaseLostError(sessionId);
    // Whoever begins a feed clears some away. That this fails is nothing to the run: the next one does it.
    if (row.is_new) await connection.rows(statements.sweep).catch(() => {});
  }

  async read(
    sessionId: string,
    options: { readonly run?: string; readonly from: number; readonly limit: number },
  ): Promise<FeedPage | undefined> {
    checkStretch(options);
    const { from, limit } = options;
    const { connection, statements } = this.#parts;
    const run = options.run === undefined ? null : escapedText(options.run);
    const row = await connection.row<PageRow>(statements.read, ...this.#keys(sessionId), run, from, limit);
    return row === undefined ? undefined : toPage(row, from, limit);
  }

  async whenGrown(sessionId: string, run: string, end: number, signal: AbortSignal): Promise<void> {
    const { connection, statements, notices } = this.#parts;
    const keys = this.#keys(sessionId);
    await notices.next(keys.join('') + grown, signal, async () => {
      return (await connection.row(statements.watch, ...keys, escapedText(run), end)) !== undefined;
    });
  }

  async requestAbort(sessionId: string, run: string, reason: string): Promise<boolean> {
    const { connection, statements } = this.#parts;
    const values = [escapedText(run), escapedText(reason)];
    return (await connection.row(statements.requestAbort, ...this.#keys(sessionId), ...values)) !== undefined;
  }

  listenForAbort(lease: SessionLease, listener: AbortListener): () => void {
    return this.#parts.abortRequests.listen(this.#keys(lease.sessionId).join(''), lease, listener);
  }
}

function toPage(row: PageRow, from: number, limit: number): FeedPage {
  const { is_held: isHeld, is_kept: isKept } = row;
  const run = unescapedText(row.run, here);
  if (!isKept) return { run, first: 0, end: 0, start: from, entries: [], isHeld };
  const first = Number(row.first);
  const start = Math.max(from, first);
  const entries = storedJson(`[${row.data ?? ''}]`, here) as unknown[];
  const skipped = row.start === null ? 0 : start - Number(row.start);
  const page = { run, first, end: Number(row.end), start, entries: entries.slice(skipped, skipped + limit), isHeld };
  if (page.entries.length === Math.min(limit, Math.max(0, page.end - start))) return page;
  throw storeCorrupt(`${here} has lost a part of a feed`);
}
