/** What a Genkit snapshot id of ours stands for. */
export interface SnapshotKey {
  readonly sessionId: string;
  readonly version: number;
  /** Set for a turn that was sent to the background: the snapshot is whatever has become of it. */
  readonly task?: string;
}

/** The key as an opaque text, safe in a URL and in JSON whatever the session is called. */
export function encodeSnapshotId({ sessionId, version, task }: SnapshotKey): string {
  const members = task === undefined ? [sessionId, version] : [sessionId, version, task];
  return Buffer.from(JSON.stringify(members)).toString('base64url');
}

/** The key of an id that {@link encodeSnapshotId} made; `undefined` for any other text. */
export function decodeSnapshotId(snapshotId: string): SnapshotKey | undefined {
  let members: unknown;
  try {
    members = JSON.parse(Buffer.from(snapshotId, 'base64url').toString());
  } catch {
    return undefined;
  }
  if (!Array.isArray(members)) return undefined;
  const [sessionId, version, task]: unknown[] = members;
  if (typeof sessionId !== 'string' || typeof version !== 'number' || !Number.isSafeInteger(version)) return undefined;
  const key = typeof task === 'string' ? { sessionId, version, task } : { sessionId, version };
  // One key has one id: nothing may be slipped in beside it.
  return version >= 1 && encodeSnapshotId(key) === snapshotId ? key : undefined;
}
