/**
 * A conversation that this side keeps, for vendors that keep none. A turn is part of it once it was answered: what a turn
 * that failed has left, calls without results among it, is dropped when the next begins.
 */
export class Conversation<Item> {
  readonly id: string;
  /** What the model is told before everything else; `undefined`: nothing. */
  readonly system: string | undefined;
  #answered: readonly Item[];
  #open: readonly Item[];

  /** @param left where the turn begins that another process has left; it is gone on with, or dropped when another begins */
  constructor(id: string, system: string | undefined, items: readonly Item[], left: number = items.length) {
    this.id = id;
    this.system = system;
    this.#answered = items.slice(0, left);
    this.#open = items.slice(left);
  }

  /** All that the model is to know in the turn that is open. */
  get items(): readonly Item[] {
    return [...this.#answered, ...this.#open];
  }

  /** What was answered. */
  get answered(): readonly Item[] {
    return this.#answered;
  }

  /** A new turn. */
  begin(...items: readonly Item[]): void {
    this.#open = items;
  }

  /** The turn goes on. */
  add(...items: readonly Item[]): void {
    this.#open = [...this.#open, ...items];
  }

  /** The turn was answered. */
  commit(): void {
    this.#answered = this.items;
    this.#open = [];
  }
}

/** What a conversation is told first: all there is of these, one under the other; `undefined` where there is nothing. */
export function systemText(...texts: readonly (string | undefined)[]): string | undefined {
  return texts.filter((text) => text !== undefined && text !== '').join('\n\n') || undefined;
}
