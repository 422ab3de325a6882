/** What a caller gives, as values that are frozen, JSON, and nobody else's. */
import { type Artifact, ArtifactSchema } from '../../schemas/index.js';
import { InvalidValueError, type ValueIssue } from '../errors.js';
import { frozenJson, type NotJson } from '../internal/json.js';
import type { PatchOperation } from '../internal/patch.js';
import { valueIssues } from '../internal/value-issues.js';
import type { SessionRecord } from './record.js';

/** The artifact as the session keeps it. Throws `InvalidValueError`. */
export function ownArtifact(artifact: unknown): Artifact {
  const checked = ArtifactSchema.safeParse(artifact);
  if (!checked.success) throw new InvalidValueError('artifact', valueIssues(checked.error.issues, artifact));
  const issues: ValueIssue[] = [];
  const own = frozenJson(checked.data, (problem) => issues.push(notJson(problem)));
  if (issues.length > 0) throw new InvalidValueError('artifact', issues);
  return own as Artifact;
}

/** A change of the state with values as the session keeps them. Throws `InvalidValueError` for what is not JSON. */
export function ownChange(record: SessionRecord, patch: readonly PatchOperation[]): PatchOperation[] {
  const issues: ValueIssue[] = [];
  const own = patch.map((operation, index) => {
    if (operation.op === 'remove') return operation;
    const value = frozenJson(operation.value, (problem) => {
      issues.push(notJson(problem, pathOf(record, patch.slice(0, index + 1))));
    });
    return { ...operation, value };
  });
  if (issues.length > 0) throw new InvalidValueError('state', issues);
  return own;
}

function notJson({ path, received }: NotJson, base = ''): ValueIssue {
  return { path: [base, path].filter((part) => part !== '').join('.'), expected: 'a JSON value', received };
}

/** Where in the state the last of the operations puts its value; one that appends says so by its index. */
function pathOf(record: SessionRecord, patch: readonly PatchOperation[]): string {
  const pointer = patch.at(-1)?.path ?? '';
  const keys = parsePointer(pointer);
  if (keys.at(-1) === '-') {
    let list: unknown = record;
    for (const key of keys.slice(0, -1)) list = (list as Record<string, unknown>)[key];
    const appended = patch.filter(({ path }) => path === pointer).length;
    keys.splice(-1, 1, String((list as unknown[]).length + appended - 1));
  }
  return keys.slice(1).join('.');
}

function parsePointer(pointer: string): string[] {
  const segments = pointer.split('/').slice(1);
  return segments.map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The caller's lists and records as they are now; everything else is left to be judged later. */
export function snapshot<T>(value: T, copies = new Map<unknown, unknown>()): T {
  if (typeof value !== 'object' || value === null) return value;
  const known = copies.get(value);
  if (known !== undefined) return known as T;
  const isRecord = Object.getPrototypeOf(value) === Object.prototype;
  if (!isRecord && !Array.isArray(value)) return value;
  const copy: unknown = Array.isArray(value) ? [...value] : { ...value };
  copies.set(value, copy);
  for (const [key, part] of Object.entries(copy as object)) {
    Object.defineProperty(copy, key, { value: snapshot(part, copies) });
  }
  return copy as T;
}
