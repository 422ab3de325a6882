/**
 * How the draft of a list answers the methods that only read it. The engine's own would ask a proxy twice for every
 * item, each time by the item's index as a string; these do what they do, item by item, on the list as it is by then.
 */

/** A list as a recipe sees it. */
export interface ListView {
  readonly length: number;
  /** The item or its draft; `undefined` beyond the end. */
  at(index: number): unknown;
  has(key: string): boolean;
}

/** One that the engine has, whatever it takes. */
export type Method = (...given: never[]) => unknown;

/** What changes a list as a whole; drafts note it themselves. */
export type ListMethod = 'push' | 'pop' | 'shift' | 'unshift' | 'splice';

/** Whether a list is changed as a whole by the method of that name. */
export function isListMethod(key: string | symbol): key is ListMethod {
  return key === 'push' || key === 'pop' || key === 'shift' || key === 'unshift' || key === 'splice';
}

type Visit = (item: unknown, index: number) => unknown;
type Reader = (list: ListView, visit: Visit) => unknown;

/** The items, up to wherever the end is when it is reached. */
function* itemsOf(list: ListView): Generator<unknown, void, undefined> {
  for (let index = 0; index < list.length; index++) yield list.at(index);
}

/**
 * The method of that name for a list, or `undefined` where the engine's own does as well.
 *
 * @param native the engine's own, for arguments that are out of the ordinary
 * @param draft what callbacks get to see as the list
 */
export function readerOf(
  key: string | symbol,
  list: ListView,
  native: Method,
  draft: unknown,
): ((...given: unknown[]) => unknown) | undefined {
  if (key === Symbol.iterator || key === 'values') return () => itemsOf(list);
  if (key === 'slice') return (from, to) => slice(list, from, to);
  if (key === 'concat') return (...more) => slice(list, 0, undefined).concat(...more);
  const reader = typeof key === 'string' ? readers.get(key) : undefined;
  if (reader === undefined) return undefined;
  return (...given) => {
    const [call, self] = given;
    if (typeof call !== 'function') return Reflect.apply(native, draft, given);
    return reader(list, (item, index) => Reflect.apply(call, self, [item, index, draft]));
  };
}

const readers: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['forEach', forEach],
  ['every', (list, visit) => everyItem(list, visit)],
  ['some', (list, visit) => !everyItem(list, (item, index) => !visit(item, index))],
  ['map', map],
  ['filter', filter],
  ['find', (list, visit) => find(list, visit)?.item],
  ['findIndex', (list, visit) => find(list, visit)?.index ?? -1],
]);

function forEach(list: ListView, visit: Visit): void {
  everyItem(list, (item, index) => {
    visit(item, index);
    return true;
  });
}

function map(list: ListView, visit: Visit): unknown[] {
  const made: unknown[] = [];
  const { length } = list;
  everyItem(list, (item, index) => {
    made[index] = visit(item, index);
    return true;
  });
  made.length = length;
  return made;
}

function filter(list: ListView, visit: Visit): unknown[] {
  const kept: unknown[] = [];
  everyItem(list, (item, index) => {
    if (visit(item, index)) kept.push(item);
    return true;
  });
  return kept;
}

function find(list: ListView, visit: Visit): { readonly item: unknown; readonly index: number } | undefined {
  const { length } = list;
  for (let index = 0; index < length; index++) {
    const item = list.at(index);
    if (visit(item, index)) return { item, index };
  }
  return undefined;
}

function slice(list: ListView, from: unknown, to: unknown): unknown[] {
  const { length } = list;
  const start = placeOf(from, length);
  const count = Math.max((to === undefined ? length : placeOf(to, length)) - start, 0);
  const part: unknown[] = [];
  for (let offset = 0; offset < count; offset++) {
    const item = list.at(start + offset);
    if (isPresent(list, item, start + offset)) part[offset] = item;
  }
  part.length = count;
  return part;
}

/** Visits one item after another until a visit answers with nothing; what is added meanwhile is not visited. */
function everyItem(list: ListView, visit: Visit): boolean {
  const { length } = list;
  for (let index = 0; index < length; index++) {
    const item = list.at(index);
    if (isPresent(list, item, index) && !visit(item, index)) return false;
  }
  return true;
}

/** Not a hole, and not beyond an end that has come nearer. */
function isPresent(list: ListView, item: unknown, index: number): boolean {
  return item !== undefined || list.has(String(index));
}

/** An index as `slice` reads it: from the end when it is negative, and never outside the list. */
function placeOf(given: unknown, length: number): number {
  const place = Math.trunc(Number(given)) || 0;
  return place < 0 ? Math.max(length + place, 0) : Math.min(place, length);
}
