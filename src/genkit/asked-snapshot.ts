/** Which snapshot a Genkit store is asked for. */
import { InvalidValueError } from '../errors.js';

/** One by its own id, or the newest of a session. */
export type AskedSnapshot = { readonly snapshotId: string } | { readonly sessionId: string };

/** Reads the options of `getSnapshot`; an empty id counts as none. Throws `InvalidValueError` for both ids and for neither. */
export function askedSnapshot({ snapshotId, sessionId }: { snapshotId?: string; sessionId?: string }): AskedSnapshot {
  if (snapshotId && !sessionId) return { snapshotId };
  if (sessionId && !snapshotId) return { sessionId };
  const received = snapshotId ? 'both' : 'neither';
  throw new InvalidValueError('option', [{ path: '', expected: 'a snapshotId or a sessionId', received }]);
}
