/** What a recipe holds of a state: proxies of its lists and records, and the way back to what they stand for. */
import type { ChangeGuard } from '../internal/diff.js';
import type { PatchOperation } from '../internal/patch.js';
import { type Container, deepestWalk, entriesOf, isContainer, shallowCopy, write } from './containers.js';

/** Ends when what a recipe has made is taken over. */
export interface Scope {
  isOver: boolean;
}

/** Where a container stands among the others of its recipe. */
export interface NodePlace {
  /** The node of a child that is to be looked into. */
  nodeOf(holder: DraftNode, child: Origin): DraftNode;
  /** A child of the container, whose node this is, was found at the key and has been changed. */
  touchChild(key: string | number, child: DraftNode, node: DraftNode): void;
  /** Throws `TypeError` when the recipe has returned. */
  assertOpen(): void;
}

/** What a recipe has looked at and done in one container. */
export interface DraftNode {
  readonly place: NodePlace;
  /** The operations, below `path`, that lead from the container to what has become of it. */
  changes(guard: ChangeGuard | undefined, path: string): PatchOperation[];
  /** @param draft what was asked */
  get(key: string | symbol, draft: unknown): unknown;
  set(key: string, value: unknown): void;
  delete(key: string): void;
  has(key: string): boolean;
  keys(): (string | symbol)[];
  describe(key: string): PropertyDescriptor | undefined;
  /** The container when the recipe is done, without drafts in it. */
  plain(): Container;
  /** What a draft stands for, if it is the one of the item that was there in the beginning. */
  plainAt(index: number, draft: unknown): unknown;
}

/**
 * Where a draft comes from. There is no more than this and the proxy of a child that is passed on, or only asked for
 * words and numbers: a recipe that spreads a list makes one for each item.
 */
export interface Origin {
  readonly base: Container;
  /** Of the container it was found in; its own for the root. */
  readonly holder: DraftNode;
  /** Where it was found; empty for what was taken out of a list unseen. */
  readonly key: string | number;
  node: DraftNode | undefined;
}

/** A draft of a container, which is not written to. */
export function draftOf(base: Container, holder: DraftNode, key: string | number, node?: DraftNode): object {
  const origin: Origin = { base, holder, key, node };
  // The target tells the engine whether it is a list.
  return new Proxy<Origin>(Array.isArray(base) ? Object.assign([], origin) : origin, traps);
}

/** What a draft answers with its origin. */
const ownOrigin = Symbol('origin');

const traps: ProxyHandler<Origin> = {
  get(origin, key, draft) {
    if (key === ownOrigin || origin.node === undefined) {
      origin.holder.place.assertOpen();
      if (key === ownOrigin) return origin;
      const value: unknown = Reflect.get(origin.base, key);
      if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return value;
    }
    return nodeOf(origin).get(key, draft);
  },
  set(origin, key, value) {
    if (typeof key === 'string') nodeOf(origin).set(key, value);
    return typeof key === 'string';
  },
  deleteProperty(origin, key) {
    if (typeof key === 'string') nodeOf(origin).delete(key);
    return true;
  },
  has: (origin, key) => (typeof key === 'string' && nodeOf(origin).has(key)) || Reflect.has(Object.prototype, key),
  ownKeys({ node, base, holder }) {
    holder.place.assertOpen();
    return node === undefined ? Reflect.ownKeys(base) : node.keys();
  },
  getOwnPropertyDescriptor: (origin, key) => (typeof key === 'string' ? nodeOf(origin).describe(key) : undefined),
  defineProperty: () => false,
  setPrototypeOf: () => false,
  preventExtensions: () => false,
};

function nodeOf(origin: Origin): DraftNode {
  origin.node ??= origin.holder.place.nodeOf(origin.holder, origin);
  return origin.node;
}

/** A value of the recipe's own, with what the drafts in it stand for in their place. One nested too deeply is refused later. */
export function resolved(value: unknown, within: readonly unknown[] = []): unknown {
  if (!isContainer(value)) return value;
  const origin = originOf(value);
  if (origin !== undefined) return standsFor(origin);
  if (Object.isFrozen(value) || within.includes(value) || within.length > deepestWalk) return value;
  const around = [...within, value];
  return Array.isArray(value) ? resolvedList(value, around) : resolvedRecord(value, around);
}

function resolvedRecord(record: Record<string, unknown>, around: readonly unknown[]): Container {
  let copy: Container | undefined;
  for (const [key, part] of entriesOf(record)) {
    const now = resolved(part, around);
    if (now === part) continue;
    copy ??= shallowCopy(record);
    write(copy, key, now);
  }
  return copy ?? record;
}

/** Drafts of one list mostly follow each other as their items do there, so asking each where it comes from is spared. */
function resolvedList(list: unknown[], around: readonly unknown[]): unknown[] {
  let copy: unknown[] | undefined;
  let from: DraftNode | undefined;
  let expected = 0;
  for (let index = 0; index < list.length; index++) {
    const part = list[index];
    let now = from?.plainAt(expected, part);
    if (now === undefined) {
      const origin = isContainer(part) ? originOf(part) : undefined;
      now = origin === undefined ? resolved(part, around) : standsFor(origin);
      from = origin?.holder;
      expected = Number(origin?.key);
    }
    expected += 1;
    if (now === part) continue;
    copy ??= list.slice();
    copy[index] = now;
  }
  return copy ?? list;
}

function originOf(value: Container): Origin | undefined {
  return Reflect.get(value, ownOrigin) as Origin | undefined;
}

function standsFor({ base, node }: Origin): Container {
  return node === undefined ? base : node.plain();
}
