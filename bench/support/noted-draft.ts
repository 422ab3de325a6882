/**
 * PROPOSAL for `src/session/draft.ts`, measured in `bench/drafts.ts`: a draft that notes what a recipe does to it. Immer
 * and Mutative copy a list as soon as one message is appended to it; this one answers the operations without ever
 * touching the list, so a turn of a long conversation costs what a turn of a short one does.
 */
import { type ChangeGuard, diff } from '../../src/internal/diff.js';
import type { PatchOperation } from '../../src/internal/patch.js';

type Container = Record<string, unknown> | unknown[];

/** Ends with its recipe. */
interface Scope {
  isOver: boolean;
}

/**
 * Runs the recipe on a draft of a JSON container and answers the operations that lead to what it made, or to what it
 * returned. `before` is never written to.
 */
export function changesBy(
  before: object,
  recipe: (draft: never) => unknown,
  guard: ChangeGuard | undefined,
  path: string,
): PatchOperation[] {
  const scope: Scope = { isOver: false };
  try {
    const root = new Node(before as Container, scope);
    const returned = recipe(root.draft as never);
    if (returned === undefined || returned === root.draft) return root.changes(guard, path);
    return diff(before, resolved(returned), guard, path);
  } finally {
    scope.isOver = true;
  }
}

/** What a recipe has looked at and done in one container of the state. */
class Node {
  readonly draft: object;
  readonly #base: Container;
  readonly #scope: Scope;
  readonly #parent: Node | undefined;
  /** Drafts of children, under the children themselves. */
  #children: Map<object, { readonly key: string; readonly node: Node }> | undefined;
  #isTouched = false;
  /** What was appended to a list that is otherwise as it was. */
  #added: unknown[] = [];
  /** The container as it is now, from the first change on that is more than an append. */
  #copy: Container | undefined;
  #writtenKeys = new Set<string>();
  /** What the recipe has put in: its own objects, which need no draft. */
  #fresh = new Set<unknown>();

