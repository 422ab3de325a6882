import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { type SqliteDatabase, SqliteSessionStore } from '../../src/stores/sqlite.js';
import { type StoreUnderTest, testSessionStore } from '../../src/testing/session-store-suite.js';
import { clients } from '../support/sqlite-clients.js';

/** A store in a folder of its own, opened and opened again by `open`. */
function inOwnFolder(
  open: (path: string) => { store: SqliteSessionStore; close: () => void | Promise<void> },
): StoreUnderTest {
  const folder = mkdtempSync(join(tmpdir(), 'sessions-'));
  const path = join(folder, 'sessions.db');
  const first = open(path);
  let last = first;
  let second: typeof first | undefined;
  return {
    store: first.store,
    async another() {
      second = open(path);
      return second.store;
    },
    async reopen() {
      await first.close();
      last = open(path);
      return last.store;
    },
    async dispose() {
      await second?.close();
      if (last === first) await first.close();
      else await last.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

describe('a path, with the client of this runtime', () => {
  const open = (path: string) => {
    const store = new SqliteSessionStore({ path });
    return { store, close: () => store.close() };
  };
  testSessionStore({ test, create: () => inOwnFolder(open), feed: true });
});

for (const [name, Client] of Object.entries(clients)) {
  if (Client === undefined) {
    test.skip(`${name} (skipped: Node ${process.version} does not have it)`, () => {});
    continue;
  }
  describe(`a client that is given: ${name}`, () => {
    const open = (path: string) => {
      const database: SqliteDatabase & { close(): void } = new Client(path);
      return { store: new SqliteSessionStore({ database }), close: () => database.close() };
    };
    testSessionStore({ test, create: () => inOwnFolder(open), feed: true });
  });
}
