/** Snapshots as Genkit's agents save them. */
import type { SessionStore as GenkitSessionStore, SessionSnapshotInput } from 'genkit/beta';

export const at = '2026-01-01T00:00:00.000Z';
export const message = (text: string) => ({ role: 'user' as const, content: [{ text }] });

export type Snapshot = SessionSnapshotInput<{ n: number }>;

export function snapshot(n: number, rest: Partial<Snapshot> = {}): Snapshot {
  const sessionId = 'session';
  return { sessionId, createdAt: at, status: 'completed', state: { sessionId, custom: { n } }, ...rest };
}

export async function save(store: GenkitSessionStore, id: string, next: Snapshot): Promise<string | null> {
  return store.saveSnapshot(id, () => next as SessionSnapshotInput);
}

/** A first snapshot, and a second one after it. */
export async function twoTurns(store: GenkitSessionStore): Promise<void> {
  await save(store, 'a', snapshot(1));
  await save(store, 'b', snapshot(2, { parentId: 'a' }));
}