  constructor(base: Container, scope: Scope, parent?: Node) {
    this.#base = base;
    this.#scope = scope;
    this.#parent = parent;
    this.draft = new Proxy(Array.isArray(base) ? [] : {}, this.#traps());
    nodes.set(this.draft, this);
  }

  /** The operations, below `path`, that lead from the container to what has become of it. */
  changes(guard: ChangeGuard | undefined, path: string): PatchOperation[] {
    if (!this.#isTouched) return [];
    const isCheckedAsWhole = guard !== undefined && guard.children === undefined;
    const isRebuilt = Array.isArray(this.#base) && this.#copy !== undefined;
    if (isCheckedAsWhole || isRebuilt) return diff(this.#base, this.plain(), guard, path);
    return [...this.#ownChanges(guard, path), ...this.#changesOfChildren(guard, path)];
  }

  /** The container as it is now, without drafts in it. */
  plain(): Container {
    if (!this.#isTouched) return this.#base;
    const now = shallowCopy(this.#copy ?? this.#base);
    if (Array.isArray(now)) now.push(...this.#added);
    for (const [key, value] of Object.entries(now)) if (this.#fresh.has(value)) write(now, key, resolved(value));
    for (const [child, { key, node }] of this.#children ?? []) {
      const place = this.#keyOf(child, key);
      if (place !== undefined && node.#isTouched) write(now, place, node.plain());
    }
    return now;
  }

  #ownChanges(guard: ChangeGuard | undefined, path: string): PatchOperation[] {
    const base = this.#base;
    if (!Array.isArray(base)) {
      const keys = [...this.#writtenKeys];
      return diff(pick(base, keys), resolved(pick(this.#copy ?? base, keys)), guard, path);
    }
    if (this.#added.length > 0) guard?.children?.checkLength?.(this.#length, path);
    return this.#added.map((added, offset) => {
      const index = base.length + offset;
      const child = guard?.children?.of(index);
      const value = resolved(added);
      const isChecked = child !== undefined && child !== 'refused';
      return { op: 'add', path: `${path}/-`, value: isChecked ? child.accept(value, `${path}/${index}`) : value };
    });
  }

  #changesOfChildren(guard: ChangeGuard | undefined, path: string): PatchOperation[] {
    const changes: PatchOperation[] = [];
    for (const [child, { key, node }] of this.#children ?? []) {
      if (!node.#isTouched || this.#keyOf(child, key) === undefined) continue;
      const childGuard = guard?.children?.of(Array.isArray(this.#base) ? Number(key) : key);
      changes.push(...node.changes(childGuard === 'refused' ? undefined : childGuard, `${path}/${escapeSegment(key)}`));
    }
    return changes;
  }

  /** Where a child stands now; lists that are rebuilt move theirs. */
  #keyOf(child: object, key: string): string | undefined {
    const now = this.#copy ?? this.#base;
    if (Reflect.get(now, key) === child) return key;
    const index = Array.isArray(now) ? now.indexOf(child) : -1;
    return index < 0 ? undefined : String(index);
  }

  get #length(): number {
    return (this.#copy ?? this.#base).length as number + this.#added.length;
  }

  #touch(): void {
    for (let node: Node | undefined = this; node !== undefined && !node.#isTouched; node = node.#parent)
      node.#isTouched = true;
  }

  #rebuild(): Container {
    if (this.#copy === undefined) {
      this.#copy = shallowCopy(this.#base);
      if (Array.isArray(this.#copy)) this.#copy.push(...this.#added.splice(0));
    }
    return this.#copy;
  }

  #read(key: string): unknown {
    const now = this.#copy ?? this.#base;
    if (!Array.isArray(now) || this.#added.length === 0) return Reflect.get(now, key);
    if (key === 'length') return this.#length;
    const index = indexOf(key);
    return index >= now.length ? this.#added[index - now.length] : Reflect.get(now, key);
  }

  #has(key: string): boolean {
    return this.#added.length > 0 && indexOf(key) >= 0
      ? indexOf(key) < this.#length
      : Object.hasOwn(this.#copy ?? this.#base, key);
  }

  #draftOf(key: string, value: unknown): unknown {
    if (!isContainer(value) || this.#fresh.has(value) || !this.#has(key)) return value;
    this.#children ??= new Map();
    let child = this.#children.get(value);
    if (child === undefined) {
      child = { key, node: new Node(value, this.#scope, this) };
      this.#children.set(value, child);
    }
    return child.node.draft;
  }

  #write(key: string, value: unknown): void {
    const isAppended = Array.isArray(this.#base) && this.#copy === undefined && key === String(this.#length);
    const isSame = this.#has(key) && this.#draftOf(key, this.#read(key)) === value;
    if (isSame || (Array.isArray(this.#base) && key === 'length' && value === this.#length)) return;
    if (isContainer(value)) this.#fresh.add(value);
    if (isAppended) {
      this.#added.push(value);
    } else {
      write(this.#rebuild(), key, value);
      this.#writtenKeys.add(key);
    }
    this.#touch();
  }

  #delete(key: string): void {
    if (!this.#has(key)) return;
    Reflect.deleteProperty(this.#rebuild(), key);
    this.#writtenKeys.add(key);
    this.#touch();
  }

  #traps(): ProxyHandler<object> {
    const open = () => {
      if (this.#scope.isOver) throw new TypeError('A draft is of no use after its recipe has returned');
    };
    return {
      get: (_, key) => {
        open();
        if (typeof key === 'symbol') return Reflect.get(this.#base, key);
        return this.#draftOf(key, this.#read(key));
      },
      set: (_, key, value) => {
        open();
        if (typeof key === 'symbol') return false;
        this.#write(key, value);
        return true;
      },
      deleteProperty: (_, key) => {
        open();
        if (typeof key === 'string') this.#delete(key);
        return true;
      },
      has: (_, key) => (typeof key === 'string' && this.#has(key)) || Reflect.has(this.#base, key),
      ownKeys: () => Reflect.ownKeys(this.#added.length > 0 ? this.#rebuild() : (this.#copy ?? this.#base)),
      getOwnPropertyDescriptor: (_, key) => this.#describe(key),
      defineProperty: () => false,
      setPrototypeOf: () => false,
      preventExtensions: () => false,
    };
  }

  #describe(key: string | symbol): PropertyDescriptor | undefined {
    if (typeof key === 'symbol' || !(this.#has(key) || (key === 'length' && Array.isArray(this.#base)))) return undefined;
    const isLength = key === 'length' && Array.isArray(this.#base);
    const value = this.#draftOf(key, this.#read(key));
    return { value, writable: true, enumerable: !isLength, configurable: !isLength };
  }
}

const nodes = new WeakMap<object, Node>();

/** A value of the recipe's own, with what the drafts in it stand for in their place. */
function resolved(value: unknown): unknown {
  if (!isContainer(value)) return value;
  const node = nodes.get(value);
  if (node !== undefined) return node.plain();
  if (Object.isFrozen(value)) return value;
  let copy: Container | undefined;
  for (const [key, part] of Object.entries(value)) {
    const now = resolved(part);
    if (now === part) continue;
    copy ??= shallowCopy(value);
    write(copy, key, now);
  }
  return copy ?? value;
}

function isContainer(value: unknown): value is Container {
  if (typeof value !== 'object' || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}

function shallowCopy(container: Container): Container {
  return Array.isArray(container) ? [...container] : { ...container };
}

function write(container: Container, key: string, value: unknown): void {
  if (key !== '__proto__') Reflect.set(container, key, value);
  else Object.defineProperty(container, key, { value, enumerable: true, configurable: true, writable: true });
}

function pick(container: Container, keys: readonly string[]): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const key of keys) if (Object.hasOwn(container, key)) write(picked, key, Reflect.get(container, key));
  return picked;
}

/** The index a key stands for, or -1. */
function indexOf(key: string): number {
  const index = Number(key);
  return Number.isInteger(index) && index >= 0 && String(index) === key ? index : -1;
}

function escapeSegment(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
