import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Libsql from 'libsql';
import { describe, test } from 'vitest';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { testSessionStore } from '../../src/testing/session-store-suite.js';

describe('libsql', () => {
  testSessionStore({
    test,
    create: () => {
      const dir = mkdtempSync(join(tmpdir(), 's-'));
      const path = join(dir, 's.db');
      const db = new Libsql(path);
      return {
        store: new SqliteSessionStore({ database: db }),
        reopen: async () => new SqliteSessionStore({ database: new Libsql(path) }),
        dispose: () => {
          db.close();
          rmSync(dir, { recursive: true });
        },
      };
    },
  });
});
