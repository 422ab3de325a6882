/**
 * What do the databases' stores cost beside the database itself? Wall time, because most of it is spent in the server:
 * every store beside the barest thing that its own database can do on the same connection, the two taking turns. It starts
 * the servers it needs; Redis only where there is `redis-server`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import Database from 'libsql';
import pg from 'pg';
import type { SessionLease, SessionStore } from '../src/session/store.js';
import { PostgresSessionStore } from '../src/stores/postgres.js';
import { RedisSessionStore } from '../src/stores/redis.js';
import { SqliteSessionStore } from '../src/stores/sqlite.js';
import { PostgresServer } from '../test/support/postgres-server.js';
import { noRedis, RedisServer } from '../test/support/redis-server.js';
import { collectGarbage, median } from './support/measure.js';
import {
  type Answer,
  atLeast,
  atMost,
  count,
  type Goal,
  type Question,
  short,
  type Table,
  times,
} from './support/report.js';
import { storm } from './support/storm.js';

const text = 'a piece of the answer that is as long as such pieces are, '.repeat(5);
const messages = [
  { role: 'user', content: [{ text: 'Could you tell me what the weather in Lisbon will be like tomorrow?' }] },
  { role: 'model', content: [{ text }] },
];
const patch = messages.map((value) => ({ op: 'add' as const, path: '/state/messages/-', value }));
const data = JSON.stringify(patch);
const ttlMs = 3_600_000;
/** At which turn we look, and how far around it. */
const marks = [
  { turn: 10, width: 8 },
  { turn: 100, width: 50 },
  { turn: 1_000, width: 300 },
  { turn: 10_000, width: 300 },
] as const;
const sessionsAtOnce = 50;
const roundsAtOnce = 15;
const messagesToResume = 10_000;
const writersInStorm = 32;
const turnsOfEach = 10;

/** A store, and the barest thing its database can do instead. */
interface Rival {
  readonly name: string;
  readonly bareName: string;
  readonly store: SessionStore;
  /** Keeps the text of one more turn of a session, durably. */
  append(session: number, turn: number): Promise<unknown>;
  /** All that was kept of a session, parsed. */
  read(session: number): Promise<unknown[]>;
  /** A second store on the same database, whose writers know nothing of those of the first. */
  another(): SessionStore;
  close(): Promise<void>;
}

/** A conversation that is being saved. */
class Conversation {
  readonly #store: SessionStore;
  readonly #lease: SessionLease;
  #head = 1;

  static async begin(store: SessionStore, id: string): Promise<Conversation> {
    const lease = await store.acquire(id, { owner: 'bench', ttlMs });
    if (lease === undefined) throw new Error('The session is held');
    const record = { state: { messages: [] }, artifacts: [] };
    await store.save(lease, { expectedVersion: 0, change: { kind: 'checkpoint', record } });
    return new Conversation(store, lease);
  }

  private constructor(store: SessionStore, lease: SessionLease) {
    this.#store = store;
    this.#lease = lease;
  }

  async turn(): Promise<void> {
    await this.#store.save(this.#lease, { expectedVersion: this.#head, change: { kind: 'patch', patch } });
    this.#head += 1;
  }
}

async function postgres(server: PostgresServer): Promise<Rival> {
  const pool = new pg.Pool({ ...server.connection, max: 16 });
  await pool.query('CREATE TABLE bare (session integer, turn integer, data text, PRIMARY KEY (session, turn))');
  const insert = { name: 'insert', text: 'INSERT INTO bare (session, turn, data) VALUES ($1, $2, $3)' };
  const select = { name: 'select', text: 'SELECT data FROM bare WHERE session = $1 ORDER BY turn' };
  const store = new PostgresSessionStore({ pool });
  await store.migrate();
  return {
    name: 'Postgres',
    bareName: 'INSERT',
    store,
    append: (session, turn) => pool.query({ ...insert, values: [session, turn, data] }),
    async read(session) {
      const { rows } = await pool.query<{ data: string }>({ ...select, values: [session] });
      return rows.map((row) => JSON.parse(row.data));
    },
    another: () => new PostgresSessionStore({ pool }),
    close: () => pool.end(),
  };
}

