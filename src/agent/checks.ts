/** Values against schemas. The only file that calls a user's schema, except for changes of state. */
import type { z } from '../../schemas/zod.js';
import { AgentFlowError, InvalidValueError, type ValueKind } from '../errors.js';
import { valueIssues } from '../internal/value-issues.js';

/** The value as the schema gives it back. Throws `InvalidValueError` with every issue. */
export function checked<Schema extends z.ZodTypeAny>(
  schema: Schema,
  value: unknown,
  kind: ValueKind,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new InvalidValueError(kind, valueIssues(result.error.issues, value));
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

/** Throws `InvalidValueError` unless the option is absent or a whole number of at least `least`. */
export function assertWhole(value: unknown, option: string, least: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= least)) return;
  throw new InvalidValueError('option', [
    { path: option, expected: `a whole number of at least ${least}`, received: String(value) },
  ]);
}
