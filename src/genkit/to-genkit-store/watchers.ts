/** Who waits for a snapshot to change, in this process at once and by another one at the next look. */
import type { SessionSnapshot } from 'genkit/beta';
import type { Clock } from '../../internal/clock.js';

interface Watcher {
  tell(snapshot: SessionSnapshot): void;
}

/** The watchers of one store. */
export class SnapshotWatchers {
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #watchers = new Map<string, Set<Watcher>>();

  constructor(clock: Clock, pollMs: number) {
    this.#clock = clock;
    this.#pollMs = pollMs;
  }

  /** Tells the callback of the snapshot as it is, and of everything it becomes, each once. The answer ends it. */
  watch(
    key: string,
    look: () => Promise<SessionSnapshot | undefined>,
    callback: (snapshot: SessionSnapshot) => void,
  ): () => void {
    let last: string | undefined;
    let told = 0;
    let isOver = false;
    let stopWaiting = () => {};
    const watcher: Watcher = {
      tell(snapshot) {
        const text = JSON.stringify(snapshot);
        if (isOver || text === last) return;
        last = text;
        told += 1;
        try {
          callback(structuredClone(snapshot));
        } catch {
          // What a watcher does is no business of the one that saves.
        }
      },
    };
    const lookNow = async () => {
      const toldBefore = told;
      const snapshot = await look().catch(() => undefined);
      // What was told while the look was under way is newer than what it found.
      if (snapshot !== undefined && told === toldBefore) watcher.tell(snapshot);
      if (!isOver) stopWaiting = this.#clock.after(this.#pollMs, () => void lookNow());
    };
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers.add(watcher));
    void lookNow();
    return () => {
      isOver = true;
      stopWaiting();
      watchers.delete(watcher);
      if (watchers.size === 0) this.#watchers.delete(key);
    };
  }

  tell(key: string, snapshot: SessionSnapshot): void {
    for (const watcher of [...(this.#watchers.get(key) ?? [])]) watcher.tell(snapshot);
  }
}
