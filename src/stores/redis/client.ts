/** The Redis clients a store can work with, and how a script is run on one. */
import { createHash } from 'node:crypto';
import { AgentFlowError, InvalidValueError } from '../../errors.js';

/** The part of a client of `ioredis` that is used here; a `Redis` and a `Cluster` fit as they are. */
export interface IoRedisClient {
  /** Does it speak to a cluster, and know where each key is? */
  readonly isCluster?: boolean;
  /** Runs any command. */
  call(command: string, ...args: string[]): Promise<unknown>;
  /** Makes a second client, for a connection that listens. */
  duplicate?(): unknown;
}

/** The part of a client of the package `redis` that is used here; what `createClient` makes fits once it is connected. */
export interface NodeRedisClient {
  /** Runs any command. */
  sendCommand(args: string[]): Promise<unknown>;
  /** Makes a second client, for a connection that listens. */
  duplicate?(): unknown;
}

/** A client of one of the two. */
export type RedisClient = IoRedisClient | NodeRedisClient;

/** A script, and the hash it is called by. */
export interface Script {
  readonly source: string;
  readonly sha1: string;
}

/** A script that is called by its hash. */
export function script(source: string): Script {
  return { source, sha1: createHash('sha1').update(source).digest('hex') };
}

/** Runs scripts and commands. Throws `STORE_FAILED`, with the client's error as cause. */
export class RedisConnection {
  /** What the client says; one that says nothing may still reach a cluster. */
  readonly isCluster: boolean;
  readonly #send: (command: string, ...args: string[]) => Promise<unknown>;

  /** Throws `INVALID_VALUE` for a client that cannot send. */
  constructor(client: RedisClient) {
    this.#send = senderOf(client);
    this.isCluster = isIoRedis(client) && client.isCluster === true;
  }

  /** What a script answers for these keys. It is sent as a whole only to a server that does not know it yet. */
  async run({ source, sha1 }: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return await this.#send('EVALSHA', sha1, ...rest);
    } catch (error) {
      if (!isUnknownScript(error)) throw failed(error);
    }
    return this.command('EVAL', source, ...rest);
  }

  /** What a command answers. */
  async command(command: string, ...args: readonly string[]): Promise<unknown> {
    try {
      return await this.#send(command, ...args);
    } catch (error) {
      throw failed(error);
    }
  }
}

/**
 * Is it what {@link RedisConnection} throws when the server itself has refused a command, for this reason if one is given?
 * Such a reply begins with its reason in capitals, and no other error does.
 */
export function isRefusal(error: unknown, reason = '[A-Z]+'): boolean {
  const { cause } = error as { cause?: unknown };
  return cause instanceof Error && new RegExp(`^${reason} `).test(cause.message);
}

/** Is it a client of `ioredis`? Its `sendCommand` is something else than that of `redis`. */
export function isIoRedis(client: RedisClient): client is IoRedisClient {
  return 'call' in client && typeof client.call === 'function';
}

function senderOf(client: RedisClient): (command: string, ...args: string[]) => Promise<unknown> {
  const given: unknown = client;
  if (typeof given === 'object' && given !== null) {
    if (isIoRedis(client)) return (command, ...args) => client.call(command, ...args);
    if (typeof client.sendCommand === 'function') return (...args) => client.sendCommand(args);
  }
  throw new InvalidValueError('option', [
    { path: 'client', expected: 'a client of ioredis or redis', received: typeof given },
  ]);
}

function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}

function failed(cause: unknown): AgentFlowError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new AgentFlowError('STORE_FAILED', `Redis failed: ${reason}`, { cause });
}
