/** Random schemas and random JSON: whatever the quick look says must be what Zod says. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { fits } from '../../src/agent/fits.js';
import { hostileKeys, inputFor, json } from '../support/zod-inputs.js';

const leaf = fc.constantFrom<() => z.ZodTypeAny>(
  () => z.string(),
  () => z.string().max(3),
  () => z.string().trim(),
  () => z.string({ errorMap: () => ({ message: 'text, please' }) }),
  () => z.coerce.string(),
  () => z.number(),
  () => z.number().int().min(0),
  () => z.number({ coerce: true }),
  () => z.boolean(),
  () => z.coerce.boolean(),
  () => z.null(),
  () => z.undefined(),
  () => z.unknown(),
  () => z.any(),
  () => z.never(),
  () => z.literal('text'),
  () => z.literal(0),
  () => z.literal(null),
  () => z.enum(['text', '']),
  () => z.nativeEnum({ text: 'text', zero: 0 }),
  () => z.date(),
  () => z.string().transform((text) => text.length),
  () => z.number().refine((n) => n >= 0),
  () => z.preprocess((value) => value ?? 'text', z.string()),
  () => z.string().pipe(z.string().max(2)),
  () => z.number().catch(1),
);

const name = fc.oneof({ weight: 4, arbitrary: fc.constantFrom('a', 'b', 'c') }, fc.constantFrom(...hostileKeys));

type Shape = Record<string, z.ZodTypeAny>;

/** An object schema of each kind there is for keys outside the shape. */
const kinds: ((shape: Shape, rest: z.ZodTypeAny) => z.ZodTypeAny)[] = [
  (shape) => z.object(shape),
  (shape) => z.object(shape).strict(),
  (shape) => z.object(shape).passthrough(),
  (shape, rest) => z.object(shape).catchall(rest),
  (shape, rest) => z.object(shape).strict().catchall(rest),
  (shape) => z.object(shape).partial(),
];

const schema = fc.letrec<{ any: z.ZodTypeAny; object: z.ZodTypeAny }>((tie) => ({
  object: fc
    .tuple(fc.constantFrom(...kinds), fc.array(fc.tuple(name, tie('any')), { maxLength: 3 }), tie('any'))
    .map(([kind, members, rest]) => kind(Object.fromEntries(members), rest)),
  any: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf.map((make) => make()),
    tie('object'),
    tie('any').map((inner) => z.array(inner)),
    fc.tuple(tie('any'), fc.nat(2), fc.nat(2)).map(([inner, least, more]) =>
      z
        .array(inner)
        .min(least)
        .max(least + more),
    ),
    fc.tuple(tie('any'), fc.nat(2)).map(([inner, length]) => z.array(inner).length(length)),
    tie('any').map((inner) => z.record(inner)),
    tie('any').map((inner) => z.record(z.enum(['a', 'b']), inner)),
    tie('any').map((inner) => z.record(z.string().max(1), inner)),
    fc.tuple(tie('any'), tie('any')).map((options) => z.union(options)),
    fc.tuple(tie('any'), tie('any')).map((items) => z.tuple(items)),
    fc.tuple(tie('object'), tie('object')).map(([left, right]) => z.intersection(left, right)),
    fc
      .tuple(tie('any'), tie('any'))
      .map(([one, other]) =>
        z.discriminatedUnion('kind', [
          z.object({ kind: z.literal('one'), one }),
          z.object({ kind: z.enum(['other', 'another']), other }).strict(),
        ]),
      ),
    tie('any').map((inner) => inner.optional()),
    tie('any').map((inner) => inner.nullable()),
    fc.tuple(tie('any'), fc.constantFrom('text', 0, null, [])).map(([inner, value]) => inner.default(value)),
    tie('any').map((inner) => inner.readonly()),
    tie('any').map((inner) => inner.brand<'B'>()),
    tie('any').map((inner) => z.lazy(() => inner)),
    tie('any').map((inner) => inner.refine((value) => value !== 'text')),
    tie('any').map((inner) => inner.catch('caught')),
  ),
})).any;

const pair = schema.chain((one) =>
  fc.tuple(fc.constant(one), fc.oneof({ weight: 3, arbitrary: inputFor(one) }, { weight: 1, arbitrary: json })),
);

/** As a store hands it out. */
function asStored(value: unknown): unknown {
  const text = JSON.stringify(value);
  return text === undefined ? null : JSON.parse(text);
}

describe('what fits', () => {
  it('is accepted by Zod and given back the same, whatever the schema', () => {
    let fitting = 0;
    fc.assert(
      fc.property(pair, ([one, input]) => {
        const value = asStored(input);
        if (!fits(one, value)) return;
        fitting += 1;
        const before = JSON.stringify(value);
        const parsed = one.safeParse(value);
        expect(parsed.success && isDeepStrictEqual(plain(parsed.data), plain(value))).toBe(true);
        expect(JSON.stringify(value)).toBe(before);
      }),
      { numRuns: 2_000 },
    );
    // The look would be of no use if it declined everything.
    expect(fitting).toBeGreaterThan(100);
  });
});

/** The same without its prototypes, which Zod gives anew. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  return new Map(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}
