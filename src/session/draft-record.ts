/** What a recipe does to a record. A record of ten thousand members is not copied to change one of them. */
import { type ChangeGuard, diff } from '../internal/diff.js';
import type { PatchOperation } from '../internal/patch.js';
import { type Container, isContainer, pick, write } from './containers.js';
import type { DraftPlace } from './draft-place.js';
import { type DraftNode, draftOf, resolved } from './draft-proxy.js';

type Members = Record<string, unknown>;

/** Stands for a member that was deleted. */
const gone = Symbol('gone');
const empty = {};

/** What a recipe has looked at and done in one record. */
export class RecordNode implements DraftNode {
  readonly #base: Members;
  readonly place: DraftPlace;
  /** Of members of the base. */
  #drafts: Map<string, object> | undefined;
  /** What the recipe has put under which keys. */
  #written: Map<string, unknown> | undefined;
  #plain: Members | undefined;

  constructor(base: Members, place: DraftPlace) {
    this.#base = base;
    this.place = place;
  }

  changes(guard: ChangeGuard | undefined, path: string): PatchOperation[] {
    if (!this.place.isTouched) return [];
    const isCheckedAsWhole = guard !== undefined && guard.children === undefined;
    if (isCheckedAsWhole) return diff(this.#base, this.plain(), guard, path);
    return [...this.#writes(guard, path), ...this.place.changesOfChildren(guard, path, this.#written)];
  }

  plain(): Container {
    if (!this.place.isTouched) return this.#base;
    if (this.#plain !== undefined) return this.#plain;
    // Set before it is filled, so that what holds itself becomes a cycle, which is refused later, and not a loop here.
    this.#plain = { ...this.#base };
    for (const [key, child] of this.place.touchedChildren) write(this.#plain, key, child.plain());
    return this.#writeTo(this.#plain, resolved);
  }

  get(key: string | symbol): unknown {
    this.place.assertOpen();
    if (typeof key === 'symbol') return Reflect.get(this.#base, key);
    if (this.#written?.has(key)) return this.#writtenAt(key);
    const value: unknown = Reflect.get(this.#base, key);
    return isContainer(value) && this.has(key) ? this.#draftAt(key, value) : value;
  }

  set(key: string, value: unknown): void {
    this.place.assertOpen();
    if (this.has(key) && value === this.get(key)) return;
    this.#write(key, value);
  }

  delete(key: string): void {
    this.place.assertOpen();
    if (this.has(key)) this.#write(key, gone);
  }

  has(key: string): boolean {
    return this.#written?.has(key) ? this.#written.get(key) !== gone : Object.hasOwn(this.#base, key);
  }

  keys(): (string | symbol)[] {
    const now = this.#written === undefined ? this.#base : this.#writeTo({ ...this.#base }, (value) => value);
    return Reflect.ownKeys(now);
  }

  describe(key: string): PropertyDescriptor | undefined {
    if (!this.has(key)) return undefined;
    return { value: this.get(key), writable: true, enumerable: true, configurable: true };
  }

  plainAt(): undefined {
    return undefined;
  }

  #write(key: string, value: unknown): void {
    this.#written ??= new Map();
    this.#written.set(key, value);
    this.place.touch(this);
  }

  #writtenAt(key: string): unknown {
    const value = this.#written?.get(key);
    return value === gone ? Reflect.get(empty, key) : value;
  }

  #draftAt(key: string, member: Container): object {
    this.#drafts ??= new Map();
    const draft = this.#drafts.get(key) ?? draftOf(member, this, key);
    this.#drafts.set(key, draft);
    return draft;
  }

  #writes(guard: ChangeGuard | undefined, path: string): PatchOperation[] {
    if (this.#written === undefined) return [];
    return diff(pick(this.#base, this.#written.keys()), this.#writeTo({}, resolved), guard, path);
  }

  #writeTo(record: Members, form: (value: unknown) => unknown): Members {
    for (const [key, value] of this.#written ?? []) {
      if (value === gone) Reflect.deleteProperty(record, key);
      else write(record, key, form(value));
    }
    return record;
  }
}
