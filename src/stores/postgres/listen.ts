/** The connection that listens. */
import { Notices, type Subscribe, type Subscription } from '../../session/notices.js';
import { inTurn, type PostgresClient, type PostgresPool, type PostgresSource } from './client.js';
import { channel } from './phrases.js';

/** What a connection of `pg` tells. */
interface TellingClient extends PostgresClient {
  on(event: string, listener: Listener): unknown;
  off(event: string, listener: Listener): unknown;
}

type Listener = (event?: { readonly payload?: string }) => void;

/** One for each client, whatever the number of stores and tenants on it. */
const known = new WeakMap<PostgresClient, Notices>();

/** How things are told on this client; `undefined` when it cannot listen. */
export function noticesOf(source: PostgresSource): Notices | undefined {
  const client = 'pool' in source ? source.pool : source.client;
  const open = 'pool' in source ? inPool(source.pool) : onClient(source.client);
  if (open === undefined) return undefined;
  const notices = known.get(client) ?? new Notices(open);
  known.set(client, notices);
  return notices;
}

/** The only connection of a pool must not be the one that listens: those who release need one too. */
function inPool(pool: PostgresPool): Subscribe | undefined {
  if (typeof pool.connect !== 'function' || (pool.options?.max ?? 2) < 2) return undefined;
  return async (onTold, onEnd) => {
    const client = await pool.connect();
    if (canTell(client)) return listen(client, onTold, onEnd, (isBroken) => client.release(isBroken));
    client.release();
    throw new TypeError('The connections of this pool have no events');
  };
}

function onClient(client: PostgresClient): Subscribe | undefined {
  // A pool that is passed off as a client has events too, but not those of its connections.
  if (!canTell(client) || 'totalCount' in client) return undefined;
  return (onTold, onEnd) => listen(client, onTold, onEnd, () => {});
}

function canTell(client: PostgresClient): client is TellingClient {
  return 'on' in client && typeof client.on === 'function' && 'off' in client && typeof client.off === 'function';
}

async function listen(
  client: TellingClient,
  onTold: (token: string | undefined) => void,
  onEnd: () => void,
  giveBack: (isBroken: boolean) => void,
): Promise<Subscription> {
  const told: Listener = (event) => onTold(event?.payload ?? '');
  let isOver = false;
  const leave = (isBroken: boolean) => {
    if (isOver) return;
    isOver = true;
    client.off('notification', told);
    client.off('end', broken);
    giveBack(isBroken);
    // What a broken connection still reports must find a listener.
    if (!isBroken) client.off('error', broken);
  };
  const broken: Listener = () => {
    leave(true);
    onEnd();
  };
  client.on('notification', told);
  client.on('error', broken);
  client.on('end', broken);
  try {
    await inTurn(client, () => client.query(`LISTEN ${channel}`));
  } catch (error) {
    leave(true);
    throw error;
  }
  const stop = () => {
    if (isOver) return;
    inTurn(client, () => client.query(`UNLISTEN ${channel}`)).then(
      () => leave(false),
      () => leave(true),
    );
  };
  return { stop };
}
