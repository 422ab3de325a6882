/** The stores conversations are kept in, each new and empty, and what they take on disk. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSessionStore, InMemorySessionStore } from 'genkit/beta';
import Database from 'libsql';
import type { SessionStore } from '../../src/session/store.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { type ChatAgent, type Form, genkitAgent, ourAgent } from './chat.js';

/** An agent whose store is its own. */
export interface Home {
  readonly agent: ChatAgent;
  /** Where it keeps its files, if it does. */
  readonly folder: string | undefined;
  /** Forgets all sessions. */
  empty(): Promise<void>;
  /** Moves everything to where it stays. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** Makes an agent with a new store. */
export type MakeHome = () => Promise<Home>;

export function oursInMemory(form: Form): MakeHome {
  return async () => {
    const store = new MemorySessionStore();
    return { agent: ourAgent(store, form), folder: undefined, ...nothingToDo, empty: () => deleteAll(store) };
  };
}

/** @param hasExpired what runs have said, for those who attach, is gone: the ten minutes are over */
export function oursInSqlite(form: Form, hasExpired = true): MakeHome {
  return async () => {
    const folder = await newFolder();
    const database = new Database(join(folder, 'sessions.db'));
    const store = new SqliteSessionStore({ database });
    const settle = async () => {
      if (hasExpired) database.exec('DELETE FROM feeds; DELETE FROM feed_entries; VACUUM');
      database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
    };
    const close = async () => {
      await store.close();
      database.close();
    };
    return { agent: ourAgent(store, form), folder, empty: () => deleteAll(store), settle, close };
  };
}

/** It cannot delete, and a conversation of a thousand turns leaves a gigabyte behind: a new store takes its place. */
export async function genkitInMemory(): Promise<Home> {
  let store = new InMemorySessionStore();
  const agent = genkitAgent({
    getSnapshot: (options) => store.getSnapshot(options),
    saveSnapshot: (id, mutator, options) => store.saveSnapshot(id, mutator, options),
  });
  const empty = async () => {
    store = new InMemorySessionStore();
  };
  return { agent, folder: undefined, ...nothingToDo, empty };
}

export async function genkitInFiles(): Promise<Home> {
  const folder = await newFolder();
  const empty = () => rm(join(folder, 'global'), { recursive: true, force: true });
  return { agent: genkitAgent(new FileSessionStore(folder)), folder, ...nothingToDo, empty };
}

const nothingToDo = { settle: async () => {}, close: async () => {} };

async function deleteAll(store: SessionStore): Promise<void> {
  const { sessions } = await store.list({ limit: 1_000 });
  for (const { id } of sessions) await store.delete(id);
}

/** Does the work with a new home, then leaves no trace of it. */
export async function withHome<T>(make: MakeHome, work: (home: Home) => Promise<T>): Promise<T> {
  const home = await make();
  try {
    return await work(home);
  } finally {
    await home.close();
    if (home.folder !== undefined) await rm(home.folder, { recursive: true });
  }
}

/** Bytes of all files in a folder and below it. */
export async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(files.map(async ({ path, name }) => (await stat(join(path, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

function newFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'genkitx-agent-bench-'));
}
