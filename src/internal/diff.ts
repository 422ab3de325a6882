/** What has changed between two JSON values, as a patch. */
import type { PatchOperation } from './patch.js';

/**
 * Checks what a change brings in, while {@link diff} walks it. A guard belongs to one place in the document; it is asked
 * only about what changed there, so checking costs what the change costs and not what the document costs.
 */
export interface ChangeGuard {
  /** The guard of a child, where children can be checked one by one; else this place is checked as a whole. */
  readonly children?: {
    /** Every member may be left out, whatever its guard makes of `undefined`. */
    readonly areOptional?: boolean;
    of(key: string | number): ChangeGuard | 'refused' | undefined;
    checkLength?(length: number, path: string): void;
  };
  /** The value to keep at this place: `value` itself or what it is turned into. Reports what is wrong by its own means. */
  accept(value: unknown, path: string): unknown;
}

/**
 * The operations that lead from one JSON value to another. Its cost follows the change: what both share by reference is
 * not looked into, so two states made by copying on write cost a pointer comparison for every untouched child.
 * Equal values give no operation, whether or not they are the same objects, and no guard is asked about them; a member
 * that is `undefined` is absent.
 */
export function diff(before: unknown, after: unknown, guard?: ChangeGuard, path = ''): PatchOperation[] {
  const patch: PatchOperation[] = [];
  compare(before, after, path, patch, guard);
  return patch;
}

function compare(before: unknown, after: unknown, path: string, patch: PatchOperation[], guard?: ChangeGuard): void {
  // Where a guard steps in, the children are compared one by one.
  if (before === after || (guard?.children === undefined && isSame(before, after))) return;
  const arrays = Array.isArray(before) && Array.isArray(after);
  const records = !arrays && isRecord(before) && isRecord(after);
  const stepIn = (arrays || records) && guard?.children !== undefined;
  const accepted = guard === undefined || stepIn ? after : guard.accept(after, path);
  const inner = stepIn ? guard : undefined;
  if (Array.isArray(before) && Array.isArray(accepted)) compareArrays(before, accepted, path, patch, inner);
  else if (isRecord(before) && isRecord(accepted)) compareRecords(before, accepted, path, patch, inner);
  else if (before !== accepted) patch.push({ op: 'replace', path, value: accepted });
}

function compareArrays(
  before: readonly unknown[],
  after: readonly unknown[],
  path: string,
  patch: PatchOperation[],
  guard?: ChangeGuard,
): void {
  const kept = (index: number) => {
    const child = asGuard(guard?.children?.of(index));
    return child === undefined ? after[index] : child.accept(after[index], `${path}/${index}`);
  };
  guard?.children?.checkLength?.(after.length, path);
  const start = sharedStart(before, after);
  const cut = missingRun(before, after, start);
  const added = cut > 0 ? 0 : missingRun(after, before, start);
  for (let count = 0; count < cut; count++) patch.push({ op: 'remove', path: `${path}/${start}` });
  for (let index = start; index < start + added; index++)
    patch.push({ op: 'add', path: `${path}/${index}`, value: kept(index) });
  const length = before.length - cut + added;
  if (cut + added === 0) {
    for (let index = start; index < Math.min(length, after.length); index++) {
      const [old, now] = [before[index], after[index]];
      if (!isSame(old, now)) compare(old, now, `${path}/${index}`, patch, asGuard(guard?.children?.of(index)));
    }
  }
  for (let index = length - 1; index >= after.length; index--) patch.push({ op: 'remove', path: `${path}/${index}` });
  for (let index = length; index < after.length; index++)
    patch.push({ op: 'add', path: `${path}/-`, value: kept(index) });
}

