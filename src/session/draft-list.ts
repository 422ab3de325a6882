/**
 * What a recipe does to a list. Immer and Mutative copy a list as soon as one message is appended to it; this one notes
 * what was appended, and what was put in whose place, without ever touching the list.
 */
import { type ChangeGuard, diff } from '../internal/diff.js';
import type { PatchOperation } from '../internal/patch.js';
import { type Container, indexOf, isContainer, write } from './containers.js';
import { isListMethod, type ListMethod, type Method, readerOf } from './draft-list-readers.js';
import type { DraftPlace } from './draft-place.js';
import { type DraftNode, draftOf, resolved } from './draft-proxy.js';

/** What a recipe has looked at and done in one list. */
export class ListNode implements DraftNode {
  readonly #base: readonly unknown[];
  readonly place: DraftPlace;
  /** Of items of the base, at their indices; with a copy they stand in that instead. */
  #drafts: object[] | undefined;
  /** What was appended to a list in which everything else is where it was. */
  #added: unknown[] = [];
  /** What was put in the place of items of the base, at their indices. */
  #replaced: Map<number, unknown> | undefined;
  /** The list as it is now, from the first change on that moves or removes items. */
  #copy: unknown[] | undefined;
  /** What in the copy needs no draft: objects that the recipe has put in, and drafts. */
  #ours: Set<unknown> | undefined;
  #plain: unknown[] | undefined;

  constructor(base: readonly unknown[], place: DraftPlace) {
    this.#base = base;
    this.place = place;
  }

