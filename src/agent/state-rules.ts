/** A state against its schema: when a session begins, when it is read back, and every time it changes. */
import type { z } from '../../schemas/zod.js';
import {
  AgentFlowError,
  InvalidValueError,
  isAgentFlowError,
  StoredStateError,
  type ValueIssue,
  type ValueKind,
} from '../errors.js';
import type { ChangeGuard } from '../internal/diff.js';
import { frozenJson } from '../internal/json.js';
import { valueIssues } from '../internal/value-issues.js';
import type { StateRules } from '../session/open-session.js';
import { checked, tryParse } from './checks.js';
import { fits } from './fits.js';

/** What an agent's configuration says of its state. */
export interface StateConfig {
  readonly schema: z.ZodTypeAny;
  readonly initialState: unknown;
  readonly migrate: ((stored: unknown) => unknown) | undefined;
}

/** The rules of one agent's state. */
export function stateRules({ schema, initialState, migrate }: StateConfig): StateRules {
  const guards = new SchemaGuards();
  return {
    create(init) {
      if (init !== undefined) return json(checked(schema, init, 'init'), 'init');
      const ownDefault = defaultOf(schema, undefined);
      if (ownDefault !== undefined) return json(ownDefault, 'init');
      if (initialState !== undefined)
        return json(
          checked(schema, typeof initialState === 'function' ? initialState() : initialState, 'init'),
          'init',
        );
      const membersDefault = defaultOf(schema, {});
      if (membersDefault !== undefined) return json(membersDefault, 'init');
      throw new AgentFlowError(
        'NO_INITIAL_STATE',
        'A new session needs a state: pass init, or give the agent initialState or stateSchema a default',
      );
    },
    async read(stored, sessionId) {
      if (fits(schema, stored)) return stored;
      const asIs = tryParse(schema, stored);
      if (asIs.success) return asIs.data;
      if (migrate === undefined) throw new StoredStateError(sessionId, valueIssues(asIs.error.issues, stored));
      const migrated = await migratedBy(migrate, stored, sessionId);
      const again = tryParse(schema, migrated);
      if (again.success) return again.data;
      throw new StoredStateError(sessionId, valueIssues(again.error.issues, migrated));
    },
    change(path, make) {
      const issues: ValueIssue[] = [];
      const patch = guards.watch(schema, path, issues, make);
      if (issues.length > 0) throw new InvalidValueError('state', issues);
      return patch;
    },
  };
}

/** What `migrate` makes of a stored state. Throws its error of ours, else `STORED_STATE_INVALID` with what it threw as cause. */
async function migratedBy(
  migrate: NonNullable<StateConfig['migrate']>,
  stored: unknown,
  sessionId: string,
): Promise<unknown> {
  try {
    return await migrate(stored);
  } catch (cause) {
    if (isAgentFlowError(cause)) throw cause;
    const issue = { path: '', expected: 'a state that migrate can read', received: 'one that it threw over' };
    throw new StoredStateError(sessionId, [issue], { cause });
  }
}

/** What a schema makes of nothing; `undefined` when it makes nothing of it, or fails over it. */
function defaultOf(schema: z.ZodTypeAny, nothing: undefined | object): unknown {
  try {
    return schema.safeParse(nothing).data;
  } catch {
    return undefined;
  }
}

function json(value: unknown, kind: ValueKind): unknown {
  const issues: ValueIssue[] = [];
  const copy = frozenJson(value, ({ path, received }) => issues.push({ path, expected: 'a JSON value', received }));
  if (issues.length > 0) throw new InvalidValueError(kind, issues);
  return copy;
}

/**
 * Guards made from Zod schemas, one for each schema, made when a change first gets there. Objects, arrays and records are
 * checked child by child, so that a change to a list of ten thousand checks one item; everything else (unions,
 * refinements, transforms) is checked as a whole.
 */
class SchemaGuards {
  readonly #guards = new WeakMap<z.ZodTypeAny, ChangeGuard>();
  #issues: ValueIssue[] = [];
  #root = '';

