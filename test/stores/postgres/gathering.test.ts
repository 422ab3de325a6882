/** Who travels alone, who together, and in what order, on a road where every journey ends when the test says so. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Deferred } from '../../../src/internal/deferred.js';
import { Gathering } from '../../../src/stores/postgres/gathering.js';
import { quiet, stateOf } from '../../support/waiting.js';

interface Item {
  readonly name: string;
  readonly key: string;
  readonly size: number;
}

interface Journey {
  readonly items: readonly Item[];
  readonly isAlone: boolean;
  /** With those that it leaves behind, or with an error. */
  readonly end: Deferred<readonly Item[]>;
}

const few = 2;
const mostTogether = 64;
const mostSizeTogether = 128 * 1_024;
const mostSizeOfOne = 32 * 1_024;
const failure = new RangeError('the road is closed');

class Road {
  readonly under: Journey[] = [];
  readonly gathering: Gathering<Item>;
  #names = 0;

  constructor(atOnce = few) {
    const alone = async (item: Item) => void (await this.#begin([item], true));
    this.gathering = new Gathering<Item>({ alone, together: (items) => this.#begin(items, false) }, atOnce);
  }

  send(key: string, size = 10): { item: Item; arrival: Promise<void> } {
    const item = { name: `${++this.#names}`, key, size };
    const arrival = this.gathering.send(item, key, size);
    arrival.catch(() => {});
    return { item, arrival };
  }

  /** Items under keys of their own. */
  sendMany(count: number, size?: number) {
    return Array.from({ length: count }, () => this.send(`key ${this.#names}`, size));
  }

  end(journey: Journey | undefined, left: readonly Item[] = []): void {
    this.under.splice(this.under.indexOf(journey as Journey), 1);
    journey?.end.resolve(left);
  }

  fail(journey: Journey | undefined): void {
    this.under.splice(this.under.indexOf(journey as Journey), 1);
    journey?.end.reject(failure);
  }

  /** How many are on each journey: plain numbers for those who go alone, lists for those together. */
  get sizes(): (number | number[])[] {
    return this.under.map(({ isAlone, items }) => (isAlone ? 1 : [items.length]));
  }

  #begin(items: readonly Item[], isAlone: boolean): Promise<readonly Item[]> {
    const journey = { items, isAlone, end: new Deferred<readonly Item[]>() };
    this.under.push(journey);
    return journey.end.promise;
  }
}

describe('who goes', () => {
  test('the first few go alone, at once; all others together as soon as they have all come', async () => {
    const road = new Road();
    road.sendMany(few + 1);
    expect(road.sizes).toEqual([1, 1]);
    await Promise.resolve().then(() => road.sendMany(3));
    await quiet();
    expect(road.sizes).toEqual([1, 1, [4]]);
  });

  test('a few journeys are made together at once; what comes meanwhile goes when one of them ends', async () => {
    const road = new Road();
    for (const count of [few, 3, 4, 5, 6]) {
      road.sendMany(count);
      await quiet();
    }
    expect(road.sizes).toEqual([1, 1, [3], [4]]);
    road.end(road.under[2]);
    await quiet();
    expect(road.sizes).toEqual([1, 1, [4], [11]]);
  });

  test('while a journey is under way nobody goes alone; from the third on there are enough for one', async () => {
    const road = new Road(4);
    for (const count of [5, 1, 3, 1]) {
      road.sendMany(count);
      await quiet();
    }
    expect(road.sizes).toEqual([1, 1, 1, 1, [1], [1], [4]]);
    while (road.under.length > 3) road.end(road.under[0]);
    await quiet();
    road.sendMany(3);
    await quiet();
    expect(road.sizes).toEqual([[1], [1], [4]]);
    road.end(road.under[2]);
    await quiet();
    expect(road.sizes).toEqual([[1], [1]]);
    road.end(road.under[1]);
    await quiet();
    expect(road.sizes).toEqual([[1], [3]]);
  });

  test('those who go alone may be held up for good, and hold up nobody', async () => {
    const road = new Road();
    const stuck = road.sendMany(few);
    for (let round = 0; round < 10; round++) {
      const [one] = road.sendMany(1);
      await quiet();
      expect(road.sizes).toEqual([1, 1, [1]]);
      road.end(road.under[2]);
      await one?.arrival;
    }
    for (const { arrival } of stuck) expect(await stateOf(arrival)).toBe('pending');
  });

  test('what is large goes alone at once, however many are on their way', async () => {
    const road = new Road();
    road.sendMany(few);
    await quiet();
    road.sendMany(3);
    await quiet();
    road.sendMany(1, mostSizeOfOne);
    road.sendMany(2, mostSizeOfOne + 1);
    road.sendMany(1, Number.POSITIVE_INFINITY);
    expect(road.sizes).toEqual([1, 1, [3], 1, 1, 1]);
    await quiet();
    expect(road.sizes).toEqual([1, 1, [3], 1, 1, 1, [1]]);
  });

  test('so many travel together at most, and so much', async () => {
    const many = new Road();
    many.sendMany(few + mostTogether + 1);
    await quiet();
    expect(many.sizes).toEqual([1, 1, [mostTogether], [1]]);
    const much = new Road();
    much.sendMany(few);
    much.sendMany(5, mostSizeTogether / 4);
    await quiet();
    expect(much.sizes).toEqual([1, 1, [4], [1]]);
  });
});

describe('how it ends', () => {
  async function together(count: number) {
    const road = new Road();
    road.sendMany(few);
    const sent = road.sendMany(count);
    await quiet();
    return { road, sent, journey: road.under[few] };
  }

  test('who is left behind goes alone, and only who sent it is told how that ends', async () => {
    const { road, sent, journey } = await together(3);
    road.end(journey, [sent[1]?.item as Item]);
    await Promise.all([sent[0]?.arrival, sent[2]?.arrival]);
    expect(road.under.at(-1)).toMatchObject({ isAlone: true, items: [sent[1]?.item] });
    road.fail(road.under.at(-1));
    await expect(sent[1]?.arrival).rejects.toBe(failure);
  });

  test('a journey that fails has failed for all on it, and others are made', async () => {
    const { road, sent, journey } = await together(3);
    road.fail(journey);
    for (const { arrival } of sent) await expect(arrival).rejects.toBe(failure);
    road.sendMany(2);
    await quiet();
    expect(road.sizes).toEqual([1, 1, [2]]);
  });

  test('two of one key are never on the way at once, and the second follows however the first ends', async () => {
    const { road, journey } = await together(1);
    const key = journey?.items[0]?.key ?? '';
    const [second, third] = [road.send(key), road.send(key)];
    await quiet();
    expect(road.sizes).toEqual([1, 1, [1]]);
    road.fail(journey);
    await quiet();
    expect(road.under[2]?.items).toEqual([second.item]);
    road.end(road.under[2], [second.item]);
    await quiet();
    expect(road.under[2]).toMatchObject({ isAlone: true, items: [second.item] });
    road.end(road.under[2]);
    await quiet();
    expect(road.under[2]?.items).toEqual([third.item]);
  });
});

type Step =
  | { readonly do: 'send'; readonly key: number; readonly size: number }
  | { readonly do: 'end'; readonly which: number; readonly left: readonly number[] }
  | { readonly do: 'fail'; readonly which: number }
  | { readonly do: 'quiet' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      key: fc.nat(9),
      size: fc.constantFrom(1, 1, 1, mostSizeOfOne, mostSizeOfOne + 1),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(9), left: fc.array(fc.nat(9)) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), which: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.constant<Step>({ do: 'quiet' }) },
);

