/** What the scripts answer, as sessions. */
import type { PatchOperation } from '../../internal/patch.js';
import type { AcceptedInput, SessionSummary, StoredSession } from '../../session/store.js';
import { storeCorrupt, storedJson, unescapedText } from '../../session/store-checks.js';

/** What errors call the store. */
export const here = 'The Redis database';

/** What Redis has under a name; `null` when there is nothing. */
export type Field = string | null;

/** Head, when it was saved, when created, parent's id and version. */
export type Summary = [head: string, saved: Field, created: string, parentId: Field, parentVersion: Field];

/** Its summary, version, the checkpoint of that, what is known of each version from there on and its JSON, pending inputs. */
export type Loaded = [Summary, string, string, string[], string[]];

/** What stands before the first space, and after it. */
export function splitOnce(text: string): [string, string] {
  const end = text.indexOf(' ');
  return [text.slice(0, end), text.slice(end + 1)];
}

/** A session as loaded. Throws `STORE_CORRUPT`. */
export function toSession(sessionId: string, [summary, version, checkpoint, texts, pending]: Loaded): StoredSession {
  const first = Number(checkpoint);
  const data = texts.filter((_, place) => place % 2 === 1);
  if (data.length === 0 || data.length !== Number(version) - first + 1) throw lost();
  if (texts[0]?.startsWith(`${first} `) !== true) throw lost();
  const [record, ...patches] = parseAll(data, first);
  const { version: head, ...known } = toSummary(sessionId, summary);
  return {
    ...known,
    version: Number(version),
    head,
    checkpoint: record,
    patches: patches as PatchOperation[][],
    size: data.reduce((size, text) => size + text.length, 0),
    pending: pending.map((text) => storedJson(splitOnce(splitOnce(text)[1])[1], here) as AcceptedInput),
  };
}

function lost(): Error {
  return storeCorrupt(`${here} has lost a version of a session`);
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
export function toSummary(id: string, [head, saved, created, parentId, parentVersion]: Summary): SessionSummary {
  const parent =
    parentId === null ? {} : { parent: { sessionId: unescapedText(parentId, here), version: Number(parentVersion) } };
  // One that has lost its versions must not keep the others from being listed, nor itself from being deleted.
  return { id, version: Number(head), ...parent, createdAt: iso(created), updatedAt: iso(saved ?? created) };
}

function iso(millis: string): string {
  return new Date(Number(millis)).toISOString();
}
