/** Ports that nothing listens on. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/**
 * Below all that systems hand out by themselves: no connection and no server that takes any port is given one of these
 * before it is used, nor while a server on it is started again. So is the port of a Redis cluster, which is 10,000 higher.
 */
const range = [12_000, 22_000] as const;
const mostTries = 100;

/** A port that nothing listens on; another test may find the same one before it is used, which is rare. */
export async function freePort(): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const server = createServer().listen(randomInt(...range), '127.0.0.1');
    try {
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      server.close();
      await once(server, 'close');
      return port;
    } catch (error) {
      if (attempt === mostTries) throw error;
    }
  }
}

/** A port that refuses connections: nobody listens on it, and the system gives it to nobody. */
export const refusingPort = 2;