/** Are they equal? Without paths: most of what is compared is equal, and making a path for every place would cost the most. */
function isSame(before: unknown, after: unknown): boolean {
  if (before === after) return true;
  if (Array.isArray(before)) {
    if (!Array.isArray(after) || before.length !== after.length) return false;
    for (let index = 0; index < before.length; index++) if (!isSame(before[index], after[index])) return false;
    return true;
  }
  if (!isRecord(before) || !isRecord(after)) return false;
  const keys = Object.keys(before);
  const others = Object.keys(after);
  if (others.length !== keys.length && others.some((key) => has(after, key) && !has(before, key))) return false;
  return keys.every((key) => Object.hasOwn(after, key) && isSame(before[key], after[key]));
}

function sharedStart(before: readonly unknown[], after: readonly unknown[]): number {
  const end = Math.min(before.length, after.length);
  // Lists that end in one object are made of each other: what they share, they share by reference.
  const isByReference = isSharedObject(before.at(-1), after.at(-1));
  const isShared = (one: unknown, other: unknown) => Object.is(one, other) || (!isByReference && isSame(one, other));
  let index = 0;
  // `===` would read every object of both lists, to see that it is no number; `Object.is` compares the references first.
  while (index < end && isShared(before[index], after[index])) index++;
  return index;
}

/**
 * How many items of `long`, from `start` on, `short` lacks, so that all that follows them in `long` is shared; 0 when
 * that is not so. A list that was cut at the front, or that slides, has most of its items in another place: moving them
 * there is shorter than writing every place anew.
 */
function missingRun(long: readonly unknown[], short: readonly unknown[], start: number): number {
  if (start >= short.length) return 0;
  const found = placeAfter(start, long, short);
  const missing = found - start;
  if (found < 0 || short.length < long.length - missing) return 0;
  for (let index = found; index < long.length; index++) if (!isSame(long[index], short[index - missing])) return 0;
  return missing;
}

/**
 * Where `long` has, beyond `start`, what `short` has there. A list that was made of the other one has the same objects: only
 * in one that shares none with it, such as somebody's own, what is equal is looked for.
 */
function placeAfter(start: number, long: readonly unknown[], short: readonly unknown[]): number {
  const item = short[start];
  const found = long.indexOf(item, start + 1);
  const isOneOfTheOther =
    isSharedObject(long[start - 1], short[start - 1]) || isSharedObject(long.at(-1), short.at(-1));
  if (found >= 0 || isOneOfTheOther || typeof item !== 'object') return found;
  return long.findIndex((other, index) => index > start && isSame(other, item));
}

function isSharedObject(one: unknown, other: unknown): boolean {
  return one === other && typeof one === 'object' && one !== null;
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
    const child = steps?.areOptional ? undefined : asGuard(steps?.of(key));
    const kept = child?.accept(undefined, `${path}/${escapeSegment(key)}`);
    if (kept === undefined) patch.push({ op: 'remove', path: `${path}/${escapeSegment(key)}` });
    else compare(before[key], kept, `${path}/${escapeSegment(key)}`, patch);
  }
  for (const key of Object.keys(after)) {
    if (!has(after, key) || (after[key] === before[key] && Object.hasOwn(before, key))) continue;
    const child = steps?.of(key);
    const childPath = `${path}/${escapeSegment(key)}`;
    if (has(before, key)) {
      compare(before[key], after[key], childPath, patch, asGuard(child));
    } else if (child !== 'refused') {
      const value = child === undefined ? after[key] : child.accept(after[key], childPath);
      if (value !== undefined) patch.push({ op: 'add', path: childPath, value });
    }
  }
}

function asGuard(guard: ChangeGuard | 'refused' | undefined): ChangeGuard | undefined {
  return guard === 'refused' ? undefined : guard;
}

function has(record: Record<string, unknown>, key: string): boolean {
  return Object.hasOwn(record, key) && record[key] !== undefined;
}

/** A plain object. A Date or a Map has no members to compare: it replaces what was there, and is refused for what it is. */
function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

function escapeSegment(key: string): string {
  return key.includes('~') || key.includes('/') ? key.replaceAll('~', '~0').replaceAll('/', '~1') : key;
}