async function redis(server: RedisServer): Promise<Rival> {
  const client = new Redis(server.port);
  const add = await client.script('LOAD', "return redis.call('XADD', KEYS[1], '*', 'data', ARGV[1])");
  return {
    name: 'Redis',
    bareName: 'XADD in Lua',
    store: new RedisSessionStore({ client }),
    append: (session) => client.evalsha(String(add), 1, `bare:${session}`, data),
    async read(session) {
      const entries = await client.xrange(`bare:${session}`, '-', '+');
      return entries.map(([, [, text = '']]) => JSON.parse(text));
    },
    another: () => new RedisSessionStore({ client }),
    close: async () => client.disconnect(),
  };
}

async function sqlite(): Promise<Rival> {
  const folder = mkdtempSync(join(tmpdir(), 'genkitx-agent-bench-'));
  const bare = new Database(join(folder, 'bare.db'));
  bare.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  bare.exec('CREATE TABLE bare (session INTEGER, turn INTEGER, data TEXT, PRIMARY KEY (session, turn))');
  const insert = bare.prepare('INSERT INTO bare VALUES (?, ?, ?)');
  const select = bare.prepare('SELECT data FROM bare WHERE session = ? ORDER BY turn');
  const store = new SqliteSessionStore({ path: join(folder, 'sessions.db') });
  return {
    name: 'SQLite',
    bareName: 'INSERT',
    store,
    append: async (session, turn) => insert.run(session, turn, data),
    read: async (session) => (select.all(session) as { data: string }[]).map((row) => JSON.parse(row.data)),
    another: () => store,
    async close() {
      await store.close();
      bare.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Microseconds of one piece of work, from its call to its answer. */
async function microsOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) * 1_000;
}

/** What the turns of one long conversation take around each mark, beside the bare appends made between them. */
async function longConversation({ store, append }: Rival): Promise<{ ours: number[]; bare: number[] }> {
  const conversation = await Conversation.begin(store, 'long');
  const ours: number[] = [];
  const bare: number[] = [];
  for (let turn = 1; turn <= 10_300; turn++) {
    ours.push(await microsOf(() => conversation.turn()));
    bare.push(await microsOf(() => append(0, turn)));
  }
  const around = (all: readonly number[]) =>
    marks.map(({ turn, width }) => median(all.slice(turn - width, turn + width)));
  return { ours: around(ours), bare: around(bare) };
}

/** Turns a second of many conversations at once, beside bare appends by as many. */
async function manyConversations({ name, store, append }: Rival): Promise<{ ours: number; bare: number }> {
  const turns = 40;
  const all = await Promise.all(
    Array.from({ length: sessionsAtOnce }, (_, index) => Conversation.begin(store, `${name} ${index}`)),
  );
  const rate = async (work: (session: number, turn: number) => Promise<unknown>) => {
    const micros = await microsOf(() =>
      Promise.all(
        all.map(async (_, session) => {
          for (let turn = 0; turn < turns; turn++) await work(session, turn);
        }),
      ),
    );
    return (sessionsAtOnce * turns * 1_000_000) / micros;
  };
  const rates = { ours: [] as number[], bare: [] as number[] };
  for (let round = 0; round < roundsAtOnce; round++) {
    rates.ours.push(await rate((session) => all[session]?.turn() ?? Promise.resolve()));
    rates.bare.push(await rate((session, turn) => append(100 + session, round * turns + turn)));
  }
  return { ours: median(rates.ours), bare: median(rates.bare) };
}

/** Milliseconds to have a long session again, beside a bare read of the same texts. */
async function resumption({ store, append, read }: Rival): Promise<{ ours: number; bare: number }> {
  const turns = messagesToResume / messages.length;
  const conversation = await Conversation.begin(store, 'resume');
  for (let turn = 0; turn < turns; turn++) {
    await conversation.turn();
    await append(1, turn);
  }
  const found = await store.load('resume');
  if (found?.patches.length !== turns || (await read(1)).length !== turns) throw new Error('Not all is there');
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < 15; round++) {
    collectGarbage();
    ours.push((await microsOf(() => store.load('resume'))) / 1_000);
    collectGarbage();
    bare.push((await microsOf(() => read(1))) / 1_000);
  }
  return { ours: median(ours), bare: median(bare) };
}

