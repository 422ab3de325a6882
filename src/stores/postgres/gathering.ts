/** What comes while much is on its way gathers and travels together: a journey costs far more than what it carries. */

/** How things are sent. */
export interface Ways<Item> {
  /** One by itself, for as long as it takes. */
  alone(item: Item): Promise<void>;
  /** Many in one go that waits for nobody → those of them that must go alone after all. When it rejects, all have failed. */
  together(items: readonly Item[]): Promise<readonly Item[]>;
}

/** One that is to be sent. */
interface Traveller<Item> {
  readonly item: Item;
  readonly key: string;
  readonly size: number;
  readonly arrive: () => void;
  readonly fail: (error: unknown) => void;
}

/** So many travel together at most, and so much. */
const mostTogether = 64;
const mostSizeTogether = 128 * 1_024;
/**
 * A journey costs more than what it carries: with two under way the next one is worth it for so many only. The second goes
 * with whoever is there, so that one that never ends holds up nobody.
 */
const enoughForOneMore = 4;
/** What is larger gains nothing by company, and would only delay it. */
const mostSizeOfOne = 32 * 1_024;

/**
 * The first few go alone, at once. What comes beyond, and while a journey is under way, goes together with whatever else has
 * come by then, in as many journeys at once. Those with the same key go one after another, in the order they came.
 */
export class Gathering<Item> {
  readonly #ways: Ways<Item>;
  readonly #few: number;
  /** Those on their way or waiting for it, by key: each with those behind it. */
  readonly #lines = new Map<string, Traveller<Item>[]>();
  readonly #waiting: Traveller<Item>[] = [];
  #alone = 0;
  #journeys = 0;
  #isToDepart = false;

  /** @param few how many go alone, and how many journeys are made together, at once */
  constructor(ways: Ways<Item>, few: number) {
    this.#ways = ways;
    this.#few = few;
  }

  /**
   * Resolves when it has arrived; rejects when it has failed.
   *
   * @param key what no two on the way have in common
   * @param size in characters
   */
  send(item: Item, key: string, size: number): Promise<void> {
    return new Promise((arrive, fail) => {
      const one = { item, key, size, arrive, fail };
      const line = this.#lines.get(key);
      if (line !== undefined) line.push(one);
      else {
        this.#lines.set(key, []);
        this.#admit(one);
      }
    });
  }

  #admit(one: Traveller<Item>): void {
    const isQuiet = this.#waiting.length === 0 && this.#journeys === 0 && this.#alone < this.#few;
    if (isQuiet || one.size > mostSizeOfOne) void this.#goAlone(one);
    else {
      this.#waiting.push(one);
      this.#departSoon();
    }
  }

  async #goAlone(one: Traveller<Item>): Promise<void> {
    this.#alone += 1;
    const tell = await this.#ways.alone(one.item).then(
      () => one.arrive,
      (error) => () => one.fail(error),
    );
    this.#alone -= 1;
    this.#end(one, tell);
  }

  /** Not before everything has run that is ready to: it may bring more. Those who go alone may be held up, and hold up nobody. */
  #departSoon(): void {
    if (this.#isToDepart || !this.#isWorthOneMore()) return;
    this.#isToDepart = true;
    process.nextTick(() => {
      this.#isToDepart = false;
      while (this.#isWorthOneMore()) void this.#goTogether(this.#company());
    });
  }

  #isWorthOneMore(): boolean {
    if (this.#journeys === this.#few) return false;
    return this.#waiting.length >= (this.#journeys < 2 ? 1 : enoughForOneMore);
  }

  #company(): Traveller<Item>[] {
    let size = 0;
    const end = this.#waiting.findIndex((one, index) => {
      size += one.size;
      return index === mostTogether || (index > 0 && size > mostSizeTogether);
    });
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
  }

  async #goTogether(all: readonly Traveller<Item>[]): Promise<void> {
    this.#journeys += 1;
    let left: ReadonlySet<Item> = new Set();
    let tell = (one: Traveller<Item>) => one.arrive();
    try {
      left = new Set(await this.#ways.together(all.map(({ item }) => item)));
    } catch (error) {
      tell = (one) => one.fail(error);
    }
    this.#journeys -= 1;
    for (const one of all) {
      if (left.has(one.item)) void this.#goAlone(one);
      else this.#end(one, () => tell(one));
    }
    this.#departSoon();
  }

  #end({ key }: Traveller<Item>, tell: () => void): void {
    tell();
    const next = this.#lines.get(key)?.shift();
    if (next === undefined) this.#lines.delete(key);
    else this.#admit(next);
  }
}
