/**
 * Sessions in one SQLite file: the embedded default. Durable when a call resolves (WAL, `synchronous=FULL`), shared by
 * as many processes of one machine as there are, readable with the sqlite3 tool.
 */
import { AgentFlowError } from '../errors.js';
import type { PatchOperation } from '../internal/patch.js';
import type { AcceptedInput, SessionLease, SessionSave, SessionStore, SessionSummary, StoredSession } from '../session/store.js';
import { checkInput, checkSave, checkTtl, cursorAfter, jsonText, pageOf } from '../session/store-checks.js';
import { SqliteConnection, type SqliteDatabase, type SqliteSource, type SqliteStatement } from './sqlite/database.js';
import { acceptInput, pendingInputs } from './sqlite/inputs.js';
import { acquireLease, releaseLease, renewLease } from './sqlite/leases.js';
import { deleteSession, listSessions, loadVersions, saveVersion } from './sqlite/versions.js';

export type { SqliteDatabase, SqliteStatement };

/** Options of {@link SqliteSessionStore}: a path, or an open client. */
export type SqliteSessionStoreOptions = SqliteSource;
