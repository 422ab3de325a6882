import { applyPatch, type PatchOperation } from '../internal/patch.js';

/**
 * One JSON document that changes by patches, kept twice: a working copy that is changed in place, so that a change to a
 * list of ten thousand costs what a change to a list of ten does, and a frozen view for the world, made when somebody
 * looks. Both share every part that has not changed.
 */
export class Document<T> {
  #working: T;
  /** What in the working copy is not shared with any view. */
  #own: WeakSet<object> | undefined;
  #view: T;
  #unseen: PatchOperation[] = [];

  /** @param value deep-frozen, and nobody else's */
  constructor(value: T) {
    this.#working = value;
    this.#view = value;
  }

  /** For reading and comparing only; it changes under the reader's feet. */
  get working(): T {
    return this.#working;
  }

  /** The document as it is now; never changes. */
  get view(): T {
    if (this.#unseen.length > 0) {
      const made = new Set<object>();
      this.#view = applyPatch(this.#view, this.#unseen, made) as T;
      for (const container of made) Object.freeze(container);
      this.#unseen = [];
    }
    return this.#view;
  }

  /** @param patch its values are deep-frozen */
  apply(patch: readonly PatchOperation[]): void {
    this.#own ??= new WeakSet();
    this.#working = applyPatch(this.#working, patch, this.#own) as T;
    this.#unseen.push(...patch);
  }
}
