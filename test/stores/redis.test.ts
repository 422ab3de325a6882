import { Cluster, Redis } from 'ioredis';
import { createClient } from 'redis';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type RedisClient, RedisSessionStore } from '../../src/stores/redis.js';
import { testSessionStore } from '../../src/testing/session-store-suite.js';
import { noRedis, RedisServer } from '../support/redis-server.js';

let prefixes = 0;

/** Every case has keys of its own. */
const freshPrefix = () => `case-${++prefixes}:`;

interface OpenClient {
  readonly client: RedisClient;
  close(): Promise<unknown> | unknown;
}

/** Runs the whole suite with one client, and another one for what is opened again. */
function suite(
  name: string,
  startServer: () => Promise<RedisServer>,
  open: (server: RedisServer) => Promise<OpenClient>,
) {
  describe.skipIf(noRedis !== undefined)(`${name}${noRedis === undefined ? '' : ` (skipped: ${noRedis})`}`, () => {
    let server: RedisServer;
    let first: OpenClient;
    let second: OpenClient;
    beforeAll(async () => {
      server = await startServer();
      first = await open(server);
      second = await open(server);
    });
    afterAll(async () => {
      await first.close();
      await second.close();
      await server.stop();
    });
    testSessionStore({
      test,
      feed: true,
      create() {
        const keyPrefix = freshPrefix();
        const store = new RedisSessionStore({ client: first.client, keyPrefix });
        const besides = async () => new RedisSessionStore({ client: second.client, keyPrefix });
        return { store, reopen: besides, another: besides };
      },
    });
  });
}

async function ioredis({ port }: RedisServer): Promise<OpenClient> {
  const client = new Redis(port);
  return { client, close: () => client.disconnect() };
}

async function cluster({ port }: RedisServer): Promise<OpenClient> {
  const client = new Cluster([{ host: '127.0.0.1', port }]);
  return { client, close: () => client.disconnect() };
}

async function nodeRedis({ url }: RedisServer): Promise<OpenClient> {
  const client = createClient({ url });
  await client.connect();
  return { client, close: () => client.destroy() };
}

suite('a client of ioredis', () => RedisServer.start(), ioredis);
suite('a client of redis', () => RedisServer.start('--appendonly', 'no'), nodeRedis);
suite('a cluster, with a client of ioredis', () => RedisServer.startCluster(), cluster);
