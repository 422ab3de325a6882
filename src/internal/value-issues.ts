import type { ValueIssue } from '../errors.js';

/** What a Zod issue has that we use, whichever copy of Zod made it. */
interface SchemaIssue {
  readonly code: string;
  readonly message: string;
  readonly path: readonly (string | number)[];
  readonly expected?: unknown;
}

/** What a schema found wrong, said as: where, what was expected, what came. The value itself is never repeated. */
export function valueIssues(issues: readonly SchemaIssue[], value: unknown, prefix = ''): ValueIssue[] {
  return issues.map((issue) => ({
    path: [prefix, ...issue.path].filter((part) => part !== '').join('.'),
    expected: issue.code === 'invalid_type' ? String(issue.expected) : expectation(issue),
    received: describe(valueAt(value, issue.path)),
  }));
}

function expectation({ code, message }: SchemaIssue): string {
  return code === 'custom' && message === 'Invalid input'
    ? 'a value the schema accepts'
    : `a value for which this is not so: ${message}`;
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  let at = value;
  for (const key of path)
    at = typeof at === 'object' && at !== null ? (at as Record<string | number, unknown>)[key] : undefined;
  return at;
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return typeof value;
}
