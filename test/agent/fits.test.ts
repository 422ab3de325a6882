import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { fits } from '../../src/agent/fits.js';

interface Tree {
  name: string;
  children: Tree[];
}

const Tree: z.ZodType<Tree> = z.lazy(() => z.object({ name: z.string(), children: z.array(Tree) }));
const Message = z.object({
  role: z.enum(['user', 'model']),
  content: z.array(
    z.union([
      z.object({ text: z.string(), media: z.never().optional() }),
      z.object({ data: z.unknown() }).passthrough(),
    ]),
  ),
  metadata: z.record(z.unknown()).optional(),
});

/** Schemas with what they take as it is. */
const fitting: [string, z.ZodTypeAny, unknown][] = [
  ['a message', Message, { role: 'user', content: [{ text: 'hi' }], metadata: { a: [1, null] } }],
  ['a part that only the second alternative takes', Message, { role: 'model', content: [{ data: 1, more: true }] }],
  ['a tree', Tree, { name: 'root', children: [{ name: 'leaf', children: [] }] }],
  ['a member that may be missing', z.object({ a: z.string().optional(), b: z.unknown() }), {}],
  ['a value for which there is a default', z.object({ list: z.array(z.number()).default([]) }), { list: [1] }],
  ['null where it may be', z.object({ a: z.string().nullable() }), { a: null }],
  ['a number within its bounds', z.number().int().positive(), 3],
  ['a list within its bounds', z.array(z.string()).min(1).max(2), ['a']],
  ['a kind of several', z.discriminatedUnion('k', [z.object({ k: z.literal('a'), n: z.number() })]), { k: 'a', n: 1 }],
  ['what is branded', z.string().brand<'Id'>(), 'id'],
  ['what is strict about its keys', z.object({ a: z.number() }).strict(), { a: 1 }],
];

/** Schemas with what they refuse, what they would change, and what is for them alone to judge. */
const unfit: [string, z.ZodTypeAny, unknown][] = [
  ['of another type', z.string(), 1],
  ['not a number', z.number(), Number.NaN],
  ['a member that is missing', z.object({ a: z.string() }), {}],
  ['the same where other keys may stay', z.object({ a: z.string() }).passthrough(), { b: 1 }],
  ['a member that must not be there', z.object({ a: z.never().optional() }), { a: 1 }],
  ['a default that is to be filled in', z.object({ a: z.string().default('x') }), {}],
  ['a key that is to be dropped', z.object({}), { a: 1 }],
  ['a key too many', z.object({}).strict(), { a: 1 }],
  ['a key for the catchall', z.object({}).catchall(z.number()), { a: 1 }],
  ['a key Zod drops from everything', z.record(z.unknown()), JSON.parse('{ "__proto__": 1 }')],
  ['that key where others may stay', z.object({}).passthrough(), JSON.parse('{ "__proto__": 1 }')],
  ['a member Zod finds in every object', z.object({ toString: z.unknown() }), {}],
  ['text that is to be trimmed', z.string().trim(), ' a '],
  ['a number that is to be made of text', z.coerce.number(), '1'],
  ['what is refined', z.object({ a: z.string() }).refine(() => true), { a: '' }],
  ['what is transformed', z.string().transform((text) => text), ''],
  ['what is caught', z.string().catch('x'), 'y'],
  ['a list too short', z.array(z.string()).nonempty(), []],
  ['a list too long', z.array(z.string()).length(1), ['a', 'b']],
  ['an alternative before it that may change it', z.union([z.object({}), z.object({ a: z.number() })]), { a: 1 }],
  ['a kind there is not', z.discriminatedUnion('k', [z.object({ k: z.literal('a') })]), { k: 'b' }],
  ['a date', z.object({}).passthrough(), new Date(0)],
  ['an object of a class', z.record(z.unknown()), new (class Own {})()],
  ['a list where a record is asked for', z.record(z.unknown()), []],
];

describe('a quick look', () => {
  it.each(fitting)('lets through %s', (_, schema, value) => {
    expect(fits(schema, value)).toBe(true);
    expect(schema.parse(value)).toEqual(value);
  });

  it.each(unfit)('leaves to the schema %s', (_, schema, value) => {
    expect(fits(schema, value)).toBe(false);
  });

  it('leaves what throws to who asks the schema', () => {
    const broken = z.string({
      errorMap: () => {
        throw new TypeError('no words');
      },
    });
    expect(fits(broken.min(1), 7)).toBe(false);
    let deep: unknown[] = [];
    for (let level = 0; level < 100_000; level++) deep = [deep];
    const Nested: z.ZodTypeAny = z.lazy(() => z.array(Nested));
    expect(fits(Nested, deep)).toBe(false);
  });

  it('copies nothing and looks at every item', () => {
    const list = z.array(z.object({ n: z.number() }));
    const values = Array.from({ length: 10_000 }, (_, n) => ({ n }));
    expect(fits(list, values)).toBe(true);
    expect(fits(list, [...values, { n: 'x' }])).toBe(false);
  });
});
