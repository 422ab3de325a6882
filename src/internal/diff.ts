import type { PatchOperation } from './patch.js';

/**
 * Checks what a change brings in, while {@link diff} walks it. A guard belongs to one place in the document; it is asked
 * only about what changed there, so checking costs what the change costs and not what the document costs.
 */
export interface ChangeGuard {
  /** The guard of a child, where children can be checked one by one; else this place is checked as a whole. */
  readonly children?: { of(key: string | number): ChangeGuard | 'refused' | undefined; checkLength?(length: number, path: string): void };
  /** The value to keep at this place: `value` itself or what it is turned into. Reports what is wrong by its own means. */
  accept(value: unknown, path: string): unknown;
}

/**
 * The operations that lead from one JSON value to another. Its cost follows the change: what both share by reference is
 * not looked into, so two states made by copying on write cost a pointer comparison for every untouched child.
 * Equal values give no operation, whether or not they are the same objects; a member that is `undefined` is absent.
 */
export function diff(before: unknown, after: unknown, guard?: ChangeGuard, path = ''): PatchOperation[] {
  const patch: PatchOperation[] = [];
  compare(before, after, path, patch, guard);
  return patch;
}

function compare(before: unknown, after: unknown, path: string, patch: PatchOperation[], guard?: ChangeGuard): void {
  if (before === after) return;
  const arrays = Array.isArray(before) && Array.isArray(after);
  const records = !arrays && isRecord(before) && isRecord(after);
  const stepIn = (arrays || records) && guard?.children !== undefined;
  const accepted = guard === undefined || stepIn ? after : guard.accept(after, path);
  const inner = stepIn ? guard : undefined;
  if (Array.isArray(before) && Array.isArray(accepted)) compareArrays(before, accepted, path, patch, inner);
  else if (isRecord(before) && isRecord(accepted)) compareRecords(before, accepted, path, patch, inner);
  else if (before !== accepted) patch.push({ op: 'replace', path, value: accepted });
}

function compareArrays(before: readonly unknown[], after: readonly unknown[], path: string, patch: PatchOperation[], guard?: ChangeGuard): void {
  const childGuard = (index: number) => asGuard(guard?.children?.of(index));
  guard?.children?.checkLength?.(after.length, path);
  const removed = before.length - after.length;
  const start = removed > 0 ? sharedStart(before, after) : 0;
  if (removed > 0 && isTailShared(before, after, start)) {
    for (let count = 0; count < removed; count++) patch.push({ op: 'remove', path: `${path}/${start}` });
    return;
  }
  const common = Math.min(before.length, after.length);
  for (let index = 0; index < common; index++) {
    const old = before[index];
    const now = after[index];
    if (old !== now) compare(old, now, `${path}/${index}`, patch, childGuard(index));
  }
  for (let index = before.length - 1; index >= common; index--) patch.push({ op: 'remove', path: `${path}/${index}` });
  for (let index = common; index < after.length; index++) {
    const child = childGuard(index);
    const value = after[index];
    patch.push({ op: 'add', path: `${path}/-`, value: child === undefined ? value : child.accept(value, `${path}/${index}`) });
  }
}

function sharedStart(before: readonly unknown[], after: readonly unknown[]): number {
  let index = 0;
  while (index < after.length && before[index] === after[index]) index++;
  return index;
}

/** A cut at the front or in the middle leaves the tail shared: removing is then shorter than rewriting the tail. */
function isTailShared(before: readonly unknown[], after: readonly unknown[], start: number): boolean {
  const removed = before.length - after.length;
  for (let index = start; index < after.length; index++) if (after[index] !== before[index + removed]) return false;
  return true;
}

function compareRecords(
  before: Record<string, unknown>,
  after: Record<string, unknown>,
  path: string,
  patch: PatchOperation[],
  guard?: ChangeGuard,
): void {
  const steps = guard?.children;
  for (const key of Object.keys(before)) {
    if (before[key] === undefined || has(after, key)) continue;
    const child = asGuard(steps?.of(key));
    const kept = child?.accept(undefined, `${path}/${escapeSegment(key)}`);
    if (kept === undefined) patch.push({ op: 'remove', path: `${path}/${escapeSegment(key)}` });
    else compare(before[key], kept, `${path}/${escapeSegment(key)}`, patch);
  }
  for (const key of Object.keys(after)) {
    if (!has(after, key)) continue;
    const child = steps?.of(key);
    const childPath = `${path}/${escapeSegment(key)}`;
    if (has(before, key)) compare(before[key], after[key], childPath, patch, asGuard(child));
    else if (child !== 'refused') patch.push({ op: 'add', path: childPath, value: child === undefined ? after[key] : child.accept(after[key], childPath) });
  }
}

function asGuard(guard: ChangeGuard | 'refused' | undefined): ChangeGuard | undefined {
  return guard === 'refused' ? undefined : guard;
}

function has(record: Record<string, unknown>, key: string): boolean {
  return Object.hasOwn(record, key) && record[key] !== undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function escapeSegment(key: string): string {
  return key.includes('~') || key.includes('/') ? key.replaceAll('~', '~0').replaceAll('/', '~1') : key;
}
