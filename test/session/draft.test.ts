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
    else if (each.do === 'tag') doc.items[each.at]?.tags.push(each.name);
  }
}

const doc = fc.record({
  list: fc.array(value, { maxLength: 5 }),
  byName: fc.dictionary(name, value),
  items: fc.array(fc.record({ n: fc.nat(9), tags: fc.array(name, { maxLength: 2 }) }), { maxLength: 4 }),
});

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
});
