/** A run of another process, as it is seen through its store's feed. */
import { v4 as uuid } from 'uuid';
import type { RunEnd, WatchEvent, WatchOptions } from '../../connection/connection.js';
import { expired, isAfter, isGapAfter, leftAtOnce } from '../../connection/watching.js';
import { errorFromJson } from '../../errors/from-json.js';
import { AgentFlowError, InvalidValueError, LeaseLostError } from '../../errors.js';
import type { Clock } from '../../internal/clock.js';
import { inStore } from '../../session/in-store.js';
import { passingOwner } from '../../session/passing-owner.js';
import type { FeedPage, RunFeed, SessionStore } from '../../session/store.js';
import type { AttachedRun } from './attached-run.js';
import { asFeedEntry, type FeedEntry } from './entries.js';
import { Growth } from './growth.js';

/** Where a {@link RemoteRun} is. */
export interface RemoteRunParts {
  readonly store: SessionStore;
  readonly feed: RunFeed;
  readonly sessionId: string;
  readonly run: string;
  readonly clock: Clock;
  readonly leaseTtlMs: number;
}

/** Entries that are read at once. */
const pageSize = 500;

/** A run of another process. */
export class RemoteRun<Stream> implements AttachedRun<Stream> {
  readonly #parts: RemoteRunParts;
  readonly #growth: Growth;

  constructor(parts: RemoteRunParts) {
    this.#parts = parts;
    this.#growth = new Growth(parts);
  }

  watch(options: WatchOptions): AsyncIterableIterator<WatchEvent<Stream>> {
    const leaving = new AbortController();
    return leftAtOnce(this.#walk(options, leaving), () => leaving.abort());
  }

  async abort(reason: unknown): Promise<RunEnd> {
    const { feed, sessionId, run } = this.#parts;
    const { signal } = new AbortController();
    let isAsked = false;
    let wasSilent = false;
    for (;;) {
      // Again, when a run goes on that was asleep until its lease had expired.
      if (!isAsked) isAsked = await inStore(() => feed.requestAbort(sessionId, run, textOf(reason)));
      const { page, end } = await this.#readEnd();
      if (end !== undefined) return end;
      wasSilent = page?.end === 0 || (wasSilent && page === undefined);
      if (page?.isHeld !== true) {
        if (await this.#isFencedOff()) return this.#lastWord(wasSilent);
        isAsked = false;
      }
      await this.#growth.beyond(page?.end ?? 0, signal);
    }
  }

  async *#walk(
    { after, signal }: WatchOptions,
    leaving: AbortController,
  ): AsyncGenerator<WatchEvent<Stream>, undefined> {
    const leave = () => leaving.abort();
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted) leave();
    try {
      for (let from: number | undefined; ; ) {
        if (leaving.signal.aborted) return;
        const page = await this.#read(from ?? 0, pageSize);
        // Who has said nothing and is gone has nothing that could be missed.
        if (page === undefined) throw from === 0 ? this.#endOfTheDead().error : this.#lostSight(from);
        const entries = page.entries.map(asFeedEntry);
        const oldest = positionOf(page.start, entries[0]);
        const isGap = from === undefined ? isGapAfter(after, oldest, page.run) : page.start > from;
        if (isGap) throw expired(oldest);
        for (const entry of entries) {
          if (leaving.signal.aborted) return;
          if ('runEnd' in entry) return this.#finish(entry.runEnd);
          const event = this.#eventOf(entry);
          if (event !== undefined && isAfter(event.cursor, after)) yield event;
        }
        from = page.start + entries.length;
        if (from < page.end) continue;
        if (!page.isHeld) throw this.#endOfTheDead().error;
        await this.#growth.beyond(from, leaving.signal);
      }
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  #eventOf(entry: Exclude<FeedEntry, { readonly runEnd: unknown }>): WatchEvent<Stream> | undefined {
    const { run, sessionId } = this.#parts;
    if ('turnStart' in entry) return undefined;
    const [turn, attempt, seq] = entry.at;
    const cursor = { run, turn, seq, attempt };
    if ('notJson' in entry) {
      const { path, received } = entry.notJson;
      const issues = [{ path, expected: 'a JSON value, to leave its process', received }];
      throw new InvalidValueError('chunk', issues, { details: { kind: 'chunk', issues, cursor } });
    }
    if ('chunk' in entry) return { type: 'chunk', cursor, chunk: entry.chunk as Stream };
    const { interrupted, error } = entry.turnEnd;
    const told = error === undefined ? {} : { error: errorFromJson(error, sessionId) };
    return { type: 'turnEnd', cursor, interrupted, ...told };
  }

  #finish({ error }: Extract<FeedEntry, { readonly runEnd: unknown }>['runEnd']): undefined {
    if (error !== undefined) throw errorFromJson(error, this.#parts.sessionId);
  }

  #read(from: number, limit: number): Promise<FeedPage | undefined> {
    const { feed, sessionId, run } = this.#parts;
    return inStore(() => feed.read(sessionId, { run, from, limit }));
  }

