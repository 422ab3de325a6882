/** How texts and JSON stand in the tables. */
import type { AgentFlowError } from '../../errors.js';
import { storeCorrupt, storedJson, unescapedText } from '../../session/store-checks.js';

/** Where a session stands: two texts as they are in the tables. */
export interface SessionKey {
  readonly tenant: string;
  readonly id: string;
}

/** Milliseconds since the Unix epoch, by the database's clock. */
export const nowInMs = "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";

/** The subject of what is said about broken contents. */
const store = 'The SQLite database';

export { escapedText as toText } from '../../session/store-checks.js';

/** The text that was given. Throws `STORE_CORRUPT`. */
export function fromText(stored: string): string {
  return unescapedText(stored, store);
}

/** What the JSON stands for. Throws `STORE_CORRUPT`. */
export function parseStored(text: string): unknown {
  return storedJson(text, store);
}

/** The error for a database whose tables do not fit together. */
export function corrupt(what: string, cause?: unknown): AgentFlowError {
  return storeCorrupt(`${store} ${what}`, cause);
}
