/** Who waits for the release of a session, and the connection that is told of it. */
import { Deferred } from '../../internal/deferred.js';
import type { PostgresClient, PostgresPool, PostgresSource } from './client.js';
import { releaseChannel } from './statements.js';

/** What a connection of `pg` tells. */
interface TellingClient extends PostgresClient {
  on(event: string, listener: Listener): unknown;
  off(event: string, listener: Listener): unknown;
}

type Listener = (event?: { readonly payload?: string }) => void;

/** A connection that listens, until `stop`. */
interface Ear {
  stop(): void;
}

/** One for each client, whatever the number of stores and tenants on it, so that only one connection listens. */
const known = new WeakMap<PostgresClient, Releases>();

/** How releases are told on this client; `undefined` when it cannot listen. */
export function releasesOf(source: PostgresSource): Releases | undefined {
  const client = 'pool' in source ? source.pool : source.client;
  const open = 'pool' in source ? poolEar(source.pool) : clientEar(source.client);
  if (open === undefined) return undefined;
  const releases = known.get(client) ?? new Releases(open);
  known.set(client, releases);
  return releases;
}

type OpenEar = (onRelease: (token: string) => void, onEnd: () => void) => Promise<Ear>;

/** Those who wait, by the session's token. */
export class Releases {
  readonly #open: OpenEar;
  readonly #waiting = new Map<string, Set<Deferred<void>>>();
  #ear: Promise<Ear> | undefined;

  constructor(open: OpenEar) {
    this.#open = open;
  }

  /**
   * Resolves when a session was released or was free at the start, or when the connection that listens is gone. Rejects
   * with the signal's reason, and when nothing can listen.
   *
   * @param token what is told when this session is released
   * @param isHeld marks the session as awaited; called once somebody listens
   */
  async next(token: string, signal: AbortSignal, isHeld: () => Promise<boolean>): Promise<void> {
    signal.throwIfAborted();
    const released = new Deferred<void>();
    const stop = () => released.reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    this.#add(token, released);
    try {
      await Promise.race([this.#listen(), released.promise]);
      if (await isHeld()) await released.promise;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#remove(token, released);
    }
  }

  #add(token: string, released: Deferred<void>): void {
    const all = this.#waiting.get(token) ?? new Set();
    this.#waiting.set(token, all.add(released));
  }

  #remove(token: string, released: Deferred<void>): void {
    const all = this.#waiting.get(token);
    all?.delete(released);
    if (all?.size === 0) this.#waiting.delete(token);
    if (this.#waiting.size > 0) return;
    const ear = this.#ear;
    this.#ear = undefined;
    // One that could not be opened leaves nothing to stop, and its error is with those who waited.
    ear?.then(
      (open) => open.stop(),
      () => {},
    );
  }

  async #listen(): Promise<void> {
    if (this.#ear === undefined) {
      const forget = () => {
        if (this.#ear === ear) this.#ear = undefined;
      };
      const ear = this.#open(
        (token) => this.#wake(token),
        () => {
          forget();
          for (const each of this.#waiting.keys()) this.#wake(each);
        },
      );
      ear.catch(forget);
      this.#ear = ear;
    }
    await this.#ear;
  }

  #wake(token: string): void {
    for (const released of this.#waiting.get(token) ?? []) released.resolve();
  }
}

/** A pool's last connection must not be the one that listens: those who would release need one too. */
function poolEar(pool: PostgresPool): OpenEar | undefined {
  if (typeof pool.connect !== 'function' || (pool.options?.max ?? 2) < 2) return undefined;
  return async (onRelease, onEnd) => {
    const client = await pool.connect();
    if (!canTell(client)) {
      client.release();
      throw new TypeError('A connection of this pool has no events');
    }
    return listenOn(client, onRelease, onEnd, (isBroken) => client.release(isBroken));
  };
}

function clientEar(client: PostgresClient): OpenEar | undefined {
  // A pool that is passed off as a client has events too, but not of its connections.
  if (!canTell(client) || 'totalCount' in client) return undefined;
  return (onRelease, onEnd) => listenOn(client, onRelease, onEnd, () => {});
}

function canTell(client: PostgresClient): client is TellingClient {
  return 'on' in client && typeof client.on === 'function' && 'off' in client && typeof client.off === 'function';
}

async function listenOn(
  client: TellingClient,
  onRelease: (token: string) => void,
  onEnd: () => void,
  giveBack: (isBroken: boolean) => void,
): Promise<Ear> {
  const told: Listener = (event) => onRelease(event?.payload ?? '');
  let isOver = false;
  const leave = (isBroken: boolean) => {
    if (isOver) return;
    isOver = true;
    client.off('notification', told);
    client.off('end', ended);
    giveBack(isBroken);
    // What a broken connection still reports must find a listener.
    if (!isBroken) client.off('error', ended);
  };
  const ended: Listener = () => {
    leave(true);
    onEnd();
  };
  client.on('notification', told);
  client.on('error', ended);
  client.on('end', ended);
  try {
    await client.query(`LISTEN ${releaseChannel}`);
  } catch (error) {
    leave(true);
    throw error;
  }
  return {
    stop() {
      if (isOver) return;
      client.query(`UNLISTEN ${releaseChannel}`).then(
        () => leave(false),
        () => leave(true),
      );
    },
  };
}
