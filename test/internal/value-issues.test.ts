import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { valueIssues } from '../../src/internal/value-issues.js';

function issues(schema: z.ZodTypeAny, value: unknown, prefix?: string) {
  const result = schema.safeParse(value);
  return result.success ? [] : valueIssues(result.error.issues, value, prefix);
}

const nested = z.object({ list: z.array(z.object({ n: z.number() })) });

const cases: readonly (readonly [z.ZodTypeAny, unknown, path: string, expected: string, received: string])[] = [
  [z.string(), 5, '', 'string', 'number'],
  [z.string(), undefined, '', 'string', 'undefined'],
  [z.string(), null, '', 'string', 'null'],
  [z.object({}), [], '', 'object', 'array'],
  [z.number(), Number.NaN, '', 'number', 'NaN'],
  [z.array(z.string()), {}, '', 'array', 'object'],
  [nested, { list: [{ n: 1 }, { n: '2' }] }, 'list.1.n', 'number', 'string'],
  [nested, { list: [{}] }, 'list.0.n', 'number', 'undefined'],
  [z.literal('yes'), 'no', '', '"yes"', 'string'],
  [z.enum(['a', 'b']), 'c', '', 'one of "a", "b"', 'string'],
  [z.nativeEnum({ A: 1 } as const), 2, '', 'one of 1', 'number'],
  [z.union([z.string(), z.number()]), true, '', 'a value that fits one of the alternatives', 'boolean'],
  [z.string().max(2), 'abc', '', 'a value the schema accepts (String must contain at most 2 character(s))', 'string'],
  [z.string().email(), 'abc', '', 'a value the schema accepts (Invalid email)', 'string'],
  [z.string().refine(() => false), 'abc', '', 'a value the schema accepts', 'string'],
  [z.string().refine(() => false, 'try harder'), 'abc', '', 'a value the schema accepts (try harder)', 'string'],
];

describe('what a schema found wrong', () => {
  it.each(cases)('%#: is said as where, what was expected and what came', (schema, value, path, expected, received) => {
    expect(issues(schema, value)).toEqual([{ path, expected, received }]);
  });

  it('names every issue, below the prefix', () => {
    const schema = z.object({ a: z.string(), b: z.number() });
    expect(issues(schema, { a: 1 }, 'at.0')).toEqual([
      { path: 'at.0.a', expected: 'string', received: 'number' },
      { path: 'at.0.b', expected: 'number', received: 'undefined' },
    ]);
  });

  it('says whose alternatives a discriminator has', () => {
    const schema = z.discriminatedUnion('type', [
      z.object({ type: z.literal('a') }),
      z.object({ type: z.literal('b') }),
    ]);
    expect(issues(schema, { type: 'c' })).toEqual([
      { path: 'type', expected: expect.stringContaining("'a' | 'b'"), received: 'string' },
    ]);
  });

  it('never repeats the value', () => {
    const secret = 'hunter2';
    const schemas = [
      z.enum(['a', 'b']),
      z.literal('a'),
      z.number(),
      z.string().max(3),
      z.string().email(),
      z.string().url(),
      z.string().regex(/^a$/),
      z.string().startsWith('b'),
      z.string().datetime(),
      z.union([z.literal('a'), z.enum(['b'])]),
      z.discriminatedUnion('type', [z.object({ type: z.literal('a') })]),
      z.record(z.enum(['a']), z.number()),
      z.date(),
      z.never(),
    ];
    for (const schema of schemas) {
      for (const value of [secret, { type: secret }, { a: secret }, [secret]]) {
        expect(JSON.stringify(issues(schema, value))).not.toContain(secret);
      }
    }
  });
});
