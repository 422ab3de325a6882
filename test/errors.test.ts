/** Every code, provoked for real: here the codes of the core, those of other rooms in the tests of those rooms. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from '../schemas/zod.js';
import {
  AgentFlowError,
  type AnyAgentFlowError,
  describeIssues,
  type ErrorCode,
  errorCodes,
  InvalidValueError,
  isAgentFlowError,
  LeaseLostError,
  SessionConflictError,
  StoredStateError,
  toAgentFlowError,
} from '../src/errors.js';
import { MemorySessionStore } from '../src/stores/memory.js';
import { SqliteSessionStore } from '../src/stores/sqlite.js';
import { testAgent } from './support/agents.js';
import { openTestSession } from './support/sessions.js';
import { collect, errorOf, quiet, take } from './support/waiting.js';

const store = () => new MemorySessionStore();

/** An agent that does nothing with its inputs but take them. */
const idle = (config: Parameters<typeof testAgent>[0] = {}) =>
  testAgent(config, async ({ turns }) => {
    await turns(() => {});
    return { output: null };
  });

/** An agent that never ends its first turn. */
const busy = (config: Parameters<typeof testAgent>[0] = {}) =>
  testAgent(config, async ({ turns }) => {
    await turns(() => new Promise(() => {}));
    return { output: null };
  });

async function heldSession(sessions: MemorySessionStore) {
  const { session } = await openTestSession({ store: sessions, sessionId: 's' });
  return session;
}

type Provocation = () => Promise<unknown>;

const provocations: Partial<Record<ErrorCode, Provocation>> = {
  INVALID_VALUE: () =>
    errorOf(() =>
      idle({ inputSchema: z.string() })
        .open()
        .send(5 as never),
    ),
  INVALID_SCHEMA: () => errorOf(() => idle({ inputSchema: {} as never })),
  NO_INITIAL_STATE: () =>
    errorOf(
      idle({ stateSchema: z.object({ n: z.number() }) })
        .open()
        .output(),
    ),
  STORED_STATE_INVALID: async () => {
    const sessions = store();
    await (await heldSession(sessions)).release();
    const stateSchema = z.object({ n: z.number() });
    return errorOf(idle({ store: sessions, stateSchema }).open({ sessionId: 's' }).output());
  },
  SESSION_CONFLICT: async () => {
    const sessions = store();
    const lease = await sessions.acquire('s', { owner: 'me', ttlMs: 1_000 });
    if (lease === undefined) return undefined;
    return errorOf(sessions.save(lease, { expectedVersion: 4, change: { kind: 'patch', patch: [] } }));
  },
  LEASE_LOST: async () => {
    const sessions = store();
    const session = await heldSession(sessions);
    await sessions.delete('s');
    return errorOf(session.updateState({ n: 1 }));
  },
  SESSION_BUSY: async () => {
    const sessions = store();
    await heldSession(sessions);
    return errorOf(idle({ store: sessions, onBusySession: 'reject' }).open({ sessionId: 's' }).output());
  },
  SESSION_NOT_FOUND: () => errorOf(idle({ store: store() }).sessions.fork('none')),
  SESSION_EXISTS: async () => {
    const sessions = store();
    await heldSession(sessions);
    return errorOf(idle({ store: sessions }).sessions.fork('s', { sessionId: 's' }));
  },
  VERSION_NOT_FOUND: async () => {
    const sessions = store();
    await (await heldSession(sessions)).release();
    return errorOf(idle({ store: sessions }).open({ sessionId: 's', version: 7 }).output());
  },
  SESSION_NOT_RUNNING: () => errorOf(() => idle().watch('nobody')),
  NO_STORE: () => errorOf(idle().sessions.list()),
  STORE_FAILED: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'errors-'));
    try {
      // A folder is no database.
      return await errorOf(
        idle({ store: new SqliteSessionStore({ path: folder }) })
          .open()
          .output(),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  STORE_CORRUPT: async () => {
    const sessions = store();
    const lease = await sessions.acquire('s', { owner: 'me', ttlMs: 1_000 });
    if (lease === undefined) return undefined;
    await sessions.save(lease, { expectedVersion: 0, change: { kind: 'checkpoint', record: 'no record' } });
    return errorOf(idle({ store: sessions }).sessions.get('s'));
  },
  CONNECTION_CLOSED: () => {
    const conn = idle().open();
    conn.close();
    return errorOf(() => conn.send(1));
  },
  TURN_BUSY: async () => {
    const conn = busy().open();
    await conn.send(1);
    return errorOf(conn.send(2, { policy: 'reject' }));
  },
  TURN_INTERRUPTED: async () => {
    let refusal: unknown;
    const agent = testAgent({}, async ({ turns, responder }) => {
      await turns(async (input, turn) => {
        if (input !== 'first') return;
        await new Promise((resolve) => turn.signal.addEventListener('abort', resolve));
        refusal = await errorOf(() => responder.send('more'));
      });
      return { output: null };
    });
    const conn = agent.open();
    await conn.send('first');
    await quiet();
    await conn.send('second', { policy: 'interrupt' });
    conn.close();
    await conn.output();
    return refusal;
  },
  INPUT_QUEUE_FULL: async () => {
    const conn = busy({ maxQueuedInputs: 1 }).open();
    await conn.send(1);
    void conn.send(2);
    return errorOf(conn.send(3));
  },
  CHUNK_BUFFER_FULL: () => {
    const agent = testAgent({ maxBufferedChunks: 1 }, async ({ responder }) => {
      for (;;) void responder.send('more');
    });
    const conn = agent.open();
    return conn.done.then(({ error }) => error);
  },
  RUN_ABORTED: () => {
    const conn = idle().open();
    conn.abort();
    return errorOf(conn.output());
  },
  RUN_ENDED: async () => {
    let late = async () => {};
    const agent = testAgent({}, async ({ responder }) => {
      late = () => responder.send('late');
      return { output: null };
    });
    await agent.open().output();
    return errorOf(late);
  },
  HANDLER_FAILED: () =>
    errorOf(
      testAgent({}, () => Promise.reject(new TypeError('it broke')))
        .open()
        .output(),
    ),
  CURSOR_EXPIRED: async () => {
    const agent = testAgent({ replayChunks: 0 }, async ({ responder }) => {
      for (let chunk = 0; chunk < 5_000; chunk++) await responder.send(chunk);
      return { output: null };
    });
    const conn = agent.open();
    await take(conn.receive(), 4_000);
    return errorOf(collect(conn.watch({ after: { run: 'an earlier one', turn: 1, seq: 0, attempt: 1 } })));
  },
};

describe.each(Object.entries(provocations))('%s', (code, provoke) => {
  it('happens, with its status, as one typed error that tells the wire no more than it should', async () => {
    const error = await provoke();
    expect(error).toBeInstanceOf(AgentFlowError);
    expect(isAgentFlowError(error)).toBe(true);
    expect(error).toMatchObject({ code, status: errorCodes[code as ErrorCode] });
    const { name, message, details } = error as AnyAgentFlowError;
    expect(name).toMatch(/Error$/);
    expect(message).toMatch(/\w+ \w+/);
    const wire = JSON.parse(JSON.stringify(error));
    expect(wire).toEqual({
      status: errorCodes[code as ErrorCode],
      code,
      message,
      ...(details === undefined ? {} : { details }),
    });
  });
});

describe('the table of codes', () => {
  const texts = (folder: string): string[] =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && entry.name !== 'errors.test.ts')
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));

  it('has a test for every code that is ever thrown', () => {
    const sources = texts('src').filter(
      (text) => !text.includes('statusOfCode = {') && !text.includes('statusOfHostCode = {'),
    );
    const tests = texts('test');
    const names = (list: readonly string[], code: string) => list.some((text) => text.includes(`'${code}'`));
    const unproven = Object.keys(errorCodes).filter(
      (code) => !(code in provocations) && names(sources, code) && !names(tests, code),
    );
    expect(unproven).toEqual([]);
  });
});

