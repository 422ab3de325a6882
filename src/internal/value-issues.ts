import type { ValueIssue } from '../errors.js';

/** What a Zod issue has that we use, whichever copy of Zod made it. */
interface SchemaIssue {
  readonly code: string;
  readonly message: string;
  readonly path: readonly (string | number)[];
  readonly expected?: unknown;
  readonly options?: unknown;
}

/** What a schema found wrong, said as: where, what was expected, what came. The value itself is never repeated. */
export function valueIssues(issues: readonly SchemaIssue[], value: unknown, prefix = ''): ValueIssue[] {
  return issues.map((issue) => ({
    path: [prefix, ...issue.path].filter((part) => part !== '').join('.'),
    expected: expectation(issue),
    received: describe(valueAt(value, issue.path)),
  }));
}

function expectation({ code, message, expected, options }: SchemaIssue): string {
  if (code === 'invalid_type') return String(expected);
  if (code === 'invalid_literal') return JSON.stringify(expected);
  // The message of this one repeats what came.
  if (code === 'invalid_enum_value' && Array.isArray(options)) return `one of ${options.map(quoted).join(', ')}`;
  if (code === 'invalid_union') return 'a value that fits one of the alternatives';
  return message === 'Invalid input' ? 'a value the schema accepts' : `a value the schema accepts (${message})`;
}

function quoted(option: unknown): string {
  return JSON.stringify(option);
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
