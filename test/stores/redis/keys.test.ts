import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { RedisSessionStore } from '../../../src/stores/redis.js';
import {
  allIds,
  create,
  hold,
  holdShortly,
  mustLoad,
  newestRecord,
  patch,
  recordOf,
  refused,
  whole,
} from '../../../src/testing/session-store/case.js';
import { noRedis, RedisServer } from '../../support/redis-server.js';

const reason = noRedis === undefined ? '' : ` (skipped: ${noRedis})`;
const day = 24 * 60 * 60 * 1_000;
const input = { id: 'i', run: 'r', turn: 1, attempt: 1, done: false, input: 'x' };
const countTo = (value: number) => patch({ op: 'replace', path: '/count', value });

test('what is no client, a prefix with braces, and options that are none are refused', () => {
  const refusal = expect.objectContaining({ code: 'INVALID_VALUE' });
  for (const options of [undefined, null, 'redis://'])
    expect(() => new RedisSessionStore(options as never)).toThrow(refusal);
  for (const client of [undefined, null, {}, 'redis://', { sendCommand: 1 }])
    expect(() => new RedisSessionStore({ client } as never)).toThrow(refusal);
  for (const keyPrefix of ['{a}', 'a{', '}'])
    expect(() => new RedisSessionStore({ client: { call: async () => null }, keyPrefix })).toThrow(refusal);
});

