/** A process of its own that works on a session database; started by `sqlite-children.ts`. */
import { writeSync } from 'node:fs';
import type { SessionLease, SessionStore } from '../../src/session/store.js';
import { openSqliteFile } from '../../src/stores/sqlite/client.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { mustLoad, patch, recordOf, whole } from '../../src/testing/session-store/case.js';

/** At once, so that a kill cannot take back what was said. */
const say = (line: string | number) => writeSync(1, `${line}\n`);

const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? error.code : undefined);

/** Others may write for longer than the store waits: then nothing was done, and it is done again. */
async function whenNotBusy<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const { cause } = error as { cause?: unknown };
      if (codeOf(error) !== 'STORE_FAILED' || !String(cause).includes('database is locked')) throw error;
    }
  }
}

/** Asks until it is answered: how long that may take is for the test to say, whose machine may be busy. */
async function insist<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const answer = await whenNotBusy(ask);
    if (answer !== undefined) return answer;
    // Whoever is to make it possible needs the processor, too.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** One read-modify-write; answers undefined when another writer was first. */
async function increment(store: SessionStore, lease: SessionLease): Promise<number | undefined> {
  const stored = await mustLoad(store, lease.sessionId);
  const { count } = recordOf(stored) as { count: number };
  const change = patch({ op: 'replace', path: '/count', value: count + 1 });
  try {
    await store.save(lease, { expectedVersion: stored.head, change });
    return count + 1;
  } catch (error) {
    if (codeOf(error) === 'SESSION_CONFLICT' || codeOf(error) === 'LEASE_LOST') return undefined;
    throw error;
  }
}

const commands: Record<string, (store: SessionStore, ...args: string[]) => Promise<void>> = {
  /** Saves with a lease that others use too. */
  async 'count with'(store, lease = '', times) {
    for (let done = 0; done < Number(times); done++) {
      await insist(() => increment(store, JSON.parse(lease)));
      say('saved');
    }
  },
  /** Saves with a lease of its own each time. */
  async 'count in turn'(store, id = '', owner = '', times = 'Infinity', ttlMs = '60000') {
    for (let done = 0; done < Number(times); done++) {
      const lease = await insist(() => store.acquire(id, { owner, ttlMs: Number(ttlMs) }));
      const count = await whenNotBusy(() => increment(store, lease));
      if (count !== undefined) say(count);
      await whenNotBusy(() => store.release(lease));
    }
  },
  async acquire(store, id = '', owner = '') {
    say((await store.acquire(id, { owner, ttlMs: 60_000 })) === undefined ? 'refused' : 'held');
  },
  /** Brings the tables of a file up to date, except that it never ends with that. */
  async 'open and stop before the commit'(_store, path = '') {
    const client = await openSqliteFile(path);
    const exec = (statements: string) => {
      if (statements !== 'COMMIT') return client.exec(statements);
      say('before the commit');
      return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    };
    await new SqliteSessionStore({ database: { exec, prepare: (statement) => client.prepare(statement) } }).list();
  },
  /** Saves a log that grows, says every version that was saved, and never ends. */
  async 'save forever'(store, id = '', owner = '') {
    const lease = await insist(() => store.acquire(id, { owner, ttlMs: 60_000, takeover: true }));
    const stored = await store.load(id);
    let log = stored === undefined ? [] : (recordOf(stored) as { log: unknown[] }).log;
    for (let version = (stored?.head ?? 0) + 1; ; version++) {
      const line = { version, text: 'x'.repeat((version * 37) % 3_000) };
      log = [...log, line];
      const isWhole = version === 1 || version % 100 === 0;
      const change = isWhole ? whole({ log }) : patch({ op: 'add', path: '/log/-', value: line });
      await whenNotBusy(() => store.save(lease, { expectedVersion: version - 1, change }));
      say(version);
    }
  },
};

const [, , path = '', command = '', ...args] = process.argv;
await commands[command]?.(new SqliteSessionStore({ path }), ...args);
