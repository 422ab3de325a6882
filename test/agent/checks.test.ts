import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { assertOneOf, assertWhole, assertZod3, checked, tryParse } from '../../src/agent/checks.js';

describe('a value against its schema', () => {
  it('is what the schema makes of it', () => {
    const schema = z.object({ n: z.coerce.number(), s: z.string().default('x') });
    expect(checked(schema, { n: '5', more: true }, 'input')).toEqual({ n: 5, s: 'x' });
  });

  it('is a copy where it is an object, and itself where it is not', () => {
    const value = { a: { b: 1 } };
    const schema = z.object({ a: z.object({ b: z.number() }) });
    const own = checked(schema, value, 'input');
    expect(own).toEqual(value);
    expect([own === value, own.a === value.a]).toEqual([false, false]);
    for (const scalar of ['', 0, true, undefined]) expect(checked(z.unknown(), scalar, 'chunk')).toBe(scalar);
  });

  it('is refused with its kind and every issue', () => {
    const schema = z.object({ a: z.string(), b: z.array(z.number()) });
    expect(() => checked(schema, { a: 1, b: ['x'] }, 'chunk')).toThrow(
      expect.objectContaining({
        kind: 'chunk',
        issues: [
          { path: 'a', expected: 'string', received: 'number' },
          { path: 'b.0', expected: 'number', received: 'string' },
        ],
        message: 'Invalid chunk: at "a" expected string, got number; at "b.0" expected number, got string',
      }),
    );
  });

  it('is judged by what was thrown when a schema throws', () => {
    const cause = new TypeError('broken');
    const schema = z.unknown().transform(() => {
      throw cause;
    });
    expect(() => tryParse(schema, 1)).toThrow(expect.objectContaining({ code: 'INVALID_SCHEMA', cause }));
    expect(tryParse(z.string(), 1).success).toBe(false);
  });
});

describe('options', () => {
  it('schemas are Zod 3, or absent', () => {
    assertZod3(undefined, 'inputSchema');
    for (const schema of [z.string(), z.object({}).optional(), z.lazy(() => z.string())])
      assertZod3(schema, 'inputSchema');
    expect(() => assertZod3({ _zod: {} }, 'inputSchema')).toThrow(/Zod 4/);
    expect(() => assertZod3('text', 'inputSchema')).toThrow(/not a Zod schema.*string/);
  });

  it('whole numbers are within their bounds, or absent', () => {
    for (const value of [undefined, 1, 5, 10]) assertWhole(value, 'n', 1, 10);
    assertWhole(Number.MAX_SAFE_INTEGER, 'n', 1);
    for (const value of [0, 11, 1.5, '5', null, Number.NaN, 5n]) {
      expect(() => assertWhole(value, 'n', 1, 10)).toThrow(
        expect.objectContaining({
          issues: [{ path: 'n', expected: 'a whole number from 1 to 10', received: String(value) }],
        }),
      );
    }
    expect(() => assertWhole(-1, 'n', 0)).toThrow(/a whole number of at least 0, got -1/);
  });

  it('words are among those there are, or absent', () => {
    for (const value of [undefined, 'a', 'b']) assertOneOf(value, 'word', ['a', 'b']);
    for (const [value, received] of [
      ['c', '"c"'],
      ['', '""'],
      [5, 'number'],
      [null, 'object'],
    ]) {
      expect(() => assertOneOf(value, 'word', ['a', 'b'])).toThrow(
        expect.objectContaining({ issues: [{ path: 'word', expected: 'one of a, b', received }] }),
      );
    }
  });
});
