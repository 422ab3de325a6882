/** A feed that writes down what it is given, and does with it what it is told. */
import type { AbortListener, FeedEntries, FeedPage, RunFeed, SessionLease } from '../../src/session/store.js';

/** For tests of what writes to a feed, or waits for one. */
export class RecordingFeed implements RunFeed {
  readonly appended: FeedEntries[] = [];
  readonly listeners = new Set<AbortListener>();
  /** How often somebody began to listen. */
  listened = 0;
  /** Awaited by each append and each wait; what it throws, the call throws. */
  before: (call: 'append' | 'whenGrown', signal?: AbortSignal) => void | Promise<void> = () => {};

  /** All that was appended, in order. */
  get entries(): unknown[] {
    return this.appended.flatMap(({ entries }) => entries);
  }

  async append(_lease: SessionLease, entries: FeedEntries): Promise<void> {
    await this.before('append');
    this.appended.push(entries);
  }

  async read(): Promise<FeedPage | undefined> {
    return undefined;
  }

  async whenGrown(_sessionId: string, _run: string, _end: number, signal: AbortSignal): Promise<void> {
    await this.before('whenGrown', signal);
  }

  async requestAbort(): Promise<boolean> {
    return false;
  }

  listenForAbort(_lease: SessionLease, listener: AbortListener): () => void {
    this.listened += 1;
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
