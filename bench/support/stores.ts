/** The stores conversations are kept in, each new and empty, and what they take on disk. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSessionStore, InMemorySessionStore } from 'genkit/beta';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { type ChatAgent, type Form, genkitAgent, ourAgent } from './chat.js';

/** An agent whose store is its own. */
export interface Home {
  readonly agent: ChatAgent;
  /** Where it keeps its files, if it does. */
  readonly folder: string | undefined;
  /** Everything is on disk and nothing is held open. */
  shut(): Promise<void>;
}

/** Makes an agent with a new store. */
export type MakeHome = () => Promise<Home>;

export function oursInMemory(form: Form): MakeHome {
  return async () => ({ agent: ourAgent(new MemorySessionStore(), form), folder: undefined, shut: async () => {} });
}

export function oursInSqlite(form: Form): MakeHome {
  return async () => {
    const folder = await newFolder();
    const store = new SqliteSessionStore({ path: join(folder, 'sessions.db') });
    return { agent: ourAgent(store, form), folder, shut: () => store.close() };
  };
}

export async function genkitInMemory(): Promise<Home> {
  return { agent: genkitAgent(new InMemorySessionStore()), folder: undefined, shut: async () => {} };
}

export async function genkitInFiles(): Promise<Home> {
  const folder = await newFolder();
  return { agent: genkitAgent(new FileSessionStore(folder)), folder, shut: async () => {} };
}

/** Does the work with a new home, then leaves no trace of it. */
export async function withHome<T>(make: MakeHome, work: (home: Home) => Promise<T>): Promise<T> {
  const home = await make();
  try {
    return await work(home);
  } finally {
    await home.shut();
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
