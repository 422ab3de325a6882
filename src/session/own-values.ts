/** What a caller gives, as values that are frozen, JSON, and nobody else's. */
import { type Artifact, ArtifactSchema } from '../../schemas/index.js';
import { type AgentFlowError, InvalidValueError, type ValueIssue } from '../errors.js';
import { frozenJson, type NotJson } from '../internal/json.js';
import type { PatchOperation } from '../internal/patch.js';
import { valueIssues } from '../internal/value-issues.js';
import { deepestWalk, isContainer, shallowCopy, write } from './containers.js';
import type { SessionRecord } from './record.js';

/** The artifact as the session keeps it. Throws `InvalidValueError`. */
export function ownArtifact(artifact: unknown): Artifact {
  const checked = ArtifactSchema.safeParse(artifact);
  if (!checked.success) throw new InvalidValueError('artifact', valueIssues(checked.error.issues, artifact));
  return ownJson(checked.data, (issues) => new InvalidValueError('artifact', issues)) as Artifact;
}

/** The value as frozen JSON. Throws the error that `refusal` makes of what is not JSON. */
export function ownJson(value: unknown, refusal: (issues: readonly ValueIssue[]) => AgentFlowError): unknown {
  const issues: ValueIssue[] = [];
  const own = frozenJson(value, (problem) => issues.push(notJson(problem)));
  if (issues.length > 0) throw refusal(issues);
  return own;
}

/** A change of the state with values as the session keeps them. Throws `InvalidValueError` for what is not JSON. */
export function ownChange(record: SessionRecord, patch: readonly PatchOperation[]): PatchOperation[] {
  const issues: ValueIssue[] = [];
  const own = patch.map((operation, index) => {
    if (operation.op === 'remove') return operation;
    const tell = (problem: NotJson) => {
      issues.push(notJson(problem, pathOf(record, patch.slice(0, index + 1))));
    };
    // A state that grows deeper by many small changes could not be read back any more than one that is so at once.
    const value = frozenJson(operation.value, tell, undefined, levelsAbove(operation.path));
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

/** How many levels of the state there are around what stands at this place. */
function levelsAbove(pointer: string): number {
  return parsePointer(pointer).length - 1;
}

function parsePointer(pointer: string): string[] {
  const segments = pointer.split('/').slice(1);
  return segments.map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/**
 * The caller's lists and records as they are now; everything else, and what is nested too deeply, is left to be judged later.
 *
 * @param known deep-frozen; what stands in both at the same place needs no copy
 */
export function snapshot<T>(value: T, known?: unknown): T {
  return copyOf(value, known, new Map(), 0) as T;
}

function copyOf(value: unknown, known: unknown, copies: Map<unknown, unknown>, level: number): unknown {
  if (!isContainer(value) || value === known || level > deepestWalk) return value;
  const made = copies.get(value);
  if (made !== undefined) return made;
  const copy = shallowCopy(value);
  copies.set(value, copy);
  const before = isContainer(known) ? known : undefined;
  if (Array.isArray(copy)) {
    const items = Array.isArray(before) ? before : [];
    for (let index = 0; index < copy.length; index++) {
      // A list that was spread is the same but for its end: nothing is called for what is.
      if (!Object.is(copy[index], items[index])) copy[index] = copyOf(copy[index], items[index], copies, level + 1);
    }
  } else {
    for (const key of Object.keys(copy)) {
      const was = before !== undefined && Object.hasOwn(before, key) ? Reflect.get(before, key) : undefined;
      write(copy, key, copyOf(Reflect.get(copy, key), was, copies, level + 1));
    }
  }
  return copy;
}
