/** Lists and records of a JSON document. */
export type Container = Record<string, unknown> | unknown[];

/** Deeper than any value that is kept: what lies below is refused as it is, so nobody has to walk there. */
export const deepestWalk = 1_000;

/** A list or a plain object. */
export function isContainer(value: unknown): value is Container {
  if (typeof value !== 'object' || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}

/** With the same children. */
export function shallowCopy(container: Container): Container {
  return Array.isArray(container) ? [...container] : { ...container };
}

/** Also under `__proto__`, where assigning would change the prototype instead. */
export function write(container: Container, key: string | number, value: unknown): void {
  if (key !== '__proto__') Reflect.set(container, key, value);
  else Object.defineProperty(container, key, { value, enumerable: true, configurable: true, writable: true });
}

/** Keys and children; a list's holes count as children that are `undefined`. */
export function entriesOf(container: Container): Iterable<[string | number, unknown]> {
  return Array.isArray(container) ? container.entries() : Object.entries(container);
}

/** A record with no more than these keys. */
export function pick(container: Container, keys: Iterable<string>): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const key of keys) if (Object.hasOwn(container, key)) write(picked, key, Reflect.get(container, key));
  return picked;
}

/** The index a key stands for, or -1. */
export function indexOf(key: string): number {
  const index = Number(key);
  return Number.isInteger(index) && index >= 0 && String(index) === key ? index : -1;
}

/** The key as a segment of a JSON pointer. */
export function escapeSegment(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
