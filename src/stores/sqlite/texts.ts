/** How texts and JSON stand in the tables. */
import { AgentFlowError } from '../../errors.js';

/** Where a session stands: two texts as they are in the tables. */
export interface SessionKey {
  readonly tenant: string;
  readonly id: string;
}

/** Milliseconds since the Unix epoch, by the database's clock. */
export const nowInMs = "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";
/** ISO 8601, by the database's clock. */
export const nowInIso = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

/** Any text at all, in a form that UTF-8 can hold without loss: NUL and lone surrogates are escaped, as JSON does. */
export function toText(given: string): string {
  return JSON.stringify(given).slice(1, -1);
}

/** The text that was given. Throws `STORE_CORRUPT`. */
export function fromText(stored: string): string {
  return String(parseStored(`"${stored}"`));
}

/** What the JSON stands for. Throws `STORE_CORRUPT`. */
export function parseStored(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw corrupt('holds text that is not JSON', cause);
  }
}

/** The error for a database whose tables do not fit together. */
export function corrupt(what: string, cause?: unknown): AgentFlowError {
  return new AgentFlowError('STORE_CORRUPT', `The SQLite database ${what}`, cause === undefined ? {} : { cause });
}
