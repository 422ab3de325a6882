/** A port that nothing listens on now. */
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Asks the system for a port and gives it back; another process may take it before it is used. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('A server on a port has no port');
  return address.port;
}
