/** Values against schemas. The only file that calls a user's schema, except for changes of state. */
import type { z } from '../../schemas/zod.js';
import { AgentFlowError, InvalidValueError, type ValueKind } from '../errors.js';
import { valueIssues } from '../internal/value-issues.js';
import { fits } from './fits.js';

/** The value as the schema gives it back. Throws `InvalidValueError` with every issue. */
export function checked<Schema extends z.ZodTypeAny>(
  schema: Schema,
  value: unknown,
  kind: ValueKind,
): z.output<Schema> {
  // An object is always given back as a copy, so that what its sender does to it later is not seen.
  if (typeof value !== 'object' && fits(schema, value)) return value;
  const result = tryParse(schema, value);
  if (result.success) return result.data;
  throw new InvalidValueError(kind, valueIssues(result.error.issues, value));
}

/** What the schema makes of the value. Throws `INVALID_SCHEMA` for a schema that throws, as one with async parts does. */
export function tryParse<Schema extends z.ZodTypeAny>(schema: Schema, value: unknown): ReturnType<Schema['safeParse']> {
  try {
    return schema.safeParse(value) as ReturnType<Schema['safeParse']>;
  } catch (cause) {
    throw new AgentFlowError('INVALID_SCHEMA', 'A schema threw instead of judging; schemas must be synchronous', {
      cause,
    });
  }
}

/** Refuses what is not a Zod 3 schema. A Zod 4 schema would pass through Genkit with all its checks silently off. */
export function assertZod3(schema: unknown, option: string): void {
  if (schema === undefined) return;
  const isObject = typeof schema === 'object' && schema !== null;
  if (isObject && '_zod' in schema) {
    throw new AgentFlowError(
      'INVALID_SCHEMA',
      `${option} is a Zod 4 schema; Genkit works with Zod 3: use z from 'genkit'`,
    );
  }
  if (!isObject || !('safeParse' in schema) || !('_def' in schema)) {
    throw new AgentFlowError(
      'INVALID_SCHEMA',
      `${option} is not a Zod schema: expected one made with z from 'genkit', got ${typeof schema}`,
    );
  }
}

/** Throws `InvalidValueError` unless the option is absent or a whole number from `least` to `most`. */
export function assertWhole(value: unknown, option: string, least: number, most = Number.MAX_SAFE_INTEGER): void {
  if (value === undefined) return;
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return;
  const bounds = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new InvalidValueError('option', [
    { path: option, expected: `a whole number ${bounds}`, received: String(value) },
  ]);
}

/** Throws `InvalidValueError` unless the option is absent or one of the words. */
export function assertOneOf(value: unknown, option: string, words: readonly string[]): void {
  if (value === undefined || (typeof value === 'string' && words.includes(value))) return;
  throw new InvalidValueError('option', [
    {
      path: option,
      expected: `one of ${words.join(', ')}`,
      received: typeof value === 'string' ? JSON.stringify(value) : typeof value,
    },
  ]);
}
