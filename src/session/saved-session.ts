/** The stored side of an open session: its run's writes, under the lease by which it holds the session. */
import { isAgentFlowError, LeaseLostError } from '../errors.js';
import { deepFreeze } from '../internal/freeze.js';
import type { PatchOperation } from '../internal/patch.js';
import { CheckpointPolicy } from './checkpoint-policy.js';
import { inStore } from './in-store.js';
import type { Hold } from './lease.js';
import { rebuildRecord, type SessionRecord } from './record.js';
import type { AcceptedInput, SessionChange, SessionStore } from './store.js';

/** What a {@link SavedSession} is made of. */
export interface SavedSessionParts {
  readonly store: SessionStore;
  readonly hold: Hold;
  /** How much a load would read now, in characters. */
  readonly loadCost: number;
  /** The record is not what the store's head holds, so the next save must be a whole one. */
  readonly needsCheckpoint: boolean;
  readonly keepVersions: number | undefined;
}

/** One session in its store, as the run that holds it writes it. */
export class SavedSession {
  readonly #store: SessionStore;
  readonly #hold: Hold;
  readonly #keepVersions: number | undefined;
  readonly #checkpoints: CheckpointPolicy;
  #needsCheckpoint: boolean;
  #isFinishing = false;

  constructor({ store, hold, loadCost, needsCheckpoint, keepVersions }: SavedSessionParts) {
    this.#store = store;
    this.#hold = hold;
    this.#keepVersions = keepVersions;
    this.#checkpoints = new CheckpointPolicy(loadCost);
    this.#needsCheckpoint = needsCheckpoint;
  }

  /** Saves what the patch makes of the version `expectedVersion`. `record` gives the record as the patch leaves it. */
  async save(expectedVersion: number, patch: readonly PatchOperation[], record: () => SessionRecord): Promise<void> {
    const change = this.#changeFor(patch, record);
    const keepVersions = this.#keepVersions;
    const save = { expectedVersion, change, ...(keepVersions === undefined ? {} : { keepVersions }) };
    await this.#guarded(() => this.#store.save(this.#hold.lease, save));
    this.#needsCheckpoint = false;
  }

  /** Records an input, or answers what is already recorded under its id. */
  accept(input: AcceptedInput): Promise<AcceptedInput> {
    return this.#guarded(() => this.#store.accept(this.#hold.lease, input));
  }

  /** The version that comes next, if the store has it. Nobody else can have made it while the lease is ours. */
  async recordAfter(version: number): Promise<SessionRecord | undefined> {
    const { sessionId } = this.#hold.lease;
    const stored = await inStore(() => this.#store.load(sessionId));
    if (stored?.head !== version + 1) return undefined;
    if (!(await this.#hold.confirm())) throw new LeaseLostError(sessionId);
    const record = deepFreeze(rebuildRecord(stored));
    this.#needsCheckpoint = false;
    return record;
  }

  /** From here on only the last writes are waited for; a store that never answers them cannot keep the session for ever. */
  finish(): void {
    this.#isFinishing = true;
    this.#hold.finish();
  }

  /** Lets the next connection have the session. */
  release(): Promise<void> {
    return this.#hold.release();
  }

  #changeFor(patch: readonly PatchOperation[], record: () => SessionRecord): SessionChange {
    return this.#needsCheckpoint ? { kind: 'checkpoint', record: record() } : this.#checkpoints.choose(patch, record);
  }

  async #guarded<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await inStore(write);
    } catch (error) {
      if (isAgentFlowError(error) && error.code === 'LEASE_LOST') this.#hold.lose();
      throw error;
    } finally {
      if (this.#isFinishing) this.#hold.finish();
    }
  }
}
