import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { SessionLease } from '../../../src/session/store.js';
import { RedisSessionStore } from '../../../src/stores/redis.js';
import {
  create,
  eventually,
  hold,
  holdShortly,
  letShortLeasesExpire,
  refused,
} from '../../../src/testing/session-store/case.js';
import { noRedis, RedisServer } from '../../support/redis-server.js';
import { stateOf } from '../../support/waiting.js';

const reason = noRedis === undefined ? '' : ` (skipped: ${noRedis})`;
const { signal: never } = new AbortController();

describe.skipIf(noRedis !== undefined)(`feeds in a Redis server${reason}`, () => {
  let server: RedisServer;
  let redis: Redis;
  let store: RedisSessionStore;
  /** How many commands the store has sent. */
  let sent = 0;

  beforeAll(async () => {
    server = await RedisServer.start('--appendonly', 'no');
    redis = new Redis(server.port);
    const call = (command: string, ...args: string[]) => {
      sent += 1;
      return redis.call(command, ...args);
    };
    store = new RedisSessionStore({ client: { call, duplicate: () => redis.duplicate() } });
  });

  beforeEach(() => redis.flushall());

  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  async function say(lease: SessionLease, start: number, entries: unknown[], ttlMs = 60_000, keep = 9): Promise<void> {
    await store.feed.append(lease, { start, entries, keep, ttlMs });
  }

  async function countOf(work: () => Promise<unknown>): Promise<number> {
    const before = sent;
    await work();
    return sent - before;
  }

  const feedKeys = () => redis.keys('*:feed');

  test('every operation is one round trip, and an entry is one of a list', async () => {
    const lease = await create(store, 'session');
    // So that every script is known.
    await say(lease, 0, ['a']);
    await store.feed.read('session', { from: 0, limit: 1 });
    await store.feed.requestAbort('nobody', 'run-1', 'x');
    const operations = {
      append: () => say(lease, 1, ['b', 'c']),
      'append of what is there': () => say(lease, 0, ['a', 'b']),
      read: () => store.feed.read('session', { from: 1, limit: 2 }),
      requestAbort: () => store.feed.requestAbort('session', 'run-1', 'x'),
      'append with a lost lease': () => refused(say({ ...lease, fence: 1 }, 3, ['d']), 'LEASE_LOST'),
    };
    for (const [name, work] of Object.entries(operations)) expect(await countOf(work), name).toBe(1);
    const [key = ''] = await feedKeys();
    expect(await redis.lrange(key, 0, -1)).toEqual(['"a"', '"b"', '"c"']);
    await say(
      lease,
      3,
      Array.from({ length: 15 }, (_, index) => index),
    );
    expect(await redis.llen(key)).toBe(9);
  });

  test('more entries than a command can take are taken all the same', async () => {
    const lease = await create(store, 'session');
    const entries = Array.from({ length: 20_000 }, (_, index) => index);
    await say(lease, 0, entries, 60_000, entries.length);
    expect((await store.feed.read('session', { from: 0, limit: entries.length }))?.entries).toEqual(entries);
  });

  test('a feed expires with its time or its lease, whichever is later, and a deleted one is gone', async () => {
    // Far from one another and from what the test takes, so that it may be slow.
    const [ofFeed, ofLease] = [600_000, 6_000_000];
    const lease = await holdShortly(store, 'session');
    await say(lease, 0, ['a'], ofFeed);
    const [key = ''] = await feedKeys();
    const life = () => redis.pttl(key);
    const expectOfFeed = async () => {
      expect(await life()).toBeGreaterThan(0);
      expect(await life()).toBeLessThanOrEqual(ofFeed);
    };
    await expectOfFeed();
    await store.renew(lease, ofLease);
    expect(await life()).toBeGreaterThan(ofLease / 2);
    await store.save(lease, { expectedVersion: 0, change: { kind: 'checkpoint', record: {} } });
    expect(await life()).toBeGreaterThan(ofLease / 2);
    await store.release(lease);
    await expectOfFeed();
    await say(await hold(store, 'session'), 1, ['b']);
    await store.delete('session');
    expect(await feedKeys()).toEqual([]);
  });

  test('what has expired does not come back when the same run holds its session again', async () => {
    const lease = await create(store, 'session');
    await say(lease, 0, ['a'], 50);
    await store.release(lease);
    await letShortLeasesExpire({ store });
    const again = await hold(store, 'session');
    expect((await store.feed.read('session', { from: 0, limit: 9 }))?.entries).toEqual([]);
    await say(again, 1, ['b']);
    expect(await store.feed.read('session', { from: 0, limit: 9 })).toMatchObject({ first: 1, entries: ['b'] });
  });

  test('entries that a full server has thrown away are not read as something else', async () => {
    const lease = await create(store, 'session');
    await say(lease, 0, ['a', 'b']);
    await redis.del(...(await feedKeys()));
    expect(await store.feed.read('session', { from: 0, limit: 9 })).toMatchObject({ end: 0, entries: [] });
    await say(lease, 2, ['c']);
    expect(await store.feed.read('session', { from: 0, limit: 9 })).toMatchObject({ first: 2, entries: ['c'] });
  });

  test('nothing is told while nobody watches', async () => {
    const listener = redis.duplicate();
    onTestFinished(() => listener.disconnect());
    const heard: string[] = [];
    listener.on('message', (_channel, message) => heard.push(message));
    await listener.subscribe('genkitx-agent:released');
    const lease = await create(store, 'session');
    await say(lease, 0, ['a']);
    const wait = store.feed.whenGrown('session', 'run-1', 1, never);
    const key = (await redis.keys('*}')).find((one) => one.endsWith('}')) ?? '';
    await eventually(async () => ((await redis.hexists(key, 'watched')) === 1 ? true : undefined));
    expect(await stateOf(wait)).toBe('pending');
    await say(lease, 1, ['b']);
    await wait;
    for (let start = 2; start < 9; start++) await say(lease, start, ['c']);
    await store.release(lease);
    await redis.publish('genkitx-agent:released', 'last');
    await eventually(async () => (heard.includes('last') ? true : undefined));
    expect(heard.map((message) => message.replace(/^[0-9a-f]{64}/, ''))).toEqual([' grown', 'last']);
  });

  test('a subscription that breaks wakes who watches, and makes a run deaf', async () => {
    const lease = await create(store, 'session');
    const wait = store.feed.whenGrown('session', 'run-1', 0, never);
    const deaf = new Promise<unknown>((resolve, reject) => {
      store.feed.listenForAbort(lease, { onAbortRequested: reject, onDeaf: resolve });
    });
    const key = (await redis.keys('*}')).find((one) => one.endsWith('}')) ?? '';
    await eventually(async () => ((await redis.hexists(key, 'watched')) === 1 ? true : undefined));
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await wait;
    expect(await deaf).toMatchObject({ code: 'STORE_FAILED' });
  });

  test('a client that cannot be duplicated asks for what others have said', async () => {
    const asking = new RedisSessionStore({ client: { call: (command, ...args) => redis.call(command, ...args) } });
    const lease = await create(asking, 'session');
    const wait = asking.feed.whenGrown('session', 'run-1', 0, never);
    const asked = new Promise((resolve, reject) => {
      asking.feed.listenForAbort(lease, { onAbortRequested: resolve, onDeaf: reject });
    });
    await say(lease, 0, ['a']);
    await wait;
    await store.feed.requestAbort('session', 'run-1', 'enough');
    expect(await asked).toBe('enough');
  });
});
