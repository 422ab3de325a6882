/** What the scripts answer, as sessions. */
import type { PatchOperation } from '../../internal/patch.js';
import type { AcceptedInput, SessionSummary, StoredSession } from '../../session/store.js';
import { storeCorrupt, storedJson, unescapedText } from '../../session/store-checks.js';

/** What errors call the store. */
export const here = 'The Redis database';

/** What Redis has under a name; `null` when there is nothing. */
export type Field = string | null;

/** The {@link summaryFields}, version, its checkpoint, texts from that on, pending inputs. */
export type Loaded = [Field, Field, Field, Field, Field, Field, string[], string[]];

/** The fields of a session that {@link toSummary} takes, in its order. */
export const summaryFields: readonly string[] = ['head', 'parentId', 'parentVersion', 'created'];

/** What stands before the first space, and after it. */
export function splitOnce(text: string): [string, string] {
  const end = text.indexOf(' ');
  return [text.slice(0, end), text.slice(end + 1)];
}

/** A session as loaded. Throws `STORE_CORRUPT`. */
export function toSession(sessionId: string, loaded: Loaded): StoredSession {
  const [head, parentId, parentVersion, created, version, checkpoint, texts, pending] = loaded;
  const first = Number(checkpoint);
  if (texts.length !== Number(version) - first + 1) throw storeCorrupt(`${here} has lost a version of a session`);
  const data = texts.map((text) => splitOnce(text)[1]);
  const [record, ...patches] = parseAll(data, first);
  const summary = toSummary(sessionId, [head, parentId, parentVersion, created]);
  return {
    ...summary,
    version: Number(version),
    head: summary.version,
    checkpoint: record,
    patches: patches as PatchOperation[][],
    size: data.reduce((size, text) => size + text.length, 0),
    pending: pending.map((text) => storedJson(splitOnce(splitOnce(text)[1])[1], here) as AcceptedInput),
  };
}

/** All texts in one go, which is several times faster than one by one; one by one only to tell which is not JSON. */
function parseAll(texts: readonly string[], first: number): unknown[] {
  try {
    const values: unknown = JSON.parse(`[${texts.join(',')}]`);
    if (Array.isArray(values) && values.length === texts.length) return values;
  } catch {}
  return texts.map((text, index) => storedJson(text, `${here}, as version ${first + index} of a session,`));
}

/** A line of a listing. Throws `STORE_CORRUPT`. */
export function toSummary(id: string, [head, parentId, parentVersion, created]: readonly Field[]): SessionSummary {
  const [version, , updated] = String(head).split(' ');
  const parent =
    typeof parentId === 'string'
      ? { parent: { sessionId: unescapedText(parentId, here), version: Number(parentVersion) } }
      : {};
  return { id, version: Number(version), ...parent, createdAt: iso(created), updatedAt: iso(updated) };
}

function iso(millis: Field | undefined): string {
  return new Date(Number(millis)).toISOString();
}
