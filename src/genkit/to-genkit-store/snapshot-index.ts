/** Which session a snapshot belongs to. Genkit asks for snapshots by their id alone. */
import type { SessionSnapshot } from 'genkit/beta';
import type { Hold } from '../../session/lease.js';
import type { SessionStore } from '../../session/store.js';

/** Where a snapshot is: in a session, or, when it was saved without one, here. */
export type IndexEntry = { readonly sessionId: string } | { readonly snapshot: SessionSnapshot };

/** One small session of the store for each snapshot, apart from the sessions themselves. */
export class SnapshotIndex {
  readonly #store: SessionStore;
  readonly #hold: (store: SessionStore, id: string) => Promise<Hold>;

  constructor(sessions: SessionStore, hold: (store: SessionStore, id: string) => Promise<Hold>) {
    this.#store = sessions.forTenant('genkitx-agent').forTenant('snapshots');
    this.#hold = hold;
  }

  async find(snapshotId: string): Promise<IndexEntry | undefined> {
    return (await this.#store.load(snapshotId))?.checkpoint as IndexEntry | undefined;
  }

  /** Writes down what `change` makes of the entry, which nobody else changes meanwhile; `undefined` changes nothing. */
  async update(
    snapshotId: string,
    change: (entry: IndexEntry | undefined) => IndexEntry | undefined,
  ): Promise<IndexEntry | undefined> {
    const hold = await this.#hold(this.#store, snapshotId);
    try {
      const stored = await this.#store.load(snapshotId);
      const next = change(stored?.checkpoint as IndexEntry | undefined);
      if (next === undefined) return undefined;
      const save = {
        expectedVersion: stored?.head ?? 0,
        change: { kind: 'checkpoint', record: next },
        keepVersions: 1,
      } as const;
      await this.#store.save(hold.lease, save);
      return next;
    } finally {
      await hold.release();
    }
  }

  async forget(snapshotId: string): Promise<void> {
    await this.#store.delete(snapshotId);
  }

  /** Forgets the entry if it is of no use, which is asked while nobody else changes it. */
  async forgetIf(snapshotId: string, isUseless: () => Promise<boolean>): Promise<void> {
    const hold = await this.#hold(this.#store, snapshotId);
    try {
      if (await isUseless()) await this.forget(snapshotId);
    } finally {
      await hold.release();
    }
  }
}