/** One rival's rows of all tables. */
interface Findings {
  readonly rows: {
    readonly save: string[];
    readonly many: string[];
    readonly resume: string[];
    readonly storm: string[];
  };
  readonly goals: readonly Goal[];
}

async function findingsOf(rival: Rival): Promise<Findings> {
  const { name, bareName } = rival;
  const long = await longConversation(rival);
  const ratios = long.ours.map((micros, index) => micros / (long.bare[index] ?? Number.NaN));
  const [early = Number.NaN, , , late = Number.NaN] = ratios;
  const last = [long.ours, long.bare].map((all) => short(all.at(-1) ?? Number.NaN));
  const many = await manyConversations(rival);
  const resume = await resumption(rival);
  const { micros, begunAgain, accounted } = await storm(rival.another, writersInStorm, turnsOfEach);
  const turns = writersInStorm * turnsOfEach;
  return {
    rows: {
      save: [name, bareName, ...ratios.map(times), ...last],
      many: [name, short(many.ours), short(many.bare), times(many.ours / many.bare)],
      resume: [name, short(resume.ours), short(resume.bare), times(resume.ours / resume.bare)],
      storm: [name, count(turns), count(begunAgain), short((turns * 1_000_000) / micros)],
    },
    goals: [
      atMost(`${name}: a save ≤ 1.3× the bare ${bareName}, at turn 10,000`, 1.3, late),
      atMost(`${name}: turn 10,000 costs ≤ 1.3× turn 10, both beside the bare`, 1.3, late / early),
      atLeast(`${name}: ${sessionsAtOnce} sessions ≥ 0.8× the bare throughput`, 0.8, many.ours / many.bare),
      atMost(`${name}: resuming 10,000 messages ≤ 2× the bare read`, 2, resume.ours / resume.bare),
      atLeast(`${name}: of a storm's turns each is there, once`, 1, accounted / turns),
    ],
  };
}

async function answer(): Promise<Answer> {
  const server = await PostgresServer.start();
  const redisServer = noRedis === undefined ? await RedisServer.start() : undefined;
  const rivals = [await postgres(server), await sqlite()];
  if (redisServer !== undefined) rivals.push(await redis(redisServer));
  const findings: Findings[] = [];
  for (const rival of rivals) {
    findings.push(await findingsOf(rival));
    await rival.close();
  }
  await server.stop();
  await redisServer?.stop();
  const rows = (of: keyof Findings['rows']) => findings.map((one) => one.rows[of]);
  const turnHeadings = marks.map(({ turn }) => `turn ${count(turn)}`);
  const tables: Table[] = [
    { headings: ['a save / the bare', 'bare', ...turnHeadings, 'µs, ours', 'µs, bare'], rows: rows('save') },
    { headings: [`${sessionsAtOnce} sessions at once, per s`, 'saves', 'bare', 'ours / bare'], rows: rows('many') },
    { headings: ['ms to resume 10,000 messages', 'load', 'bare read', 'ours / bare'], rows: rows('resume') },
    {
      headings: [`${writersInStorm} writers of one session`, 'turns', 'begun again', 'turns / s'],
      rows: rows('storm'),
    },
  ];
  return { tables, goals: findings.flatMap(({ goals }) => goals) };
}

/** The store of each database, beside the database. */
export const stores: Question = { name: 'stores', title: '7. A save and a resume, beside the bare database', answer };