  changes(guard: ChangeGuard | undefined, path: string): PatchOperation[] {
    if (!this.place.isTouched) return [];
    const isCheckedAsWhole = guard !== undefined && guard.children === undefined;
    if (isCheckedAsWhole || this.#copy !== undefined) return diff(this.#base, this.plain(), guard, path);
    return [
      ...this.#replacements(guard, path),
      ...this.place.changesOfChildren(guard, path, this.#replaced),
      ...this.#appends(guard, path),
    ];
  }

  plain(): Container {
    if (!this.place.isTouched) return this.#base as unknown[];
    if (this.#plain !== undefined) return this.#plain;
    // Set before it is filled, so that what holds itself becomes a cycle, which is refused later, and not a loop here.
    // The copy may be long, and is looked at as a whole from here on.
    this.#plain = this.#copy ?? [...this.#base];
    this.#fill(this.#plain);
    return this.#plain;
  }

  get(key: string | symbol, draft: unknown): unknown {
    this.place.assertOpen();
    const value: unknown = typeof key === 'symbol' ? Reflect.get(this.#base, key) : this.#read(key);
    if (typeof value === 'function') return this.#methodOf(key, value as Method, draft);
    return typeof key === 'string' && isContainer(value) && this.has(key) ? this.#childAt(Number(key), value) : value;
  }

  get length(): number {
    return this.#now.length + this.#added.length;
  }

  /** The item, or its draft. */
  at(index: number): unknown {
    this.place.assertOpen();
    if (this.#replaced?.has(index)) return this.#replaced.get(index);
    const known = this.#drafts?.[index];
    if (known !== undefined) return known;
    const now = this.#now;
    const value = index < now.length ? now[index] : this.#added[index - now.length];
    return isContainer(value) ? this.#childAt(index, value) : value;
  }

  set(key: string, value: unknown): void {
    this.place.assertOpen();
    if (key === 'length' && value === this.length) return;
    if (this.has(key) && value === this.get(key, undefined)) return;
    this.#take(value);
    this.place.touch(this);
    const index = this.#copy === undefined ? indexOf(key) : -1;
    if (index >= 0 && index < this.#base.length) this.#replace(index, value);
    else if (index === this.length) this.#added.push(value);
    else write(this.#rebuild(), key, value);
  }

  delete(key: string): void {
    this.place.assertOpen();
    if (!this.has(key)) return;
    Reflect.deleteProperty(this.#rebuild(), key);
    this.place.touch(this);
  }

  has(key: string): boolean {
    const index = this.#added.length > 0 ? indexOf(key) : -1;
    return index >= 0 ? index < this.length : Object.hasOwn(this.#now, key);
  }

  keys(): (string | symbol)[] {
    return Reflect.ownKeys(this.#added.length > 0 ? this.#rebuild() : this.#now);
  }

  describe(key: string): PropertyDescriptor | undefined {
    const isLength = key === 'length';
    if (!this.has(key)) return undefined;
    return { value: this.get(key, undefined), writable: true, enumerable: !isLength, configurable: !isLength };
  }

  plainAt(index: number, draft: unknown): unknown {
    if (draft === undefined || this.#drafts?.[index] !== draft) return undefined;
    return this.place.touchedChildren.get(index)?.plain() ?? this.#base[index];
  }

  get #now(): readonly unknown[] {
    return this.#copy ?? this.#base;
  }

  #methodOf(key: string | symbol, native: Method, draft: unknown): Method {
    if (isListMethod(key)) return (...given: unknown[]) => this.#do(key, given);
    return readerOf(key, this, native, draft) ?? native;
  }

  /** What a list does as a whole is done at once, instead of item by item through the traps. */
  #do(method: ListMethod, given: unknown[]): unknown {
    this.place.assertOpen();
    for (const value of method === 'splice' ? given.slice(2) : given) this.#take(value);
    this.place.touch(this);
    if (method === 'push') {
      (this.#copy ?? this.#added).push(...given);
      return this.length;
    }
    const list = this.#rebuild();
    if (method === 'unshift') return list.unshift(...given);
    if (method === 'splice') return list.splice(...(given as [number])).map((removed) => this.#takenOut(removed));
    return this.#takenOut(method === 'pop' ? list.pop() : list.shift());
  }

  #replace(index: number, value: unknown): void {
    this.#replaced ??= new Map();
    this.#replaced.set(index, value);
  }

  #replacements(guard: ChangeGuard | undefined, path: string): PatchOperation[] {
    const changes: PatchOperation[] = [];
    for (const [index, value] of this.#replaced ?? []) {
      const child = guard?.children?.of(index);
      const childGuard = child === 'refused' ? undefined : child;
      for (const change of diff(this.#base[index], resolved(value), childGuard, `${path}/${index}`))
        changes.push(change);
    }
    return changes;
  }

  #appends(guard: ChangeGuard | undefined, path: string): PatchOperation[] {
    if (this.#added.length > 0) guard?.children?.checkLength?.(this.length, path);
    return this.#added.map((added, offset) => {
      const index = this.length - this.#added.length + offset;
      const child = guard?.children?.of(index);
      const value = resolved(added);
      const isChecked = child !== undefined && child !== 'refused';
      return { op: 'add', path: `${path}/-`, value: isChecked ? child.accept(value, `${path}/${index}`) : value };
    });
  }

  #read(key: string): unknown {
    const now = this.#now;
    if (this.#added.length === 0 && this.#replaced === undefined) return Reflect.get(now, key);
    if (key === 'length') return this.length;
    const index = indexOf(key);
    if (this.#replaced?.has(index)) return this.#replaced.get(index);
    return index >= now.length ? this.#added[index - now.length] : Reflect.get(now, key);
  }

  /** What stands for an item: its draft, or the item itself where the recipe has put it in. */
  #childAt(index: number, item: Container): unknown {
    if (this.#copy === undefined) return this.#baseItemAt(index, item);
    if (this.#ours?.has(item)) return item;
    const draft = draftOf(item, this, index);
    this.#put(this.#copy, index, draft);
    return draft;
  }

  #baseItemAt(index: number, item: Container): object {
    if (index >= this.#base.length || this.#replaced?.has(index)) return item;
    this.#drafts ??= [];
    const draft = this.#drafts[index] ?? draftOf(item, this, index);
    this.#drafts[index] = draft;
    return draft;
  }

  #takenOut(value: unknown): unknown {
    return isContainer(value) && !this.#ours?.has(value) ? draftOf(value, this, '') : value;
  }

  #rebuild(): unknown[] {
    if (this.#copy !== undefined) return this.#copy;
    const copy = [...this.#base];
    this.#drafts?.forEach((draft, index) => {
      this.#put(copy, index, draft);
    });
    for (const [index, value] of this.#replaced ?? []) copy[index] = value;
    for (const added of this.#added.splice(0)) copy.push(added);
    this.#drafts = undefined;
    this.#replaced = undefined;
    this.#copy = copy;
    return copy;
  }

  #put(copy: unknown[], index: number, draft: object): void {
    copy[index] = draft;
    this.#take(draft);
  }

  #fill(plain: unknown[]): void {
    if (this.#copy === undefined) {
      for (const added of this.#added) plain.push(resolved(added));
      for (const [index, child] of this.place.touchedChildren) plain[Number(index)] = child.plain();
      for (const [index, value] of this.#replaced ?? []) plain[index] = resolved(value);
    } else if (this.#ours !== undefined) {
      this.#fillCopy(plain, this.#ours);
    }
  }

  /** What stands where it stood, seen from the front or from the end, needs no look: nothing of the base is ours. */
  #fillCopy(plain: unknown[], ours: ReadonlySet<unknown>): void {
    const base = this.#base;
    const moved = plain.length - base.length;
    let start = 0;
    let end = plain.length;
    while (start < end && plain[start] === base[start]) start += 1;
    while (end > start && plain[end - 1] === base[end - 1 - moved]) end -= 1;
    for (let index = start; index < end; index++) if (ours.has(plain[index])) plain[index] = resolved(plain[index]);
  }

  #take(value: unknown): void {
    if (!isContainer(value)) return;
    this.#ours ??= new Set();
    this.#ours.add(value);
  }
}
