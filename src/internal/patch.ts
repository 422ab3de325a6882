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
 *   to a document of one's own with no copy at all
 */
export function applyPatch(document: unknown, patch: readonly PatchOperation[], own: OwnedContainers = new Set()): unknown {
  let root = document;
  for (const operation of patch) {
    const segments = parsePointer(operation.path);
    const last = segments.pop();
    if (last === undefined) {
      root = operation.op === 'remove' ? undefined : operation.value;
      continue;
    }
    root = owned(root, own, operation.path);
    let parent = root as Container;
    for (const segment of segments) {
      const child = owned(readChild(parent, segment), own, operation.path);
      writeChild(parent, segment, child);
      parent = child;
    }
    change(parent, last, operation);
  }
  return root;
}

/** `'all'` says the whole document is the caller's own. */
type OwnedContainers = { has(container: object): boolean; add(container: object): unknown } | 'all';

function owned(value: unknown, own: OwnedContainers, path: string): Container {
  if (typeof value !== 'object' || value === null) throw new TypeError(`Patch path ${JSON.stringify(path)} leads nowhere`);
  if (own === 'all' || own.has(value)) return value as Container;
  const copy: Container = Array.isArray(value) ? [...value] : { ...value };
  own.add(copy);
  return copy;
}

function change(parent: Container, key: string, operation: PatchOperation): void {
  if (!Array.isArray(parent)) {
    if (operation.op === 'remove') delete parent[key];
    else writeChild(parent, key, operation.value);
    return;
  }
  const index = key === '-' ? parent.length : arrayIndex(parent, key);
  if (operation.op === 'remove') parent.splice(index, 1);
  else if (operation.op === 'replace') parent[index] = operation.value;
  else if (index === parent.length) parent.push(operation.value);
  else parent.splice(index, 0, operation.value);
}

function arrayIndex(array: unknown[], key: string): number {
  const index = Number(key);
  if (!Number.isInteger(index) || index < 0 || index > array.length) throw new TypeError(`Patch index ${JSON.stringify(key)} is outside the array`);
  return index;
}

function readChild(parent: Container, key: string): unknown {
  if (Array.isArray(parent)) return parent[Number(key)];
  return Object.hasOwn(parent, key) ? parent[key] : undefined;
}

function writeChild(parent: Container, key: string, value: unknown): void {
  if (Array.isArray(parent)) parent[Number(key)] = value;
  // Assigning to `__proto__` would change the prototype instead of adding the key.
  else if (key === '__proto__') Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true });
  else parent[key] = value;
}

function parsePointer(pointer: string): string[] {
  if (pointer === '') return [];
  if (!pointer.includes('~')) return pointer.slice(1).split('/');
  return pointer
    .slice(1)
    .split('/')
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
}
