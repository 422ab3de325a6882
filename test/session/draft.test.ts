import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { deepFreeze } from '../../src/internal/freeze.js';
import { applyPatch } from '../../src/internal/patch.js';
import { changesBy } from '../../src/session/draft.js';

interface Doc {
  list: unknown[];
  byName: Record<string, unknown>;
  items: { n: number; tags: string[] }[];
}

const value = fc.jsonValue({ maxDepth: 2 });
const at = fc.nat(6);
const name = fc.constantFrom('a', 'b', 'c', '', '~/', '0');

/** Everything a recipe commonly does, with what it does to a plain document. */
const step = fc.oneof(
  fc.record({ do: fc.constant('push' as const), value }),
  fc.record({ do: fc.constant('insert' as const), at, value }),
  fc.record({ do: fc.constant('remove' as const), at }),
  fc.record({ do: fc.constant('shift' as const) }),
  fc.record({ do: fc.constant('replace' as const), at, value }),
  fc.record({ do: fc.constant('name' as const), name, value }),
  fc.record({ do: fc.constant('forget' as const), name }),
  fc.record({ do: fc.constant('count' as const), at }),
  fc.record({ do: fc.constant('tag' as const), at, name }),
  fc.record({ do: fc.constant('add item' as const), at }),
  fc.record({ do: fc.constant('reverse' as const) }),
  fc.record({ do: fc.constant('spread items' as const), at }),
  fc.record({ do: fc.constant('keep items' as const), at }),
  fc.record({ do: fc.constant('mark items' as const), at }),
  fc.record({ do: fc.constant('join items' as const), at }),
  fc.record({ do: fc.constant('cut items' as const), at, to: fc.integer({ min: -4, max: 6 }) }),
  fc.record({ do: fc.constant('take item' as const), at }),
  fc.record({ do: fc.constant('swap' as const), at, to: at }),
  fc.record({ do: fc.constant('renew item' as const), at }),
  fc.record({ do: fc.constant('note item' as const), name, at }),
  fc.record({ do: fc.constant('count while walking' as const), at }),
  fc.record({ do: fc.constant('list names' as const) }),
  fc.record({ do: fc.constant('copy names' as const), name, value }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function apply(doc: Doc, steps: readonly Step[]): void {
  for (const each of steps) {
    if (each.do === 'push') doc.list.push(each.value);
    else if (each.do === 'insert') doc.list.splice(each.at, 0, each.value);
    else if (each.do === 'remove') doc.list.splice(each.at, 1);
    else if (each.do === 'shift') doc.list.shift();
    else if (each.do === 'replace' && each.at < doc.list.length) doc.list[each.at] = each.value;
    else if (each.do === 'name') doc.byName[each.name] = each.value;
    else if (each.do === 'forget') delete doc.byName[each.name];
    else if (each.do === 'reverse') doc.items.reverse();
    else if (each.do === 'add item') doc.items.push({ n: each.at, tags: [] });
    else if (each.do === 'count') for (const item of doc.items.slice(0, each.at)) item.n += 1;
    else if (each.do === 'count while walking') countWhileWalking(doc, each.at);
    else if (each.do === 'spread items') respread(doc, each.at);
    else if (each.do === 'keep items') doc.items = doc.items.filter(({ n }) => n !== each.at);
    else if (each.do === 'mark items') doc.items = doc.items.map((item) => ({ ...item, n: item.n + each.at }));
    else if (each.do === 'join items') doc.items = doc.items.concat({ n: each.at, tags: [] });
    else if (each.do === 'cut items') doc.items = doc.items.slice(each.at - 3, each.to);
    else if (each.do === 'take item') doc.items.push(...doc.items.splice(each.at, 1));
    else if (each.do === 'swap') swap(doc.items, each.at, each.to);
    else if (each.do === 'renew item') renew(doc.items, each.at);
    else if (each.do === 'note item') doc.byName[each.name] = doc.items[each.at]?.tags;
    else if (each.do === 'list names') doc.list.push(Object.keys(doc.byName).sort());
    else if (each.do === 'copy names') doc.byName = { ...doc.byName, [each.name]: each.value };
    else if (each.do === 'tag') doc.items[each.at]?.tags.push(each.name);
  }
}

/** What was passed on is still the item: a change made to it afterwards is seen where it went. */
function respread(doc: Doc, at: number): void {
  const first = doc.items[0];
  doc.items = [{ n: at, tags: [] }, ...doc.items];
  if (first !== undefined) first.n += 1;
}

/** The list grows and shrinks under the walk. */
function countWhileWalking(doc: Doc, at: number): void {
  doc.items.forEach((item, index, all) => {
    item.n += all.length;
    if (index === at) all.pop();
    if (index === at + 1) all.push({ n: index, tags: [] });
  });
}

/** Another takes its place; what is done to either afterwards is seen where it is by then. */
function renew(items: Doc['items'], at: number): void {
  const old = items[at];
  if (old === undefined) return;
  items[at] = { n: old.n + 1, tags: [] };
  items[at]?.tags.push('new');
  old.n = 7;
  if (at > 1) items.push(old);
}

function swap(items: Doc['items'], one: number, other: number): void {
  const [a, b] = [items[one], items[other]];
  if (a === undefined || b === undefined) return;
  items[one] = b;
  items[other] = a;
}

const doc = fc.record({
  list: fc.array(value, { maxLength: 5 }),
  byName: fc.dictionary(name, value),
  items: fc.array(fc.record({ n: fc.nat(9), tags: fc.array(name, { maxLength: 2 }) }), { maxLength: 4 }),
});

function fail(key: string | symbol): never {
  return expect.fail(`${String(key)} was looked at`);
}

describe('changesBy', () => {
  test('finds what a plain document would become, and leaves the old one alone', () => {
    fc.assert(
      fc.property(doc, fc.array(step, { maxLength: 8 }), (made, steps) => {
        const before = deepFreeze(JSON.parse(JSON.stringify(made))) as Doc;
        const wanted = structuredClone(before) as Doc;
        apply(wanted, structuredClone(steps) as Step[]);
        const patch = changesBy(
          before,
          (draft) => apply(draft as Doc, structuredClone(steps) as Step[]),
          undefined,
          '',
        );
        expect(JSON.parse(JSON.stringify(applyPatch(before, patch)))).toEqual(JSON.parse(JSON.stringify(wanted)));
      }),
      { numRuns: 2_000 },
    );
  });

  test('a recipe may return what it has made of the draft, be it changed or not', () => {
    fc.assert(
      fc.property(doc, fc.array(step, { maxLength: 6 }), fc.array(step, { maxLength: 3 }), (made, steps, later) => {
        const before = deepFreeze(JSON.parse(JSON.stringify(made))) as Doc;
        const make = (doc: Doc) => {
          apply(doc, structuredClone(steps) as Step[]);
          const next = { ...doc, list: [...doc.list, 'new'], items: [...doc.items.slice(1), ...doc.items] };
          apply(doc, structuredClone(later) as Step[]);
          return next;
        };
        const wanted = make(structuredClone(before) as Doc);
        const patch = changesBy(before, (draft) => make(draft as Doc), undefined, '');
        expect(JSON.parse(JSON.stringify(applyPatch(before, patch)))).toEqual(JSON.parse(JSON.stringify(wanted)));
      }),
      { numRuns: 2_000 },
    );
  });

  test('a list answers every method that reads it as a plain list does', () => {
    const ways: ((items: Doc['items']) => unknown)[] = [
      (items) => items.map(({ n }, index, all) => [n, index, all.length]),
      (items) => items.filter(({ n }) => n % 2 === 1).map(({ n }) => n),
      (items) => [items.some(({ n }) => n > 8), items.every(({ n }) => n < 8)],
      (items) => [items.find(({ n }) => n > 3)?.n, items.findIndex(({ n }) => n > 3)],
      (items) => [
        items.lastIndexOf(items[0] as Doc['items'][0]),
        items.at(-1)?.n,
        items.includes(items[0] as Doc['items'][0]),
      ],
      (items) => items.reduce((sum, { n }) => sum + n, 0),
      (items) => [items.slice(-2), items.slice(1, -1), items.slice(3, 1), items.slice(), items.slice(9)],
      (items) => items.concat(items, [{ n: 1, tags: [] }]),
      (items) => [[...items], Array.from(items), [...items.values()], [...items.entries()], [...items.keys()]],
      (items) => items.flatMap(({ tags }) => tags),
      (items) =>
        items.map(
          function (this: { by: number }, { n }) {
            return n * this.by;
          },
          { by: 2 },
        ),
    ];
    fc.assert(
      fc.property(doc, fc.array(step, { maxLength: 4 }), (made, steps) => {
        const before = deepFreeze(JSON.parse(JSON.stringify(made))) as Doc;
        const plain = structuredClone(before) as Doc;
        apply(plain, structuredClone(steps) as Step[]);
        changesBy(
          before,
          (draft) => {
            apply(draft as Doc, structuredClone(steps) as Step[]);
            for (const way of ways)
              expect(JSON.stringify(way((draft as Doc).items))).toBe(JSON.stringify(way(plain.items)));
          },
          undefined,
          '',
        );
      }),
      { numRuns: 500 },
    );
  });

  test('the same child is the same draft, however it is come by', () => {
    const before = { items: [{ n: 0 }, { n: 1 }] };
    const look = ({ items }: typeof before) => {
      const [first, second] = items;
      expect([items[0], items.at(0), items.find(({ n }) => n === 0), items.slice()[0]]).toSatisfy((all: unknown[]) =>
        all.every((one) => one === first),
      );
      expect(items.indexOf(second as { n: number })).toBe(1);
      items.unshift({ n: 9 });
      expect(items[1] === first && items[2] === second).toBe(true);
      expect(items.map((item) => item)[2] === second).toBe(true);
    };
    changesBy(before, (draft) => look(draft as typeof before), undefined, '');
  });

  test('an object that stands in two places is changed in the one that was written to', () => {
    const shared = { n: 1 };
    const before = { a: shared, b: shared, list: [shared, shared] };
    const change = (doc: typeof before) => {
      (doc.list[0] as { n: number }).n += 1;
      doc.b.n = (doc.list[1] as { n: number }).n + 10;
    };
    const patch = changesBy(before, (draft) => change(draft as typeof before), undefined, '');
    expect(applyPatch(before, patch)).toEqual({ a: { n: 1 }, b: { n: 11 }, list: [{ n: 2 }, { n: 1 }] });
  });

  test('a returned list keeps the very objects that nothing was done to, and what is no draft', () => {
    const before = { items: [{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }] as unknown[] };
    const next = (items: unknown[]) => {
      (items[1] as { n: number }).n = 5;
      return { items: [items[0], items[2], undefined, items[1], null, 7, { of: items[0] }] };
    };
    const patch = changesBy(before, (draft) => next((draft as typeof before).items), undefined, '');
    const after = applyPatch(before, patch) as typeof before;
    expect(after.items).toEqual([{ n: 0 }, { n: 2 }, undefined, { n: 5 }, null, 7, { of: { n: 0 } }]);
    expect(after.items[0]).toBe(before.items[0]);
    expect((after.items[6] as { of: unknown }).of).toBe(before.items[0]);
    expect(before.items[1]).toEqual({ n: 1 });
  });

  test('spreading a long list to add to it says only what was added', () => {
    const before = { list: Array.from({ length: 10_000 }, (_, n) => ({ n })), n: 1 };
    const add = (doc: typeof before) => ({ ...doc, list: [...doc.list, { n: -1 }] });
    const patch = changesBy(before, (draft) => add(draft as typeof before), undefined, '');
    expect(patch).toEqual([{ op: 'add', path: '/list/-', value: { n: -1 } }]);
  });

  test('an append says only what was appended, however long the list', () => {
    const before = { list: Array.from({ length: 10_000 }, (_, n) => ({ n })) };
    const patch = changesBy(
      before,
      (draft) => void (draft as typeof before).list.push({ n: 1 }, { n: 2 }),
      undefined,
      '',
    );
    expect(patch).toEqual([
      { op: 'add', path: '/list/-', value: { n: 1 } },
      { op: 'add', path: '/list/-', value: { n: 2 } },
    ]);
  });

  test('a recipe may change more than a call takes arguments', () => {
    const fill = ({ list, byId }: { list: number[]; byId: Record<string, number> }) => {
      for (let n = 0; n < 200_000; n++) list.push(n);
      byId.a = 1;
    };
    const patch = changesBy(
      { list: [], byId: {} },
      (draft) => fill(draft as Parameters<typeof fill>[0]),
      undefined,
      '',
    );
    expect(patch).toHaveLength(200_001);
  });

  test('a change in the middle of a list says only what was changed, and looks at nothing else', () => {
    const target = [{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }];
    const list = new Proxy(target, {
      get: (items, key) =>
        ['1', '2', '3', 'length', 'at', 'push'].includes(String(key)) ? Reflect.get(items, key) : fail(key),
      ownKeys: () => fail('the keys'),
    });
    const patch = changesBy(
      { list },
      (draft) => {
        const { list } = draft as { list: { n: number }[] };
        list[1] = { n: 11 };
        const third = list.at(3) as { n: number };
        list[3] = { ...(list[2] as { n: number }), n: third.n + (list[1]?.n ?? 0) };
        third.n = -1;
        list.push({ n: 5 });
        expect([list[1], list.at(3), list.length]).toEqual([{ n: 11 }, { n: 14 }, 6]);
      },
      undefined,
      '',
    );
    expect(applyPatch({ list: target }, patch)).toEqual({
      list: [{ n: 0 }, { n: 11 }, { n: 2 }, { n: 14 }, { n: 4 }, { n: 5 }],
    });
    expect(patch).toHaveLength(3);
  });

  test('a change to a record says only what was changed, and looks at nothing else', () => {
    const target = { a: { n: 1 }, b: { n: 2 }, c: { n: 3 } };
    const byId = new Proxy(target, { ownKeys: () => expect.fail('was looked through') });
    const patch = changesBy(
      { byId },
      (draft) => {
        const { byId } = draft as { byId: Record<string, { n: number }> };
        byId.new = { n: 4 };
        byId.b = { n: (byId.a?.n ?? 0) + 4 };
        delete byId.c;
        delete byId.never;
        Object.assign(byId.a ?? {}, { n: 6 });
        expect([byId.new?.n, byId.b?.n, 'c' in byId, byId.c, byId.a?.n]).toEqual([4, 5, false, undefined, 6]);
      },
      undefined,
      '',
    );
    expect(applyPatch({ byId: target }, patch)).toEqual({ byId: { a: { n: 6 }, b: { n: 5 }, new: { n: 4 } } });
    expect(patch).toHaveLength(4);
  });

  test('a recipe may return the next document instead', () => {
    const before = { n: 1, keep: [1, 2] };
    expect(changesBy(before, () => ({ ...before, n: 2 }), undefined, '')).toEqual([
      { op: 'replace', path: '/n', value: 2 },
    ]);
  });

  test('a draft is of no use after its recipe', () => {
    let kept: { n: number } | undefined;
    const keep = (draft: unknown) => {
      kept = draft as { n: number };
    };
    changesBy({ n: 1 }, keep, undefined, '');
    expect(() => kept?.n).toThrow('after its recipe has returned');
  });

  test('nor is what was got from it, even if it was never looked into', () => {
    const kept: { [key: string]: unknown }[] = [];
    let rest: Iterator<unknown> | undefined;
    const keep = ({ items }: { items: { n: number }[] }) => {
      kept.push(...items);
      rest = items[Symbol.iterator]();
    };
    changesBy({ items: [{ n: 1 }] }, (draft) => keep(draft as { items: { n: number }[] }), undefined, '');
    const over = 'after its recipe has returned';
    const [item] = kept;
    expect(() => item?.n).toThrow(over);
    expect(() => Object.keys(item ?? {})).toThrow(over);
    expect(() => Object.assign(item ?? {}, { n: 2 })).toThrow(over);
    expect(() => delete item?.n).toThrow(over);
    expect(() => rest?.next()).toThrow(over);
    expect(() => changesBy({ n: 1 }, () => ({ item }), undefined, '')).toThrow(over);
  });
});
