/** Where and why a value is not JSON. */
export interface NotJson {
  readonly path: string;
  readonly received: string;
}

/** Far beyond any honest one, and well within what the stack can walk. */
const deepest = 1_000;

/**
 * A deep copy of a JSON value that is frozen and shares nothing with the caller's. Members whose value is `undefined`
 * are left out, as JSON does. Parts for which `keep` answers true are shared instead of copied.
 *
 * @param onProblem told about every part that JSON cannot carry (a Date, a Map, a function, NaN, a cycle, more than a
 *   thousand levels); what it is told about is left out
 * @param above how many levels there are around the value, where it is to stand; they count, too
 */
export function frozenJson(
  value: unknown,
  onProblem: (problem: NotJson) => void,
  keep: (part: object) => boolean = () => false,
  above = 0,
): unknown {
  const open = new Set<object>();
  const copy = (part: unknown, path: string): unknown => {
    if (part === null || typeof part === 'string' || typeof part === 'boolean') return part;
    // JSON writes -0 as 0, and what is seen before a save should be what is read after it.
    if (typeof part === 'number' && Number.isFinite(part)) return part === 0 ? 0 : part;
    if (typeof part !== 'object') return void onProblem({ path, received: describe(part) });
    if (keep(part)) return part;
    if (open.has(part)) return void onProblem({ path, received: 'a cycle' });
    if (above + open.size >= deepest) return void onProblem({ path, received: `more than ${deepest} levels` });
    if (!Array.isArray(part) && !isPlain(part)) return void onProblem({ path, received: describe(part) });
    open.add(part);
    const result = Array.isArray(part) ? copyArray(part, path) : copyRecord(part as Record<string, unknown>, path);
    open.delete(part);
    return Object.freeze(result);
  };
  const copyArray = (part: readonly unknown[], path: string) =>
    Array.from(part, (item, index) => copy(item, join(path, String(index))));
  const copyRecord = (part: Record<string, unknown>, path: string) => {
    const result: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(part)) {
      if (item === undefined) continue;
      const child = copy(item, join(path, key));
      if (child === undefined) continue;
      if (key === '__proto__') Object.defineProperty(result, key, { value: child, enumerable: true });
      else result[key] = child;
    }
    return result;
  };
  return copy(value, '');
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

function describe(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'object' || value === null) return typeof value;
  return `an instance of ${value.constructor?.name || 'an unnamed class'}`;
}