  watch<T>(schema: z.ZodTypeAny, root: string, issues: ValueIssue[], change: (guard: ChangeGuard) => T): T {
    this.#issues = issues;
    this.#root = root;
    return change(this.#guard(schema));
  }

  #guard(schema: z.ZodTypeAny): ChangeGuard {
    let guard = this.#guards.get(schema);
    if (guard === undefined) {
      const children = this.#children(inner(schema));
      guard = {
        accept: (value, path) => this.#accept(schema, value, path),
        ...(children === undefined ? {} : { children }),
      };
      this.#guards.set(schema, guard);
    }
    return guard;
  }

  #accept(schema: z.ZodTypeAny, value: unknown, path: string): unknown {
    const result = tryParse(schema, value);
    if (result.success) return result.data;
    this.#issues.push(...valueIssues(result.error.issues, value, this.#dotted(path)));
    return value;
  }

  #children(schema: z.ZodTypeAny): ChangeGuard['children'] {
    const { _def: def } = schema;
    switch (def.typeName) {
      case 'ZodObject': {
        const shape: Record<string, z.ZodTypeAny> = def.shape();
        const others = otherKeys(def);
        if (others === 'whole') return undefined;
        return {
          of: (key) => {
            if (key === droppedKey) return 'refused';
            const member = Object.hasOwn(shape, key) ? shape[key] : undefined;
            return member === undefined ? others : this.#guard(member);
          },
        };
      }
      case 'ZodRecord':
        return def.keyType._def.typeName === 'ZodString' && def.keyType._def.checks.length === 0
          ? { areOptional: true, of: (key) => withoutDropped(key, this.#guard(def.valueType)) }
          : undefined;
      case 'ZodArray':
        return { of: () => this.#guard(def.type), checkLength: (length, path) => this.#checkLength(def, length, path) };
      default:
        return undefined;
    }
  }

  #checkLength(def: ArrayBounds, length: number, path: string): void {
    const isTooShort = length < (def.minLength?.value ?? 0) || length < (def.exactLength?.value ?? 0);
    const isTooLong = length > (def.maxLength?.value ?? length) || length > (def.exactLength?.value ?? length);
    if (!isTooShort && !isTooLong) return;
    const bounds = [def.exactLength?.value, def.minLength?.value, def.maxLength?.value].filter(
      (bound) => bound !== undefined,
    );
    this.#issues.push({
      path: this.#dotted(path),
      expected: `an array within its length bounds (${bounds.join('..')})`,
      received: `${length} items`,
    });
  }

  #dotted(path: string): string {
    return path
      .slice(this.#root.length + 1)
      .split('/')
      .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
      .join('.');
  }
}

/** Zod leaves this key out of every object and record, after it has checked the value. */
const droppedKey = '__proto__';

function withoutDropped(key: string | number, guard: ChangeGuard): ChangeGuard {
  return key === droppedKey ? { accept: (value, path) => void guard.accept(value, path) } : guard;
}

interface ArrayBounds {
  readonly exactLength: { value: number } | null;
  readonly minLength: { value: number } | null;
  readonly maxLength: { value: number } | null;
}

/** What a key outside the shape means: dropped, or (strict, catchall) a matter for the whole object. */
function otherKeys(def: { unknownKeys?: string; catchall?: z.ZodTypeAny }): 'refused' | undefined | 'whole' {
  if (def.unknownKeys === 'strict' || def.catchall?._def.typeName !== 'ZodNever') return 'whole';
  return def.unknownKeys === 'passthrough' ? undefined : 'refused';
}

/** The schema below the wrappers that do not change what its children must be. */
function inner(schema: z.ZodTypeAny): z.ZodTypeAny {
  const { _def: def } = schema;
  switch (def.typeName) {
    case 'ZodOptional':
    case 'ZodNullable':
    case 'ZodDefault':
    case 'ZodReadonly':
      return inner(def.innerType);
    case 'ZodBranded':
      return inner(def.type);
    case 'ZodLazy':
      return inner(def.getter());
    default:
      return schema;
  }
}