describe.skipIf(noRedis !== undefined)(`in a Redis server${reason}`, () => {
  let server: RedisServer;
  let redis: Redis;
  let store: RedisSessionStore;
  /** Every command that the store has sent. */
  const sent: string[][] = [];
  /** Awaited before each command; what it throws, the command throws. */
  let before: (command: string[]) => void = () => {};
  const client = {
    async call(...command: string[]) {
      sent.push(command);
      before(command);
      const [name = '', ...args] = command;
      return redis.call(name, ...args);
    },
  };

  beforeAll(async () => {
    server = await RedisServer.start();
    // It connects again by itself, however long that takes.
    redis = new Redis(server.port, { maxRetriesPerRequest: null });
    redis.on('error', () => {});
    store = new RedisSessionStore({ client });
  });

  beforeEach(async () => {
    await redis.flushall();
    before = () => {};
  });

  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  async function countOf(work: () => Promise<unknown>): Promise<number> {
    const start = sent.length;
    await work();
    return sent.length - start;
  }

  /** The one session's keys, without the prefix and the hash. */
  async function sessionKeys(): Promise<string[]> {
    const keys = (await redis.keys('*')).filter((key) => !/:(listing|places)$/.test(key));
    return keys.map((key) => key.replace(/^genkitx-agent:\{[0-9a-f]{64}\}/, '')).sort();
  }

  describe('keys', () => {
    test('name no id and no tenant, and what they hold can be read', async () => {
      const tenant = store.forTenant('acme');
      const lease = await create(tenant, 'chat-1', { messages: [] });
      await tenant.save(lease, { expectedVersion: 1, change: patch({ op: 'add', path: '/messages/-', value: 'hi' }) });
      await tenant.accept(lease, input);
      expect(await sessionKeys()).toEqual(['', ':inputs', ':pending', ':versions']);
      const key = (await redis.keys('*}')).find((found) => found.endsWith('}')) ?? '';
      expect(await redis.hgetall(key)).toMatchObject({ id: 'chat-1', tenant: '["acme"]', owner: 'run-1' });
      expect(await redis.lrange(`${key}:versions`, 0, -1)).toEqual([
        expect.stringMatching(/^1 1 \d{13} \S+$/),
        '{"messages":[]}',
        expect.stringMatching(/^2 1 \d{13} \S+$/),
        '[{"op":"add","path":"/messages/-","value":"hi"}]',
      ]);
    });

    test('of a deleted session none is left, nor any of its listing', async () => {
      const lease = await create(store, 'session');
      await store.accept(lease, input);
      await store.delete('session');
      const left = await redis.keys('*');
      expect(left.every((key) => key.endsWith(':places'))).toBe(true);
    });

    test('of a lease that was never used none is left', async () => {
      const lease = await hold(store, 'session');
      await store.accept(lease, input);
      await store.release(lease);
      expect(await redis.keys('*')).toEqual([]);
    });

    test('are forgotten when a holder dies before it has saved, and not after', async () => {
      const lease = await holdShortly(store, 'session');
      await store.accept(lease, input);
      const lives = async () => Promise.all((await redis.keys('*')).map((key) => redis.pttl(key)));
      const before = await lives();
      expect(before).toHaveLength(3);
      for (const life of before) expect(life).toBeGreaterThan(day - 60_000);
      await store.save(lease, { expectedVersion: 0, change: whole({ count: 0 }) });
      await store.accept(lease, { ...input, id: 'j' });
      await store.save(lease, { expectedVersion: 1, change: countTo(1) });
      expect(new Set(await lives())).toEqual(new Set([-1]));
    });

    test('of versions that retention drops are shortened', async () => {
      const lease = await create(store, 'session');
      for (let head = 1; head < 20; head++) {
        const change = head % 5 === 0 ? whole({ count: head }) : countTo(head);
        await store.save(lease, { expectedVersion: head, change, keepVersions: 3 });
      }
      const [key = ''] = await redis.keys('*:versions');
      expect(await redis.llen(key)).toBe(2 * 5);
    });
  });

  describe('what an operation costs', () => {
    test('each is one round trip, whatever the history', async () => {
      const lease = await create(store, 'session');
      for (let head = 1; head < 300; head++) await store.save(lease, { expectedVersion: head, change: countTo(head) });
      // So that every script is known.
      await store.accept(lease, input);
      await store.renew(lease, 60_000);
      await mustLoad(store, 'session');
      await store.delete('nobody');
      await store.release(await hold(store, 'nobody'));
      const operations = {
        acquire: () => store.acquire('session', { owner: 'run-2', ttlMs: 1_000 }),
        renew: () => store.renew(lease, 60_000),
        save: () => store.save(lease, { expectedVersion: 300, change: countTo(300) }),
        'save and drop': () =>
          store.save(lease, { expectedVersion: 301, change: whole({ count: 1 }), keepVersions: 2 }),
        accept: () => store.accept(lease, input),
        load: () => store.load('session'),
        'load of an old version': () => store.load('session', { version: 301 }),
        release: () => store.release(lease),
        'a save with a lost lease': () =>
          refused(store.save(lease, { expectedVersion: 302, change: countTo(0) }), 'LEASE_LOST'),
      };
      for (const [name, work] of Object.entries(operations)) expect(await countOf(work), name).toBe(1);
    });

    test('a script is sent as a whole once, and again to a server that has lost it', async () => {
      const lease = await create(store, 'session');
      await store.save(lease, { expectedVersion: 1, change: countTo(1) });
      await redis.script('FLUSH');
      expect(await countOf(() => store.save(lease, { expectedVersion: 2, change: countTo(2) }))).toBe(2);
      expect(await countOf(() => store.save(lease, { expectedVersion: 3, change: countTo(3) }))).toBe(1);
      expect(await newestRecord(store, 'session')).toEqual({ count: 3 });
    });
  });

  describe('a creation that did not get to its end', () => {
    /** The first save writes the version, enters it into the listing, and marks it as entered; it dies before that step. */
    async function diesBefore(step: number): Promise<void> {
      const lease = await holdShortly(store, 'session');
      let steps = 0;
      before = ([name]) => {
        if (name === 'EVAL' || ++steps <= step) return;
        throw new Error('the connection is lost');
      };
      await refused(store.save(lease, { expectedVersion: 0, change: whole({ count: 0 }) }), 'STORE_FAILED');
      before = () => {};
    }

    test.each([1, 2])('is forgotten by itself, or completed by whoever opens it next (after step %i)', async (step) => {
      await diesBefore(step);
      for (const key of ['', ':versions']) {
        const [found = ''] = (await redis.keys(`*}${key}`)).filter((name) => name.endsWith(`}${key}`));
        expect(await redis.pttl(found)).toBeGreaterThan(0);
      }
      await store.release(
        (await store.acquire('session', { owner: 'run-2', ttlMs: 1_000, takeover: true })) ?? expect.fail(),
      );
      expect(await allIds(store)).toEqual(['session']);
      for (const key of await redis.keys('*')) expect(await redis.pttl(key)).toBe(-1);
      expect(await newestRecord(store, 'session')).toEqual({ count: 0 });
    });

    test.each([1, 2])('is completed by the next save of the same holder (after step %i)', async (step) => {
      await diesBefore(step);
      const again = await hold(store, 'session');
      await store.save(again, { expectedVersion: 1, change: countTo(1) });
      expect(await allIds(store)).toEqual(['session']);
      for (const key of await redis.keys('*')) expect(await redis.pttl(key)).toBe(-1);
    });
  });

  test('a line of the listing that stands for nothing is skipped and removed', async () => {
    await create(store, 'first');
    await create(store, 'gone');
    await create(store, 'last');
    // As after a deletion that died between its two steps.
    const keys = await redis.keys('*}');
    for (const key of keys) if ((await redis.hget(key, 'id')) === 'gone') await redis.del(key);
    expect((await store.list({ limit: 2 })).sessions.map(({ id }) => id)).toEqual(['first', 'last']);
    const [listing = ''] = await redis.keys('*:listing');
    expect(await redis.zcard(listing)).toBe(2);
  });

  describe('what cannot be read back', () => {
    async function spoiled(spoil: (key: string) => Promise<unknown>): Promise<void> {
      const lease = await create(store, 'session');
      for (let head = 1; head < 5; head++) await store.save(lease, { expectedVersion: head, change: countTo(head) });
      await store.accept(lease, input);
      const [key = ''] = await redis.keys('*:versions');
      await spoil(key.replace(/:versions$/, ''));
    }

    test('a version that is not JSON, and which', async () => {
      await spoiled((key) => redis.lset(`${key}:versions`, 5, '[{"op":"repl'));
      const error = await refused(store.load('session'), 'STORE_CORRUPT');
      expect(error).toMatchObject({ message: expect.stringContaining('version 3'), cause: expect.any(SyntaxError) });
      expect(recordOf(await mustLoad(store, 'session', 2))).toEqual({ count: 1 });
    });

    test('two versions that are JSON only together', async () => {
      await spoiled(async (key) => {
        await redis.lset(`${key}:versions`, 5, '[1');
        await redis.lset(`${key}:versions`, 7, '2]');
      });
      await refused(store.load('session'), 'STORE_CORRUPT');
    });

    test('versions that are missing', async () => {
      await spoiled((key) => redis.ltrim(`${key}:versions`, 2, -1));
      await refused(store.load('session'), 'STORE_CORRUPT');
    });

    test('all versions, as on a full server that throws keys away; the others are listed as ever', async () => {
      await spoiled((key) => redis.del(`${key}:versions`));
      await refused(store.load('session'), 'STORE_CORRUPT');
      const again = await hold(store, 'session');
      await refused(store.save(again, { expectedVersion: 5, change: countTo(5) }), 'SESSION_CONFLICT');
      expect(await redis.keys('*:versions')).toEqual([]);
      await create(store, 'other');
      expect(await allIds(store)).toEqual(['session', 'other']);
      expect(await store.delete('session')).toBe(true);
    });

    test('an input that is not JSON', async () => {
      await spoiled((key) => redis.hset(`${key}:inputs`, 'i', '1 0 {'));
      await refused(store.load('session'), 'STORE_CORRUPT');
    });

    test('a key that is something else', async () => {
      await spoiled(async (key) => {
        await redis.del(key);
        await redis.set(key, 'text');
      });
      expect((await refused(store.load('session'), 'STORE_FAILED')) as Error).toHaveProperty('cause');
    });
  });

  test('with its log flushed always, a server that is killed has every save, and none twice', async () => {
    const lease = await create(store, 'session');
    let recovery: Promise<void> | undefined;
    for (let head = 1; head <= 400; head++) {
      if (head % 50 === 25) {
        await recovery;
        recovery = server.crash();
      }
      // The client sends again what was not answered.
      await store.save(lease, { expectedVersion: head, change: countTo(head) });
    }
    await recovery;
    const stored = await mustLoad(store, 'session');
    expect(stored.head).toBe(401);
    expect(recordOf(stored)).toEqual({ count: 400 });
  });

  test('a save that is sent again after it was written is the same save', async () => {
    const lease = await create(store, 'session');
    const twice = new RedisSessionStore({
      client: {
        async call(command, ...args) {
          await redis.call(command, ...args);
          return redis.call(command, ...args);
        },
      },
    });
    await twice.save(lease, { expectedVersion: 1, change: countTo(1) });
    expect((await mustLoad(store, 'session')).head).toBe(2);
    await refused(twice.save(lease, { expectedVersion: 1, change: countTo(1) }), 'SESSION_CONFLICT');
    const other = await hold(twice, 'another');
    await twice.save(other, { expectedVersion: 0, change: whole({}) });
    expect(await allIds(twice)).toEqual(['session', 'another']);
  });
});
