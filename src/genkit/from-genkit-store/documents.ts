/** A Genkit session store as a place for documents under keys, which is all of it that keeps what it promises. */
import { createHash } from 'node:crypto';
import type { SessionStore as GenkitSessionStore } from 'genkit/beta';
import type { Clock } from '../../internal/clock.js';
import { inStore } from '../../session/in-store.js';

/** JSON documents, each a snapshot of its own. */
export class GenkitDocuments {
  readonly #store: GenkitSessionStore;
  readonly #clock: Clock;

  constructor(store: GenkitSessionStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  async get<Document>(key: string): Promise<Document | undefined> {
    const snapshot = await inStore(() => this.#store.getSnapshot({ snapshotId: key }));
    return (snapshot?.state?.custom ?? undefined) as Document | undefined;
  }

  /** @param assertMayWrite called when the store is about to write, with nothing in between; what it throws stops it */
  async put(key: string, document: object, assertMayWrite: () => void = () => {}): Promise<void> {
    await this.#write(key, document, assertMayWrite);
  }

  /** Genkit's stores delete nothing: an empty snapshot stays behind, under a name that says nothing. */
  async clear(key: string): Promise<void> {
    await this.#write(key, null, () => {});
  }

  async #write(key: string, custom: object | null, assertMayWrite: () => void): Promise<void> {
    const createdAt = new Date(this.#clock.now()).toISOString();
    // Firestore's store takes no snapshot without a session.
    const [sessionId] = key.split(versionSeparator);
    await inStore(() =>
      this.#store.saveSnapshot(key, () => {
        assertMayWrite();
        return { snapshotId: key, sessionId, createdAt, status: 'completed', state: { custom } };
      }),
    );
  }
}

/** A key that any store takes for a name: a session's id may be anything. */
export function documentKey(...names: unknown[]): string {
  return createHash('sha256').update(JSON.stringify(names)).digest('hex');
}

const versionSeparator = '-';

/** The key of a document that hangs by the one of a key. */
export function versionKey(key: string, version: number): string {
  return `${key}${versionSeparator}${version}`;
}
