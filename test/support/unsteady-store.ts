/** A store over another one that can be held up, made to fail, or struck dead as a process is. */
import type {
  AcceptedInput,
  SessionLease,
  SessionSave,
  SessionStore,
  SessionSummary,
  StoredSession,
} from '../../src/session/store.js';

/** The calls a store answers. */
export type StoreCall = 'acquire' | 'renew' | 'release' | 'load' | 'save' | 'accept' | 'list' | 'delete';

/** Also stands for a second process: each has its own, over one common store. */
export class UnsteadyStore implements SessionStore {
  readonly calls: StoreCall[] = [];
  /** Awaited before each call reaches the store; what it throws, the call throws. */
  before: (call: StoreCall) => void | Promise<void> = () => {};
  /** Called when the store has done its work and has not answered yet. */
  after: (call: StoreCall) => void = () => {};
  readonly #inner: SessionStore;
  #isDead = false;

  constructor(inner: SessionStore) {
    this.#inner = inner;
  }

  /** From here on no call reaches the store and none is ever answered, as after `kill -9`. */
  die(): void {
    this.#isDead = true;
  }

  count(call: StoreCall): number {
    return this.calls.filter((one) => one === call).length;
  }

  acquire(sessionId: string, options: { owner: string; ttlMs: number; takeover?: boolean }) {
    return this.#call('acquire', () => this.#inner.acquire(sessionId, options));
  }

  renew(lease: SessionLease, ttlMs: number): Promise<boolean> {
    return this.#call('renew', () => this.#inner.renew(lease, ttlMs));
  }

  release(lease: SessionLease): Promise<void> {
    return this.#call('release', () => this.#inner.release(lease));
  }

  load(sessionId: string, options?: { version?: number }): Promise<StoredSession | undefined> {
    return this.#call('load', () => this.#inner.load(sessionId, options));
  }

  save(lease: SessionLease, save: SessionSave): Promise<void> {
    return this.#call('save', () => this.#inner.save(lease, save));
  }

  accept(lease: SessionLease, input: AcceptedInput): Promise<AcceptedInput> {
    return this.#call('accept', () => this.#inner.accept(lease, input));
  }

  list(options?: { limit?: number; cursor?: string }): Promise<{ sessions: SessionSummary[]; next?: string }> {
    return this.#call('list', () => this.#inner.list(options));
  }

  delete(sessionId: string): Promise<boolean> {
    return this.#call('delete', () => this.#inner.delete(sessionId));
  }

  forTenant(tenant: string): SessionStore {
    return this.#inner.forTenant(tenant);
  }

  async #call<T>(call: StoreCall, work: () => Promise<T>): Promise<T> {
    this.calls.push(call);
    if (!this.#isDead) await this.before(call);
    if (this.#isDead) return new Promise(() => {});
    const answer = await work();
    this.after(call);
    return this.#isDead ? new Promise(() => {}) : answer;
  }
}
