/** One bounded FIFO: push, shift and removal from the middle cost the same however long it is. */

/** What a queue holds. */
export interface QueueItem {
  readonly ref: string;
  /** When it came, as a number that grows. */
  readonly order: number;
  readonly bytes: number;
}

/** How much may wait. */
export interface QueueLimits {
  /** 0: nothing waits. */
  readonly maxCount: number;
  readonly maxBytes: number;
}

/** Below this many empty places, closing them up is not worth it. */
const smallestGap = 1_024;

/** What waits for an agent, in the order it came. */
export class Queue<Item extends QueueItem> {
  #places: (Item | undefined)[] = [];
  /** The first place that may be taken. */
  #head = 0;
  readonly #placeOf = new Map<string, number>();
  #bytes = 0;

  get size(): number {
    return this.#placeOf.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether one more fits. */
  hasRoomFor(bytes: number, { maxCount, maxBytes }: QueueLimits): boolean {
    return this.size < maxCount && this.#bytes + bytes <= maxBytes;
  }

  get(ref: string): Item | undefined {
    const place = this.#placeOf.get(ref);
    return place === undefined ? undefined : this.#places[place];
  }

  push(item: Item): void {
    this.#placeOf.set(item.ref, this.#places.push(item) - 1);
    this.#bytes += item.bytes;
  }

  /** The oldest, left where it is. */
  peek(): Item | undefined {
    if (this.size === 0) return undefined;
    while (this.#places[this.#head] === undefined) this.#head += 1;
    return this.#places[this.#head];
  }

  shift(): Item | undefined {
    const item = this.peek();
    return item === undefined ? undefined : this.remove(item.ref);
  }

  remove(ref: string): Item | undefined {
    const item = this.get(ref);
    const place = this.#placeOf.get(ref);
    if (item === undefined || place === undefined) return undefined;
    this.#places[place] = undefined;
    this.#placeOf.delete(ref);
    this.#bytes -= item.bytes;
    this.#closeUp();
    return item;
  }

  /** Takes everything out, oldest first. */
  clear(): Item[] {
    const items = this.items();
    this.#places = [];
    this.#head = 0;
    this.#placeOf.clear();
    this.#bytes = 0;
    return items;
  }

  /** Oldest first. */
  items(): Item[] {
    return this.#places.filter((item) => item !== undefined);
  }

  /** Empty places, wherever they are, are closed up when they are the most: paid for by the removals that made them. */
  #closeUp(): void {
    const empty = this.#places.length - this.size;
    if (this.size > 0 && (empty < smallestGap || empty < this.size)) return;
    const left = this.items();
    this.#places = left;
    this.#head = 0;
    for (const [place, { ref }] of left.entries()) this.#placeOf.set(ref, place);
  }
}