describe('errors with facts', () => {
  it('carry them as fields, and have names of their own', () => {
    const issues = [
      { path: 'a.0', expected: 'string', received: 'number' },
      { path: '', expected: 'object', received: 'null' },
    ];
    expect(describeIssues(issues)).toBe('at "a.0" expected string, got number; expected object, got null');
    expect(new InvalidValueError('input', issues)).toMatchObject({ name: 'InvalidValueError', kind: 'input', issues });
    expect(new SessionConflictError('s', 3, 5)).toMatchObject({
      name: 'SessionConflictError',
      sessionId: 's',
      expectedVersion: 3,
      actualVersion: 5,
    });
    expect(new LeaseLostError('s')).toMatchObject({ name: 'LeaseLostError', sessionId: 's' });
    expect(new StoredStateError('s', issues)).toMatchObject({ name: 'StoredStateError', sessionId: 's', issues });
  });

  it('never tell the wire which session it was', () => {
    const secret = 'session-of-somebody';
    for (const error of [
      new SessionConflictError(secret, 3, 5),
      new LeaseLostError(secret),
      new StoredStateError(secret, []),
    ]) {
      expect(JSON.stringify(error)).not.toContain(secret);
    }
  });

  it('chain their cause, also one that is undefined', () => {
    const cause = new TypeError('why');
    expect(new AgentFlowError('STORE_FAILED', 'gone', { cause }).cause).toBe(cause);
    expect('cause' in new AgentFlowError('STORE_FAILED', 'gone', { cause: undefined })).toBe(true);
    expect('cause' in new AgentFlowError('STORE_FAILED', 'gone')).toBe(false);
  });
});

describe('an error of ours', () => {
  it('is known by its code, from another copy of the package too, and nothing else is', () => {
    const copy = Object.assign(new Error('x'), { code: 'LEASE_LOST', status: 'ABORTED' });
    expect(isAgentFlowError(copy)).toBe(true);
    expect(toAgentFlowError(copy)).toBe(copy);
    for (const other of [
      null,
      { code: 'LEASE_LOST', status: 'ABORTED' },
      Object.assign(new Error(), { code: 'ENOENT', status: 1 }),
      Object.assign(new Error(), { code: 'constructor', status: 1 }),
      Object.assign(new Error(), { code: 'LEASE_LOST' }),
    ]) {
      expect(isAgentFlowError(other)).toBe(false);
      expect(toAgentFlowError(other)).toMatchObject({ code: 'HANDLER_FAILED', cause: other });
    }
  });

  it('keeps every Genkit status a thrown value carries', () => {
    const statuses = new Set(Object.values(errorCodes));
    for (const status of statuses) {
      expect(toAgentFlowError(Object.assign(new Error('x'), { status })).status).toBe(status);
    }
  });
});
