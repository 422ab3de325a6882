import { applyPatch, type PatchOperation } from '../internal/patch.js';
import { type Container, write } from './containers.js';

/** What is known of a container of the working copy that is not shared with any view. */
interface Own {
  /** The container as the world sees it; `undefined` since it was last written to. */
  frozen: object | undefined;
  /** Something in it is not shared either. */
  holdsOwn: boolean;
}

/**
 * One JSON document that changes by patches, kept twice: a working copy that is changed in place, so that a change to a
 * list of ten thousand costs what a change to a list of ten does, and a frozen view for the world, made when somebody
 * looks. Both share every part that has not changed, and what has changed is copied once for a look, however many
 * patches there were since the last one.
 */
export class Document<T> {
  #working: T;
  #view: T;
  #isSeen = true;
  /** Made with the first change: most sessions that are open only wait. */
  #own: WeakMap<object, Own> | undefined;

  /** @param value deep-frozen, and nobody else's */
  constructor(value: T) {
    this.#working = value;
    this.#view = value;
  }

  /** For reading and comparing only; it changes under the reader's feet. */
  get working(): T {
    return this.#working;
  }

  /** The view as somebody last looked at it. */
  get seen(): T {
    return this.#view;
  }

  /** The document as it is now; never changes. */
  get view(): T {
    if (!this.#isSeen) {
      this.#view = this.#frozen(this.#working);
      this.#isSeen = true;
    }
    return this.#view;
  }

  /** @param patch its values are deep-frozen */
  apply(patch: readonly PatchOperation[]): void {
    this.#isSeen = false;
    this.#own ??= new WeakMap();
    this.#working = applyPatch(this.#working, patch, {
      has: (container) => this.#writeTo(container),
      add: (copy, holder) => this.#take(copy, holder),
    }) as T;
  }

  #writeTo(container: object): boolean {
    const own = this.#own?.get(container);
    if (own !== undefined) own.frozen = undefined;
    return own !== undefined;
  }

  #take(copy: object, holder: object | undefined): void {
    this.#own?.set(copy, { frozen: undefined, holdsOwn: false });
    const around = holder === undefined ? undefined : this.#own?.get(holder);
    if (around !== undefined) around.holdsOwn = true;
  }

  #frozen<Part>(part: Part): Part {
    if (typeof part !== 'object' || part === null) return part;
    const own = this.#own?.get(part);
    if (own === undefined) return part;
    own.frozen ??= Object.freeze(this.#copy(part as Container, own.holdsOwn));
    return own.frozen as Part;
  }

  #copy(container: Container, holdsOwn: boolean): Container {
    // Not from the last view: a list that is frozen takes twice as long to copy, and growing the copy as long again.
    const copy = Array.isArray(container) ? container.slice() : { ...container };
    if (!holdsOwn) return copy;
    if (Array.isArray(copy)) {
      for (let index = 0; index < copy.length; index++) copy[index] = this.#frozen(copy[index]);
    } else {
      for (const [key, child] of Object.entries(copy)) write(copy, key, this.#frozen(child));
    }
    return copy;
  }
}
