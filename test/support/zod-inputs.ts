/** Values for a schema: mostly what it takes, now and then something it does not. */
import fc from 'fast-check';
import type { z } from '../../schemas/zod.js';

/** Keys that are dangerous for whoever is careless with objects, pointers or paths. */
export const hostileKeys = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '',
  '0',
  '-',
  'a/b',
  '~',
  '~1',
  'x.y',
  'é\u0000',
];

const key = fc.oneof(fc.constantFrom(...hostileKeys), fc.constantFrom('a', 'b', 'c'));

const number = fc.oneof(fc.integer({ min: -3, max: 9 }), fc.double({ noNaN: true, noDefaultInfinity: true }));

/** Any JSON, small, with hostile keys. */
export const json: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, true, false, '', 0, 'text'),
    number,
    fc.string({ maxLength: 4 }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map((entries) => Object.fromEntries(entries)),
  ),
})).value;

/** What a caller might hand to the schema. Wrong in about one place of twenty. */
export function inputFor(schema: z.ZodTypeAny, depth = 0): fc.Arbitrary<unknown> {
  const { _def: def } = schema;
  const inner = (child: z.ZodTypeAny) => inputFor(child, depth + 1);
  const right = (): fc.Arbitrary<unknown> => {
    switch (def.typeName) {
      case 'ZodString':
        return fc.oneof(fc.string({ maxLength: 5 }), fc.constantFrom('', 'text'));
      case 'ZodNumber':
        return number;
      case 'ZodBoolean':
        return fc.boolean();
      case 'ZodNull':
        return fc.constant(null);
      case 'ZodLiteral':
        return fc.constant(def.value);
      case 'ZodEnum':
        return fc.constantFrom(...def.values);
      case 'ZodArray':
        return depth > 3 ? fc.constant([]) : fc.array(inner(def.type), { maxLength: 4 });
      case 'ZodTuple':
        return fc.tuple(...def.items.map(inner));
      case 'ZodRecord':
        return fc.array(fc.tuple(key, inner(def.valueType)), { maxLength: 4 }).map((all) => Object.fromEntries(all));
      case 'ZodObject':
        return objectFor(def.shape(), inner);
      case 'ZodUnion':
        return fc.oneof(...def.options.map(inner));
      case 'ZodDiscriminatedUnion':
        return fc.oneof(...[...def.options].map(inner));
      case 'ZodIntersection':
        return fc.tuple(inner(def.left), inner(def.right)).map(([a, b]) => ({ ...(a as object), ...(b as object) }));
      case 'ZodNullable':
        return fc.option(inner(def.innerType), { nil: null });
      case 'ZodOptional':
      case 'ZodDefault':
      case 'ZodCatch':
      case 'ZodReadonly':
        return inner(def.innerType);
      case 'ZodBranded':
        return inner(def.type);
      case 'ZodEffects':
        return inner(def.schema);
      case 'ZodPipeline':
        return inner(def.in);
      case 'ZodLazy':
        return inputFor(def.getter(), depth + 1);
      default:
        return json;
    }
  };
  return fc.oneof({ weight: 24, arbitrary: right() }, { weight: 1, arbitrary: json });
}

/** Members may be missing where they may be, and now and then where not; now and then there is one too many. */
function objectFor(
  shape: Record<string, z.ZodTypeAny>,
  inner: (child: z.ZodTypeAny) => fc.Arbitrary<unknown>,
): fc.Arbitrary<unknown> {
  const members = Object.entries(shape).map(([name, child]) =>
    fc
      .tuple(fc.integer({ min: 0, max: child.isOptional() ? 2 : 30 }), inner(child))
      .map(([dice, value]): [string, unknown][] => (dice === 0 ? [] : [[name, value]])),
  );
  const extra = fc.oneof(
    { weight: 5, arbitrary: fc.constant<[string, unknown][]>([]) },
    { weight: 1, arbitrary: fc.tuple(key, json).map((entry): [string, unknown][] => [entry]) },
  );
  return fc.tuple(extra, ...members).map((groups) => Object.fromEntries(groups.flat()));
}
