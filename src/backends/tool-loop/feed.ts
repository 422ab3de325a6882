/** The events of a provider's session, turn by turn, whatever becomes of the connection. */
import { isAgentFlowError } from '../../errors.js';
import type { Clock } from '../../internal/clock.js';
import type { Provider, ToolUse } from '../../providers/provider.js';
import { BackendError } from '../backend-error.js';
import { type BackendFailure, failure, failureOf } from '../failure.js';
import { untilAborted } from '../until-aborted.js';

/** What a {@link TurnFeed} reads, and how patient it is. */
export interface FeedParts {
  readonly provider: Provider;
  readonly session: unknown;
  readonly clock: Clock;
  /** How often in a row a lost connection is taken up again without anything new. */
  readonly maxReconnects: number;
}

/** Where a session stands that was found, not made. */
export interface Standing {
  /** Calls of the last turn that nobody has answered. */
  readonly pending: readonly ToolUse[];
  /** Calls that wait for somebody's word. */
  readonly unconfirmed: readonly ToolUse[];
  /** A turn is going on: read it without sending anything. */
  readonly isInFlight: boolean;
  /** The events of the last turn that ended. */
  readonly lastTurn: readonly unknown[];
}

const maxSends = 3;
const firstPauseMs = 500;
const longestPauseMs = 30_000;

/** The turns of one session. One is read at a time. */
export class TurnFeed {
  readonly #parts: FeedParts;
  readonly #seen = new Set<string>();
  #live: AsyncIterator<unknown> | undefined;
  #backlog: readonly unknown[] = [];
  #next = 0;
  /** Connections lost in a row, with nothing new between them. */
  #drops = 0;
  #lastError: unknown;

  constructor(parts: FeedParts) {
    this.#parts = parts;
  }