  /** How the run ended, if it has said so; else where it is. */
  async #readEnd(): Promise<{ readonly page: FeedPage | undefined; readonly end?: RunEnd }> {
    const { sessionId } = this.#parts;
    let page = await this.#read(0, 1);
    // It may say more meanwhile: the newest entry is wanted.
    while (page !== undefined && page.start + page.entries.length < page.end) page = await this.#read(page.end - 1, 1);
    const entries = page?.entries.map(asFeedEntry) ?? [];
    const last = entries.at(-1);
    if (last === undefined || !('runEnd' in last)) return { page };
    const { finishReason, error } = last.runEnd;
    const why = error === undefined ? {} : { error: errorFromJson(error, sessionId) };
    return { page, end: { sessionId, finishReason, ...why } };
  }

  /** Makes sure that a run whose lease has expired cannot go on. False: it does. */
  async #isFencedOff(): Promise<boolean> {
    const { store, sessionId, leaseTtlMs } = this.#parts;
    const owner = passingOwner(uuid());
    const lease = await inStore(() => store.acquire(sessionId, { owner, ttlMs: leaseTtlMs }));
    if (lease !== undefined) await inStore(() => store.release(lease));
    return lease !== undefined || (await this.#read(0, 1))?.isHeld !== true;
  }

  /** How a run ended that can no longer go on. */
  async #lastWord(wasSilent: boolean): Promise<RunEnd> {
    const { page, end } = await this.#readEnd();
    if (end !== undefined) return end;
    if (page !== undefined || wasSilent) return this.#endOfTheDead();
    return { sessionId: this.#parts.sessionId, finishReason: 'failed', error: this.#lostSight(undefined) };
  }

  #endOfTheDead(): RunEnd & { readonly error: AgentFlowError } {
    const { sessionId } = this.#parts;
    const what = "The run did not say how it ended: its process died, or was frozen until the run's lease had expired";
    return { sessionId, finishReason: 'failed', error: new LeaseLostError(sessionId, what) };
  }

  /** The feed is gone: replaced by that of another run, expired, or erased with its session. */
  #lostSight(from: number | undefined): AgentFlowError {
    return new AgentFlowError('CURSOR_EXPIRED', 'The run is over, and what it said is no longer kept', {
      details: { run: this.#parts.run, read: from ?? 0 },
    });
  }
}

/** Where an entry of a feed stands. Of an empty page only the number is known. */
function positionOf(index: number, entry: FeedEntry | undefined) {
  const [turn, attempt, seq] = entry?.at ?? [Number.MAX_SAFE_INTEGER, 1, 0];
  return { index, turn, attempt, seq };
}

/** A reason as text, which is all that reaches another process. */
function textOf(reason: unknown): string {
  const unsaid = 'It was asked for from another process';
  if (reason === undefined) return unsaid;
  try {
    return String(reason instanceof Error ? reason.message : reason);
  } catch {
    // A value may be made so that it has no text; the run is to end all the same.
    return unsaid;
  }
}