test('whatever comes and however it ends: each arrives or fails once, as its journey did, and those of a key in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
      const road = new Road();
      const sent: Item[] = [];
      const told: string[] = [];
      const expected: string[] = [];
      const finish = (journey: Journey | undefined, one: Exclude<Step, { do: 'send' }>) => {
        if (journey === undefined) return;
        const { items, isAlone } = journey;
        const left = one.do === 'end' && !isAlone ? items.filter((_, index) => one.left.includes(index)) : [];
        const how = one.do === 'fail' ? 'failed' : 'arrived';
        expected.push(...items.filter((item) => !left.includes(item)).map(({ name }) => `${name} ${how}`));
        if (one.do === 'fail') road.fail(journey);
        else road.end(journey, left);
      };
      const check = () => {
        const keys = road.under.flatMap(({ items }) => items.map(({ key }) => key));
        expect(new Set(keys).size).toBe(keys.length);
        expect(road.under.filter(({ isAlone }) => !isAlone).length).toBeLessThanOrEqual(few);
        for (const { items } of road.under) {
          const size = items.reduce((sum, item) => sum + item.size, 0);
          expect(items.length === 1 || size <= mostSizeTogether).toBe(true);
        }
      };
      for (const one of steps) {
        if (one.do === 'send') {
          const { item, arrival } = road.send(`key ${one.key}`, one.size);
          sent.push(item);
          arrival.then(
            () => told.push(`${item.name} arrived`),
            () => told.push(`${item.name} failed`),
          );
        } else if (one.do === 'quiet') await quiet();
        else finish(road.under[one.which % Math.max(1, road.under.length)], one);
        check();
      }
      for (await quiet(); road.under.length > 0; await quiet()) {
        check();
        finish(road.under[0], { do: 'end', which: 0, left: [] });
      }
      expect([...told].sort()).toEqual([...expected].sort());
      expect(told).toHaveLength(sent.length);
      for (const { key } of sent) {
        const own = sent.filter((item) => item.key === key).map(({ name }) => name);
        expect(told.map((line) => line.split(' ')[0]).filter((name) => own.includes(String(name)))).toEqual(own);
      }
    }),
  );
});