  /**
   * Sends an input, or nothing for a turn that is going on already, and answers the events of its turn up to the one
   * that ends it. Each event comes once, also when the connection is lost and what was missed is read from the history.
   */
  async *turn(
    input: { readonly value: unknown } | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<unknown, void, void> {
    const { provider } = this.#parts;
    let hasEnded = false;
    let isWhole = false;
    try {
      if (input !== undefined) await this.#begin(input.value, signal);
      for (;;) {
        const next = await this.#take(signal);
        if (next === undefined) {
          if (hasEnded) break;
          await this.#reconnect(signal);
          continue;
        }
        const { id, ends = false } = provider.peek(next.event);
        if (!this.#isNew(id)) continue;
        this.#drops = 0;
        hasEnded ||= ends;
        yield next.event;
        // One stream goes on to the next turn; a response may say something after the end, such as its usage.
        if (hasEnded && provider.mode === 'streaming') break;
      }
      isWhole = true;
    } finally {
      if (!isWhole) this.leave();
    }
  }

  /** Lets go of the connection; the next turn makes another. */
  leave(): void {
    const live = this.#live;
    this.#live = undefined;
    this.#drops = 0;
    this.#lastError = undefined;
    this.#setBacklog([]);
    // It may be stuck; nobody waits for it.
    void Promise.resolve(live?.return?.()).catch(() => {});
  }

  /**
   * Finds out where the session stands.
   *
   * @param keepsTail the events of a turn that is going on will be read with the rest of it; else they count as seen
   */
  async standing(keepsTail: boolean, signal: AbortSignal): Promise<Standing | undefined> {
    const { provider, session } = this.#parts;
    this.leave();
    await this.#begun(signal);
    if (provider.history === undefined) return undefined;
    const all = await untilAborted(signal, provider.history(session, { signal }));
    const end = lastIndex(all, (event) => provider.peek(event).ends === true) + 1;
    const start = lastIndex(all.slice(0, Math.max(0, end - 1)), (event) => provider.peek(event).ends === true) + 1;
    const tail = all.slice(end);
    for (const event of keepsTail ? all.slice(0, end) : all) this.#isNew(provider.peek(event).id);
    if (keepsTail) this.#setBacklog(tail);
    // A call counts as waiting only when the turn that made it is over.
    const settled = new Set(provider.pending?.(all.slice(0, end)).map(({ id }) => id));
    const pending = (provider.pending?.(all) ?? []).filter(({ id }) => settled.has(id));
    const unconfirmed = provider.unconfirmed?.(all) ?? [];
    const isWaiting = pending.length > 0 || unconfirmed.length > 0;
    const isInFlight = !isWaiting && tail.some((event) => provider.peek(event).isAside !== true);
    return { pending, unconfirmed, isInFlight, lastTurn: all.slice(start, end) };
  }

  async #begin(input: unknown, signal: AbortSignal): Promise<void> {
    const { provider, session } = this.#parts;
    if (provider.mode === 'request_response') {
      this.#live = provider.request(session, input, { signal })[Symbol.asyncIterator]();
      return;
    }
    if (this.#live === undefined) await this.#begun(signal);
    await this.#send(input, signal);
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const { provider, session } = this.#parts;
    if (provider.mode !== 'streaming') return;
    const events = await untilAborted(signal, provider.connect(session, { signal }));
    this.#live = events[Symbol.asyncIterator]();
  }

  /** Sends once; again only when the history shows that it did not arrive. */
  async #send(input: unknown, signal: AbortSignal): Promise<void> {
    const { provider, session } = this.#parts;
    if (provider.mode !== 'streaming') return;
    for (let sends = 1; ; sends++) {
      try {
        return await untilAborted(signal, provider.send(session, input, { signal }));
      } catch (error) {
        const why = this.#failure(error);
        if (signal.aborted || provider.arrived === undefined || !isWorthAnother(why)) throw error;
        const unseen = await this.#unseen(signal);
        if (unseen === undefined) throw error;
        if (provider.arrived(input, unseen)) return this.#setBacklog(unseen);
        if (sends === maxSends) throw error;
        await this.#pause(Math.max(firstPauseMs * 2 ** (sends - 1), why.retryAfterMs ?? 0), signal);
      }
    }
  }

  /** The next event; nothing when the connection is over, however it ended. */
  async #take(signal: AbortSignal): Promise<{ readonly event: unknown } | undefined> {
    if (this.#next < this.#backlog.length) {
      this.#next += 1;
      return { event: this.#backlog[this.#next - 1] };
    }
    if (this.#live === undefined) return undefined;
    try {
      const next = await untilAborted(signal, this.#live.next());
      if (!next.done) return { event: next.value };
    } catch (error) {
      if (signal.aborted) throw error;
      this.#giveUpOn(error);
    }
    this.#live = undefined;
    return undefined;
  }

  /** Connects before anything is sent; a vendor that is busy is asked again. */
  async #begun(signal: AbortSignal): Promise<void> {
    try {
      await this.#connect(signal);
    } catch (error) {
      if (signal.aborted || !this.#failure(error).retryable || isAgentFlowError(error)) throw error;
      this.#lastError = error;
      this.#drops += 1;
      await this.#persist(() => this.#connect(signal), signal);
    }
  }

  /** Connects again and puts what was missed first. */
  async #reconnect(signal: AbortSignal): Promise<void> {
    if (this.#parts.provider.history === undefined) throw this.#lost();
    const reconnect = async () => {
      await this.#connect(signal);
      this.#setBacklog((await this.#unseen(signal)) ?? []);
    };
    await this.#persist(reconnect, signal);
  }

  /** Tries again, later and later, and not for ever. */
  async #persist(connect: () => Promise<void>, signal: AbortSignal): Promise<void> {
    for (;;) {
      if (this.#drops >= this.#parts.maxReconnects) throw this.#lost();
      const pauseMs = this.#drops === 0 ? 0 : Math.min(firstPauseMs * 2 ** (this.#drops - 1), longestPauseMs);
      this.#drops += 1;
      if (pauseMs > 0) await this.#pause(pauseMs, signal);
      try {
        return await connect();
      } catch (error) {
        if (signal.aborted) throw error;
        this.#live = undefined;
        this.#giveUpOn(error);
      }
    }
  }

  /** Remembers why a connection was lost; throws what no other connection will mend. */
  #giveUpOn(error: unknown): void {
    this.#lastError = error;
    const { kind, retryable } = this.#failure(error);
    const isLost = this.#parts.provider.mode === 'streaming' ? retryable || kind === 'unknown' : kind === 'network';
    // An error of this package is the provider's last word.
    if (!isLost || isAgentFlowError(error)) throw error;
  }

  #lost(): BackendError {
    const { name } = this.#parts.provider;
    if (this.#lastError !== undefined) return new BackendError(this.#failure(this.#lastError));
    const message = 'The stream of events ended before the turn did, and could not be taken up again';
    return new BackendError(failure(name, 'network', message));
  }

  async #unseen(signal: AbortSignal): Promise<readonly unknown[] | undefined> {
    const { provider, session } = this.#parts;
    if (provider.history === undefined) return undefined;
    const all = await untilAborted(signal, provider.history(session, { signal }));
    return all.filter((event) => {
      const { id } = provider.peek(event);
      return id !== undefined && !this.#seen.has(id);
    });
  }

  #isNew(id: string | undefined): boolean {
    if (id === undefined) return true;
    const isNew = !this.#seen.has(id);
    this.#seen.add(id);
    return isNew;
  }

  #setBacklog(events: readonly unknown[]): void {
    this.#backlog = events;
    this.#next = 0;
  }

  #failure(error: unknown): BackendFailure {
    const { provider, clock } = this.#parts;
    return failureOf(error, { provider: provider.name, now: clock.now() });
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    let cancel = () => {};
    const over = new Promise<void>((resolve) => {
      cancel = this.#parts.clock.after(ms, resolve, { keepAlive: true });
    });
    return untilAborted(signal, over).finally(cancel);
  }
}

/** A failure after which nobody knows whether the input arrived, or a vendor that is busy. */
function isWorthAnother({ kind, retryable }: BackendFailure): boolean {
  return retryable || kind === 'unknown';
}

function lastIndex<Item>(items: readonly Item[], isIt: (item: Item) => boolean): number {
  for (let index = items.length - 1; index >= 0; index--) if (isIt(items[index] as Item)) return index;
  return -1;
}
