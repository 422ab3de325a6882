/** The keys of sessions and listings: no id and no tenant ever becomes one. */
import { createHash } from 'node:crypto';
import { escapedText } from '../../session/store-checks.js';

/** A session's keys, and what is told when it is released. */
export interface SessionKeys {
  readonly id: string;
  readonly keys: readonly [string, ...string[]];
  /** The first two of them. */
  readonly versionKeys: readonly [string, string];
  /** The first and the fifth of them. */
  readonly feedKeys: readonly [string, string];
  readonly token: string;
}

/** The tenant's JSON says where it ends, so what is hashed stands for one tenant and one id. */
export function sessionKeys(keyPrefix: string, tenant: string, sessionId: string): SessionKeys {
  const id = escapedText(sessionId);
  const token = hashOf(tenant + id);
  const key = `${keyPrefix}{${token}}`;
  const versionKeys = [key, `${key}:versions`] as const;
  const keys = [...versionKeys, `${key}:inputs`, `${key}:pending`] as const;
  return { id, keys, versionKeys, feedKeys: [key, `${key}:feed`], token };
}

/** With all five keys. */
export function withFeed(session: SessionKeys): SessionKeys {
  return { ...session, keys: [...session.keys, session.feedKeys[1]] };
}

/** What stands for a text in a key; in hexadecimal. */
export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A line of the listing: one life of a session, so that what was made again under the same id is another line. */
export function memberOf(born: string, { id }: SessionKeys): string {
  return `${born} ${id}`;
}
