/** The SQLite clients of this runtime, and folders for their files. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Libsql from 'libsql';
import { onTestFinished } from 'vitest';
import type { SqliteDatabase } from '../../src/stores/sqlite.js';

/** A client that can be closed. */
export interface TestClient extends SqliteDatabase {
  close(): void;
}

type ClientClass = new (path: string) => TestClient;

/** node:sqlite, where the runtime has it. */
export const nodeSqlite: ClientClass | undefined = findNodeSqlite();

function findNodeSqlite(): ClientClass | undefined {
  const module = process.getBuiltinModule('node:sqlite');
  return module !== undefined && 'DatabaseSync' in module ? (module.DatabaseSync as ClientClass) : undefined;
}

/** Every client there is here, by name; `undefined` for one that this runtime lacks. */
export const clients: Readonly<Record<string, ClientClass | undefined>> = { libsql: Libsql, 'node:sqlite': nodeSqlite };

/** A path in a folder that is removed when the test is over. */
export function freshPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sessions-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'sessions.db');
}

/** Runs SQL on a file through a connection of its own; answers the rows of the last statement. */
export function sql(path: string, ...statements: string[]): Record<string, unknown>[] {
  const database = new (nodeSqlite ?? Libsql)(path);
  try {
    database.exec('PRAGMA busy_timeout = 5000');
    for (const statement of statements.slice(0, -1)) database.exec(statement);
    return database.prepare(statements.at(-1) ?? '').all() as Record<string, unknown>[];
  } finally {
    database.close();
  }
}
