/** The connection that is subscribed. */
import { Notices, type Subscribe, type Subscription } from '../../session/notices.js';
import { isIoRedis, type RedisClient } from './client.js';

type Listener = (...args: unknown[]) => void;

/** A second client, as either package makes it. */
interface Subscriber {
  on(event: string, listener: Listener): unknown;
  subscribe(channel: string, listener?: Listener): Promise<unknown>;
  connect?(): Promise<unknown>;
  disconnect?(): unknown;
  destroy?(): unknown;
}

/** One for each client and channel, whatever the number of stores and tenants on it. */
const known = new WeakMap<RedisClient, Map<string, Notices>>();

/** How things are told on this channel; `undefined` when the client cannot be duplicated. */
export function noticesOn(client: RedisClient, channel: string): Notices | undefined {
  if (typeof client.duplicate !== 'function') return undefined;
  const channels = known.get(client) ?? new Map<string, Notices>();
  known.set(client, channels);
  const notices = channels.get(channel) ?? new Notices(subscribe(client, channel));
  channels.set(channel, notices);
  return notices;
}

/**
 * Both packages connect again by themselves, but what is told meanwhile is lost: a connection that breaks is given up, and
 * whoever still waits opens another one.
 */
function subscribe(client: RedisClient, channel: string): Subscribe {
  return async (onTold, onEnd): Promise<Subscription> => {
    const subscriber = client.duplicate?.() as Subscriber;
    let isOver = false;
    const stop = () => {
      if (isOver) return;
      isOver = true;
      end(subscriber);
    };
    const broken = () => {
      if (isOver) return;
      stop();
      onEnd();
    };
    // `ioredis` tells `close`, and `redis` that it is about to connect again; an error may come alone or with it.
    for (const event of ['error', 'close', 'reconnecting', 'end']) subscriber.on(event, broken);
    try {
      if (isIoRedis(client)) {
        subscriber.on('message', (_channel, token) => onTold(String(token)));
        await subscriber.subscribe(channel);
      } else {
        await subscriber.connect?.();
        await subscriber.subscribe(channel, (token) => onTold(String(token)));
      }
    } catch (error) {
      stop();
      throw error;
    }
    return { stop };
  };
}

/** At once; what it still has to say is of no use. */
function end(subscriber: Subscriber): void {
  try {
    if (subscriber.destroy !== undefined) subscriber.destroy();
    else void subscriber.disconnect?.();
  } catch {
    // It was not open any more.
  }
}
