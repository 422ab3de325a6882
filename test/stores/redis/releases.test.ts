import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { RedisSessionStore } from '../../../src/stores/redis.js';
import { create, eventually } from '../../../src/testing/session-store/case.js';
import { noRedis, RedisServer } from '../../support/redis-server.js';
import { released, testReleases } from '../../support/release-cases.js';

let server: RedisServer;
let admin: Redis;
let prefixes = 0;

const reason = noRedis === undefined ? '' : ` (skipped: ${noRedis})`;

describe.skipIf(noRedis !== undefined)(`releases${reason}`, () => {
  beforeAll(async () => {
    server = await RedisServer.start('--appendonly', 'no');
    admin = new Redis(server.port);
  });

  afterAll(async () => {
    admin.disconnect();
    await server.stop();
  });

  function ioredis(): Redis {
    const client = new Redis(server.port);
    onTestFinished(() => client.disconnect());
    return client;
  }

  async function nodeRedis() {
    const client = createClient({ url: server.url });
    await client.connect();
    onTestFinished(() => client.destroy());
    return client;
  }

  /** How many sessions are awaited. */
  async function awaited(keyPrefix: string): Promise<number> {
    const keys = (await admin.keys(`${keyPrefix}{*}`)).filter((key) => key.endsWith('}'));
    return (await Promise.all(keys.map((key) => admin.hget(key, 'awaited')))).filter((mark) => mark !== null).length;
  }

  async function subscribers(): Promise<number> {
    const lines = String(await admin.call('CLIENT', 'LIST', 'TYPE', 'PUBSUB')).split('\n');
    return lines.filter((line) => line !== '').length;
  }

  for (const [name, open] of Object.entries({ ioredis, redis: nodeRedis })) {
    describe(`a client of ${name}`, () => {
      testReleases(async () => {
        const keyPrefix = `case-${++prefixes}:`;
        return {
          open: async () => new RedisSessionStore({ client: await open(), keyPrefix }),
          awaited: () => awaited(keyPrefix),
        };
      });

      test('one connection is subscribed for all, and closed when nobody waits', async () => {
        // Those of the cases before linger.
        await eventually(async () => ((await subscribers()) === 0 ? true : undefined));
        const client = await open();
        const keyPrefix = `case-${++prefixes}:`;
        const stores = [
          new RedisSessionStore({ client, keyPrefix }),
          new RedisSessionStore({ client, keyPrefix }).forTenant('a'),
        ];
        const leases = await Promise.all(stores.map((store) => create(store, 'session')));
        const waits = stores.flatMap((store) => [released(store), released(store)]);
        await eventually(async () => ((await awaited(keyPrefix)) === 2 ? true : undefined));
        expect(await subscribers()).toBe(1);
        for (const [index, store] of stores.entries()) await store.release(leases[index] ?? expect.fail());
        await Promise.all(waits);
        await eventually(async () => ((await subscribers()) === 0 ? true : undefined));
      });

      test('a subscription that breaks wakes everybody, and the next wait has another', async () => {
        const keyPrefix = `case-${++prefixes}:`;
        const store = new RedisSessionStore({ client: await open(), keyPrefix });
        const lease = await create(store, 'session');
        const wait = released(store);
        await eventually(async () => ((await awaited(keyPrefix)) === 1 ? true : undefined));
        await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
        await wait;
        const next = released(store);
        await store.release(lease);
        await next;
        await eventually(async () => ((await subscribers()) === 0 ? true : undefined));
      });
    });
  }

  test('a client that cannot be duplicated is not told', () => {
    const store = new RedisSessionStore({ client: { call: (command, ...args) => admin.call(command, ...args) } });
    expect(store.whenReleased).toBeUndefined();
    expect(store.forTenant('a').whenReleased).toBeUndefined();
  });
});
