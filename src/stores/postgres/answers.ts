/** What the statements answer, as sessions. */
import type { PatchOperation } from '../../internal/patch.js';
import type { AcceptedInput, SessionSummary, StoredSession } from '../../session/store.js';
import { storeCorrupt, storedJson, unescapedText } from '../../session/store-checks.js';

/** What errors call the store. */
export const here = 'The Postgres database';

/** A line of a listing. */
export interface SummaryRow {
  readonly head: number;
  readonly parent_id: string | null;
  readonly parent_version: string | null;
  readonly created_at: string;
  readonly updated_at: string;
}

/** A session and one version of it. */
export interface LoadedRow extends SummaryRow {
  readonly version: number | null;
  readonly checkpoint: number | null;
  readonly data: string | null;
  readonly count: number;
  readonly pending: string | null;
}

/** A session as loaded. Throws `STORE_CORRUPT`. */
export function toSession(sessionId: string, row: LoadedRow): StoredSession {
  const texts = toVersions(row);
  const [checkpoint, ...patches] = texts.values;
  return {
    ...toSummary(sessionId, row),
    version: Number(row.version),
    head: Number(row.head),
    checkpoint,
    patches: patches as PatchOperation[][],
    size: texts.size,
    pending: storedJson(`[${row.pending ?? ''}]`, here) as AcceptedInput[],
  };
}

/** What the joined texts of a whole record and its patches stand for, and how long they are together. */
function toVersions({ version, checkpoint, data, count }: LoadedRow): { values: unknown[]; size: number } {
  if (version === null || checkpoint === null || data === null || Number(count) !== version - checkpoint + 1)
    throw storeCorrupt(`${here} has lost a version of a session`);
  const values = storedJson(`[${data}]`, `${here}, in versions ${checkpoint} to ${version} of a session,`);
  const commas = Number(count) - 1;
  if (Array.isArray(values) && values.length === Number(count)) return { values, size: data.length - commas };
  throw storeCorrupt(`${here} holds versions of a session that are not each a value of their own`);
}

/** A line of a listing. Throws `STORE_CORRUPT`. */
export function toSummary(id: string, row: SummaryRow): SessionSummary {
  const { parent_id: parentId, parent_version: parentVersion } = row;
  const parent =
    parentId === null || parentVersion === null
      ? {}
      : { parent: { sessionId: unescapedText(parentId, here), version: Number(parentVersion) } };
  return { id, version: Number(row.head), ...parent, createdAt: row.created_at, updatedAt: row.updated_at };
}
