/** Names that say what is behind them: the same description has the same name, another one another. */
import { createHash } from 'node:crypto';

const digestLength = 8;

/**
 * The name with a digest of the description: who finds the name has found the thing, and it never has to be changed.
 *
 * @param content JSON; the order of members is of no matter
 */
export function contentName(name: string, content: unknown): string {
  const digest = createHash('sha256').update(canonical(content)).digest('hex');
  return `${name}_${digest.slice(0, digestLength)}`;
}

/** Does the name begin with this one, and end with a digest? */
export function isContentName(name: string, base: string): boolean {
  return name.startsWith(`${base}_`) && /^[0-9a-f]{8}$/.test(name.slice(base.length + 1));
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
