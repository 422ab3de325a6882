/** Where a list or record of the state stands in a recipe's draft, and what below it the recipe has changed. */
import type { ChangeGuard } from '../internal/diff.js';
import type { PatchOperation } from '../internal/patch.js';
import { type Container, escapeSegment } from './containers.js';
import type { DraftNode, NodePlace, Origin, Scope } from './draft-proxy.js';

/** Makes the node of a container that is to be looked into. */
export type MakeNode = (base: Container, place: DraftPlace) => DraftNode;

/** The place of one container; every node has one. */
export class DraftPlace implements NodePlace {
  readonly #scope: Scope;
  readonly #makeNode: MakeNode;
  readonly #holder: DraftNode | undefined;
  /** Where it was in its holder when it was first looked at. */
  readonly #key: string | number;
  #isTouched = false;
  /** Under the key each was found at. */
  #touchedChildren: Map<string | number, DraftNode> | undefined;

  /** @param holder the node of the container around it; none for the state itself */
  constructor(scope: Scope, makeNode: MakeNode, holder?: DraftNode, key: string | number = '') {
    this.#scope = scope;
    this.#makeNode = makeNode;
    this.#holder = holder;
    this.#key = key;
  }

  /** Whether the container, or anything in it, has been changed. */
  get isTouched(): boolean {
    return this.#isTouched;
  }

  /** The children that have been changed, with the keys they were found at. */
  get touchedChildren(): ReadonlyMap<string | number, DraftNode> {
    return this.#touchedChildren ?? none;
  }

  /** The container, whose node this is, is no longer as it was. */
  touch(node: DraftNode): void {
    if (this.#isTouched) return;
    this.#isTouched = true;
    this.#holder?.place.touchChild(this.#key, node, this.#holder);
  }

  touchChild(key: string | number, child: DraftNode, node: DraftNode): void {
    this.#touchedChildren ??= new Map();
    this.#touchedChildren.set(key, child);
    this.touch(node);
  }

  nodeOf(holder: DraftNode, { base, key }: Origin): DraftNode {
    return this.#makeNode(base, new DraftPlace(this.#scope, this.#makeNode, holder, key));
  }

  /** @param except keys at which something else has been put */
  changesOfChildren(
    guard: ChangeGuard | undefined,
    path: string,
    except?: ReadonlyMap<string | number, unknown>,
  ): PatchOperation[] {
    const changes: PatchOperation[] = [];
    for (const [key, child] of this.touchedChildren) {
      if (except?.has(key)) continue;
      const childGuard = guard?.children?.of(key);
      const childPath = `${path}/${escapeSegment(String(key))}`;
      // One by one: a call takes no more than some hundred thousand arguments.
      for (const change of child.changes(childGuard === 'refused' ? undefined : childGuard, childPath))
        changes.push(change);
    }
    return changes;
  }

  assertOpen(): void {
    if (this.#scope.isOver) throw new TypeError('A draft is of no use after its recipe has returned');
  }
}

const none: ReadonlyMap<string | number, DraftNode> = new Map();
