import { Cluster, Redis } from 'ioredis';
import { createClient } from 'redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { SessionLease, SessionStore } from '../../../src/session/store.js';
import { type RedisClient, RedisSessionStore } from '../../../src/stores/redis.js';
import {
  allIds,
  create,
  hold,
  mustLoad,
  newestRecord,
  patch,
  refused,
  whole,
} from '../../../src/testing/session-store/case.js';
import { noRedis, RedisServer } from '../../support/redis-server.js';

const reason = noRedis === undefined ? '' : ` (skipped: ${noRedis})`;
const countTo = (value: unknown) => patch({ op: 'replace', path: '/count', value });

/** How the server is reached; a case may put something in its way. */
type Way = (...command: string[]) => Promise<unknown>;

describe.skipIf(noRedis !== undefined)(`saves at once${reason}`, () => {
  let server: RedisServer;
  let redis: Redis;
  let store: RedisSessionStore;
  let way: Way;
  /** Every command that the store has sent. */
  let sent: string[][] = [];

  const straight: Way = (name = '', ...args) => redis.call(name, ...args);
  const client: RedisClient = {
    call(...command: string[]) {
      sent.push(command);
      return way(...command);
    },
  };

  beforeAll(async () => {
    server = await RedisServer.start('--appendonly', 'no');
    redis = new Redis(server.port);
  });

  beforeEach(async () => {
    await redis.flushall();
    way = straight;
    store = new RedisSessionStore({ client });
    // So that the script is known.
    await save(await create(store, 'before'), 1);
    sent = [];
  });

  afterEach(() => void vi.useRealTimers());

  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  async function save(lease: SessionLease, head: number, value: unknown = head): Promise<void> {
    await store.save(lease, { expectedVersion: head, change: countTo(value) });
  }

  /** Sessions with a first version, and nothing counted as sent. */
  async function sessions(count: number, of: SessionStore = store): Promise<SessionLease[]> {
    const leases = await Promise.all(Array.from({ length: count }, (_, index) => create(of, `session ${index}`)));
    sent = [];
    return leases;
  }

  const records = (leases: readonly SessionLease[]) =>
    Promise.all(leases.map(({ sessionId }) => newestRecord(store, sessionId)));

  const heads = (leases: readonly SessionLease[]) =>
    Promise.all(leases.map(async ({ sessionId }) => (await mustLoad(store, sessionId)).head));

  async function keyOf(sessionId: string): Promise<string> {
    for (const key of await redis.keys('*}')) if ((await redis.hget(key, 'id')) === sessionId) return key;
    return expect.fail(`no key of ${sessionId}`);
  }

  test('of many sessions share a round trip, and each is written', async () => {
    const leases = await sessions(20);
    await Promise.all(leases.map((lease, index) => save(lease, 1, index)));
    expect(sent).toHaveLength(1);
    expect(await records(leases)).toEqual(leases.map((_, index) => ({ count: index })));
  });

  test('go on sharing it, turn after turn, and lose none', async () => {
    const leases = await sessions(20);
    await Promise.all(
      leases.map(async (lease) => {
        for (let head = 1; head <= 10; head++) await save(lease, head);
      }),
    );
    expect(sent).toHaveLength(10);
    expect(await heads(leases)).toEqual(leases.map(() => 11));
    expect(await records(leases)).toEqual(leases.map(() => ({ count: 10 })));
  });

  test('travel in several scripts when they are very many, or large', async () => {
    const leases = await sessions(60);
    await Promise.all(leases.map((lease) => save(lease, 1)));
    expect(sent).toHaveLength(3);
    sent = [];
    await Promise.all(leases.slice(0, 6).map((lease) => save(lease, 2, 'x'.repeat(100_000))));
    expect(sent).toHaveLength(3);
    expect(await heads(leases)).toEqual(leases.map((_, index) => (index < 6 ? 3 : 2)));
  });

  test('are judged one by one', async () => {
    const leases = await sessions(7);
    const [good, stale, behind, ahead, gone, broken, last] = leases as [SessionLease, ...SessionLease[]];
    if (!stale || !behind || !ahead || !gone || !broken || !last) return expect.fail();
    await hold(store, stale.sessionId);
    await save(behind, 1, 'first');
    await store.delete(gone.sessionId);
    const key = await keyOf(broken.sessionId);
    const [, , conflict, gap] = await Promise.all([
      save(good, 1),
      refused(save(stale, 1), 'LEASE_LOST'),
      refused(save(behind, 1), 'SESSION_CONFLICT'),
      refused(save(ahead, 5), 'SESSION_CONFLICT'),
      refused(save(gone, 1), 'LEASE_LOST'),
      save(broken, 1),
      save(last, 1),
    ]);
    expect(conflict).toMatchObject({ expectedVersion: 1, actualVersion: 2 });
    expect(gap).toMatchObject({ expectedVersion: 5, actualVersion: 1 });
    expect(await heads([good, stale, behind, ahead, broken, last])).toEqual([2, 1, 2, 1, 2, 2]);
    // What the script fails for stops it in the middle: those before it are written, and still saved once only.
    await redis.set(key, 'no session');
    await Promise.all([save(good, 2), refused(save(broken, 2), 'STORE_FAILED'), save(last, 2)]);
    expect(await heads([good, last])).toEqual([3, 3]);
  });

  test('that are sent again are the same saves', async () => {
    const leases = await sessions(5);
    way = async (...command) => {
      await straight(...command);
      return straight(...command);
    };
    await Promise.all(leases.map((lease) => save(lease, 1)));
    way = straight;
    expect(sent).toHaveLength(1);
    expect(await heads(leases)).toEqual([2, 2, 2, 2, 2]);
    // The same values under another name are another save.
    for (const lease of leases) await refused(save(lease, 1), 'SESSION_CONFLICT');
  });

  test('that are sent again are the same saves, even when another run has the sessions by then', async () => {
    const [lease = expect.fail(), other = expect.fail()] = await sessions(2);
    way = async (...command) => {
      way = straight;
      await straight(...command);
      const taken = [lease, other].map(({ sessionId }) =>
        store.acquire(sessionId, { owner: 'run-2', ttlMs: 60_000, takeover: true }),
      );
      await Promise.all(taken);
      return straight(...command);
    };
    await Promise.all([save(lease, 1), save(other, 1)]);
    expect(await heads([lease, other])).toEqual([2, 2]);
    await Promise.all([lease, other].map((lost) => refused(save(lost, 2), 'LEASE_LOST')));
  });

  test('and first versions, too', async () => {
    const lease = await hold(store, 'new');
    way = async (...command) => {
      way = straight;
      await straight(...command);
      await store.acquire('new', { owner: 'run-2', ttlMs: 60_000, takeover: true });
      return straight(...command);
    };
    await store.save(lease, { expectedVersion: 0, change: whole({ count: 0 }) });
    expect(await heads([lease])).toEqual([1]);
    expect(await allIds(store)).toContain('new');
  });

  test('that never got an answer all fail, and nothing is asked again', async () => {
    const leases = await sessions(3);
    way = async () => {
      throw new Error('Connection is closed.');
    };
    await Promise.all(leases.map((lease) => refused(save(lease, 1), 'STORE_FAILED')));
    expect(sent).toHaveLength(1);
  });

  test('of one session in the same turn keep their order', async () => {
    const [lease = expect.fail(), other = expect.fail()] = await sessions(2);
    await Promise.all([save(lease, 1), save(other, 1), save(lease, 2), save(lease, 3)]);
    expect(sent).toHaveLength(3);
    expect(await heads([lease, other])).toEqual([4, 2]);
    // Even where the first has to be sent again.
    way = async (...command) => {
      if (command[2] === '4') throw new Error('ERR not together');
      return straight(...command);
    };
    await Promise.all([save(lease, 4), save(other, 2), save(lease, 5)]);
    way = straight;
    expect(await heads([lease, other])).toEqual([6, 3]);
  });

  test('come after the first version, even when only that has to be sent again', async () => {
    const lease = await hold(store, 'new');
    const [other = expect.fail()] = await sessions(1);
    await redis.script('FLUSH');
    await save(other, 1);
    await Promise.all([store.save(lease, { expectedVersion: 0, change: whole({ count: 0 }) }), save(lease, 1)]);
    expect(await heads([lease])).toEqual([2]);
  });

  test('are written by a server that forgets its scripts all the time', async () => {
    const leases = await sessions(20);
    for (let head = 1; head <= 10; head++) {
      const saving = Promise.all(leases.map((lease) => save(lease, head)));
      await redis.script('FLUSH');
      await saving;
    }
    expect(await heads(leases)).toEqual(leases.map(() => 11));
  });

  test('through something that hands many keys to the wrong server are asked for one by one', async () => {
    const leases = await sessions(3);
    way = async (...command) => (command[2] === '6' ? leases.map(() => ['lost']) : straight(...command));
    await Promise.all(leases.map((lease) => save(lease, 1)));
    expect(sent).toHaveLength(4);
    expect(await heads(leases)).toEqual([2, 2, 2]);
  });

  test('drop what each wants dropped', async () => {
    const [all = expect.fail(), few = expect.fail()] = await sessions(2);
    for (let head = 1; head <= 12; head++) {
      const change = head % 4 === 0 ? whole({ count: head }) : countTo(head);
      await Promise.all([
        store.save(all, { expectedVersion: head, change }),
        store.save(few, { expectedVersion: head, change, keepVersions: 2 }),
      ]);
    }
    expect((await mustLoad(store, all.sessionId, 1)).checkpoint).toEqual({ count: 0 });
    const counts = [all, few].map(async ({ sessionId }) => redis.llen(`${await keyOf(sessionId)}:versions`));
    expect(await Promise.all(counts)).toEqual([2 * 13, 2 * 5]);
    expect(await records([all, few])).toEqual([{ count: 12 }, { count: 12 }]);
  });

  test('list what was created but never listed', async () => {
    const leases = await Promise.all(['a', 'b'].map((id) => hold(store, id)));
    // Dies after the first version was written, before it is in the listing.
    let steps = 0;
    way = async (...command) => {
      if (command[0] === 'EVALSHA' && ++steps > leases.length) throw new Error('Connection is closed.');
      return straight(...command);
    };
    const first = { expectedVersion: 0, change: whole({ count: 0 }) };
    await Promise.all(leases.map((lease) => refused(store.save(lease, first), 'STORE_FAILED')));
    way = straight;
    expect(await allIds(store)).toEqual(['before']);
    await Promise.all(leases.map((lease) => save(lease, 1)));
    expect((await allIds(store)).sort()).toEqual(['a', 'b', 'before']);
    for (const key of await redis.keys('*')) expect(await redis.pttl(key)).toBe(-1);
  });

  test('are dated by the clock of the server', async () => {
    const [lease = expect.fail(), other = expect.fail()] = await sessions(2);
    const serverTime = async () => {
      const [seconds = 0, micros = 0] = (await redis.time()).map(Number);
      return new Date(seconds * 1_000 + Math.floor(micros / 1_000)).toISOString();
    };
    vi.useFakeTimers({ toFake: ['Date'], now: 0 });
    const { createdAt } = await mustLoad(store, lease.sessionId);
    const before = await serverTime();
    await Promise.all([save(lease, 1), save(other, 1)]);
    const after = await serverTime();
    for (const { sessionId } of [lease, other]) {
      const { updatedAt } = await mustLoad(store, sessionId);
      expect(updatedAt >= before && updatedAt <= after, `${before} <= ${updatedAt} <= ${after}`).toBe(true);
    }
    expect((await mustLoad(store, lease.sessionId)).createdAt).toBe(createdAt);
    const { sessions: lines } = await store.list();
    const line = lines.find(({ id }) => id === lease.sessionId);
    expect(line).toMatchObject({
      version: 2,
      createdAt,
      updatedAt: (await mustLoad(store, lease.sessionId)).updatedAt,
    });
  });

  test('to a server that is killed again and again are there, and none twice', async () => {
    const durable = await RedisServer.start();
    // It connects again by itself, however long that takes, and sends again what was not answered.
    const direct = new Redis(durable.port, { maxRetriesPerRequest: null });
    direct.on('error', () => {});
    onTestFinished(async () => {
      direct.disconnect();
      await durable.stop();
    });
    way = (name = '', ...args) => direct.call(name, ...args);
    const leases = await sessions(10);
    let recovery: Promise<void> | undefined;
    for (let head = 1; head <= 60; head++) {
      if (head % 15 === 8) {
        await recovery;
        recovery = durable.crash();
      }
      await Promise.all(leases.map((lease) => save(lease, head)));
    }
    await recovery;
    expect(await heads(leases)).toEqual(leases.map(() => 61));
    expect(await records(leases)).toEqual(leases.map(() => ({ count: 60 })));
  });

  test('share a round trip with a client of redis, too', async () => {
    const node = createClient({ url: server.url });
    await node.connect();
    onTestFinished(() => node.destroy());
    let commands = 0;
    const sendCommand = (args: string[]) => {
      commands += 1;
      return node.sendCommand(args);
    };
    const beside = new RedisSessionStore({ client: { sendCommand } });
    const leases = await sessions(20);
    await Promise.all(leases.map((lease) => beside.save(lease, { expectedVersion: 1, change: countTo(1) })));
    expect(commands).toBe(1);
    expect(await heads(leases)).toEqual(leases.map(() => 2));
  });

  test('go alone from the start with a client that knows the cluster, and puts what it sends in order itself', async () => {
    const server = await RedisServer.startCluster();
    const cluster = new Cluster([{ host: '127.0.0.1', port: server.port }], { enableAutoPipelining: true });
    onTestFinished(async () => {
      cluster.disconnect();
      await server.stop();
    });
    const beside = new RedisSessionStore({ client: cluster });
    const leases = await sessions(5, beside);
    await Promise.all(leases.map((lease) => beside.save(lease, { expectedVersion: 1, change: countTo(1) })));
    for (const { sessionId } of leases) expect(await newestRecord(beside, sessionId)).toEqual({ count: 1 });
  });

  test('go alone in a cluster, once it has said that it is one', async () => {
    const cluster = await RedisServer.startCluster();
    const direct = new Redis(cluster.port);
    onTestFinished(async () => {
      direct.disconnect();
      await cluster.stop();
    });
    way = (name = '', ...args) => direct.call(name, ...args);
    const [warm = expect.fail(), ...leases] = await sessions(5);
    await save(warm, 1);
    const turn = async (head: number) => {
      sent = [];
      await Promise.all(leases.map((lease) => save(lease, head)));
      return sent.length;
    };
    expect(await turn(1)).toBe(5);
    expect(await turn(2)).toBe(4);
    expect(await heads(leases)).toEqual([3, 3, 3, 3]);
  });
});
