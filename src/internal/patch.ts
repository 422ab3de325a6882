/** One step of a change to a JSON document, as RFC 6902 writes it; `-` as the last path segment appends to an array. */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

type Container = Record<string, unknown> | unknown[];

/**
 * The document after the operations. Nothing that was there before is written to: the containers on each changed path
 * are copied once, everything else is shared with the old document. Throws a `TypeError` for a path that is not there.
 *
 * @param own containers that may be written to because this caller made them; pass the same set to apply many patches
 *   to a document of one's own with no copy at all. `'all'`: the document and the values of the patch are the caller's
 */
export function applyPatch(
  document: unknown,
  patch: readonly PatchOperation[],
  own: OwnedContainers = new Set(),
): unknown {
  let root = document;
  /** Where the operation before this one appended: a list that grows is looked up once. */
  let end: { readonly path: string; readonly list: unknown[] } | undefined;
  for (let at = 0; at < patch.length; at += 1) {
    const operation = patch[at] as PatchOperation;
    const { op, path } = operation;
    if (end !== undefined && op === 'add' && path === end.path) {
      end.list.push(operation.value);
      continue;
    }
    end = undefined;
    const segments = parsePointer(path);
    const last = segments.at(-1);
    if (last === undefined) {
      root = op === 'remove' ? undefined : operation.value;
      continue;
    }
    root = owned(root, own, path, undefined);
    let parent = root as Container;
    for (let depth = 0; depth < segments.length - 1; depth++) {
      const segment = segments[depth] ?? '';
      const child = owned(readChild(parent, segment), own, path, parent);
      writeChild(parent, segment, child);
      parent = child;
    }
    if (op === 'remove' && Array.isArray(parent)) {
      const count = timesFrom(at, patch);
      removeItems(parent, last, count, path);
      at += count - 1;
      continue;
    }
    change(parent, last, operation);
    if (op === 'add' && last === '-' && Array.isArray(parent)) end = { path, list: parent };
  }
  return root;
}

/** `'all'` says the whole document is the caller's own. */
type OwnedContainers =
  | {
      /** Asked every time before something in the container is changed. */
      has(container: object): boolean;
      /** A copy takes the place of a container, in `holder` or as the document. */
      add(copy: object, holder: object | undefined): unknown;
    }
  | 'all';

function owned(value: unknown, own: OwnedContainers, path: string, holder: object | undefined): Container {
  if (typeof value !== 'object' || value === null) throw leadsNowhere(path);
  if (own === 'all' || own.has(value)) return value as Container;
  const copy: Container = Array.isArray(value) ? copyWithRoom(value) : { ...value };
  own.add(copy, holder);
  return copy;
}

const room = new Array(16).fill(undefined);

/** Most lists are copied in order to append to them; without room the first append would copy a long one once more. */
function copyWithRoom(list: readonly unknown[]): unknown[] {
  const copy = list.concat(room);
  copy.length = list.length;
  return copy;
}

/** How often the removal is repeated: one that takes thousands off a list would move the rest of it as often. */
function timesFrom(at: number, patch: readonly PatchOperation[]): number {
  let next = at + 1;
  while (next < patch.length && patch[next]?.op === 'remove' && patch[next]?.path === patch[at]?.path) next += 1;
  return next - at;
}

function removeItems(list: unknown[], key: string, count: number, path: string): void {
  const index = arrayIndex(key);
  if (index === undefined || index + count > list.length) throw leadsNowhere(path);
  list.splice(index, count);
}

function change(parent: Container, key: string, operation: PatchOperation): void {
  const { op, path } = operation;
  if (!Array.isArray(parent)) {
    if (op !== 'add' && !Object.hasOwn(parent, key)) throw leadsNowhere(path);
    if (op === 'remove') delete parent[key];
    else writeChild(parent, key, operation.value);
    return;
  }
  if (op === 'add' && key === '-') {
    parent.push(operation.value);
    return;
  }
  const index = arrayIndex(key);
  if (index === undefined || index >= parent.length + (op === 'add' ? 1 : 0)) throw leadsNowhere(path);
  if (op === 'add') parent.splice(index, 0, operation.value);
  else if (op === 'replace') parent[index] = operation.value;
}

/** Digits without a leading zero, as RFC 6901 has it: `Number` alone would take '', '01' and '1e3' too. */
function arrayIndex(key: string): number | undefined {
  return /^(0|[1-9][0-9]*)$/.test(key) ? Number(key) : undefined;
}

function readChild(parent: Container, key: string): unknown {
  if (!Array.isArray(parent)) return Object.hasOwn(parent, key) ? parent[key] : undefined;
  const index = arrayIndex(key);
  return index === undefined ? undefined : parent[index];
}

function writeChild(parent: Container, key: string, value: unknown): void {
  if (Array.isArray(parent)) parent[Number(key)] = value;
  // Assigning to `__proto__` would change the prototype instead of adding the key.
  else if (key === '__proto__')
    Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true });
  else parent[key] = value;
}

/** The pointer parsed last: thousands of patches in a row append to one list. */
let parsed: { readonly pointer: string; readonly segments: readonly string[] } = { pointer: '/', segments: [''] };

function parsePointer(pointer: string): readonly string[] {
  if (pointer === '') return [];
  if (pointer === parsed.pointer) return parsed.segments;
  if (!pointer.startsWith('/')) throw leadsNowhere(pointer);
  const segments = pointer.slice(1).split('/');
  const isEscaped = pointer.includes('~');
  parsed = { pointer, segments: isEscaped ? segments.map(unescapeSegment) : segments };
  return parsed.segments;
}

function unescapeSegment(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~');
}

function leadsNowhere(path: string): TypeError {
  return new TypeError(`Patch path ${JSON.stringify(path)} leads nowhere`);
}
