/** A store as it looks from the far end of a network: what is sent arrives late, twice or never, and so do the answers. */
import { AgentFlowError } from '../../src/errors.js';
import type {
  AcceptedInput,
  SessionLease,
  SessionSave,
  SessionStore,
  SessionSummary,
  StoredSession,
} from '../../src/session/store.js';

/** What becomes of one call. */
export type Fate =
  | 'answered'
  /** It never reaches the store, and its sender is told that it failed. */
  | 'never sent'
  /** The store does it, and its sender is told that it failed. */
  | 'never answered'
  /** Its client sends it again before it has an answer, and hears the first or the second. */
  | 'sent twice, first answer'
  | 'sent twice, second answer'
  /** It is answered, and arrives once more when nobody thinks of it any longer. */
  | 'straggling';

/** Every fate. */
export const fates: readonly Fate[] = [
  'answered',
  'never sent',
  'never answered',
  'sent twice, first answer',
  'sent twice, second answer',
  'straggling',
];

/** The network between a process and its store. */
export interface Network {
  /** Has something happen later, when and if the test says so: at the store, or in the process. */
  later(where: 'store' | 'process', happen: () => void): void;
  /** What becomes of the next call. */
  fate(): Fate;
  /** Hears of the next release, or never does. */
  whenReleased(signal: AbortSignal): Promise<void>;
  /** A session was released at the store. */
  tell(): void;
}

/** Stands for one process: each has its own, over one common store. */
export class ErraticStore implements SessionStore {
  readonly #inner: SessionStore;
  readonly #network: Network;

  constructor(inner: SessionStore, network: Network) {
    this.#inner = inner;
    this.#network = network;
  }

  acquire(sessionId: string, options: { owner: string; ttlMs: number; takeover?: boolean }) {
    return this.#send(() => this.#inner.acquire(sessionId, options));
  }

  renew(lease: SessionLease, ttlMs: number): Promise<boolean> {
    return this.#send(() => this.#inner.renew(lease, ttlMs));
  }

  release(lease: SessionLease): Promise<void> {
    return this.#send(async () => {
      await this.#inner.release(lease);
      this.#network.tell();
    });
  }

  whenReleased(_sessionId: string, signal: AbortSignal): Promise<void> {
    return this.#network.whenReleased(signal);
  }

  load(sessionId: string, options?: { version?: number }): Promise<StoredSession | undefined> {
    return this.#send(() => this.#inner.load(sessionId, options));
  }

  save(lease: SessionLease, save: SessionSave): Promise<void> {
    return this.#send(() => this.#inner.save(lease, save));
  }

  accept(lease: SessionLease, input: AcceptedInput): Promise<AcceptedInput> {
    return this.#send(() => this.#inner.accept(lease, input));
  }

  list(options?: { limit?: number; cursor?: string }): Promise<{ sessions: SessionSummary[]; next?: string }> {
    return this.#send(() => this.#inner.list(options));
  }

  delete(sessionId: string): Promise<boolean> {
    return this.#send(() => this.#inner.delete(sessionId));
  }

  forTenant(tenant: string): SessionStore {
    return new ErraticStore(this.#inner.forTenant(tenant), this.#network);
  }

  #send<T>(work: () => Promise<T>): Promise<T> {
    const network = this.#network;
    const fate = network.fate();
    return new Promise((resolve, reject) => {
      const hear = (answer: Promise<T>) => {
        // It may be heard much later, or by nobody.
        answer.catch(() => {});
        network.later('process', () => void answer.then(resolve, reject));
      };
      if (fate === 'never sent') return hear(Promise.reject(cutOff()));
      network.later('store', () => {
        const first = work();
        const second = fate.startsWith('sent twice') ? work() : undefined;
        first.catch(() => {});
        if (fate === 'straggling') network.later('store', () => void work().catch(() => {}));
        if (fate === 'never answered') hear(Promise.reject(cutOff()));
        else hear(fate === 'sent twice, second answer' && second !== undefined ? second : first);
        second?.catch(() => {});
      });
    });
  }
}

function cutOff(): AgentFlowError {
  return new AgentFlowError('STORE_FAILED', 'The connection was lost');
}
