/** A state against its schema: when a session begins, when it is read back, and every time it changes. */
import type { z } from '../../schemas/zod.js';
import { AgentFlowError, InvalidValueError, isAgentFlowError, StoredStateError, type ValueIssue } from '../errors.js';
import type { ChangeGuard } from '../internal/diff.js';
import { valueIssues } from '../internal/value-issues.js';
import type { StateRules } from '../session/open-session.js';
import { ownJson } from '../session/own-values.js';
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
      if (init !== undefined) return initJson(checked(schema, init, 'init'));
      const ownDefault = defaultOf(schema, undefined);
      if (ownDefault !== undefined) return initJson(ownDefault);
      if (initialState !== undefined)
        return initJson(checked(schema, typeof initialState === 'function' ? initialState() : initialState, 'init'));
      const membersDefault = defaultOf(schema, {});
      if (membersDefault !== undefined) return initJson(membersDefault);
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

function initJson(state: unknown): unknown {
  return ownJson(state, (issues) => new InvalidValueError('init', issues));
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
    for (const issue of valueIssues(result.error.issues, value, this.#dotted(path))) this.#issues.push(issue);
    return value;
  }

  #children(schema: z.ZodTypeAny): ChangeGuard['children'] {
    const { _def: def } = schema;
    switch (def.typeName) {
      case 'ZodObject': {
        const shape: Record<string, z.ZodTypeAny> = def.shape();
        return {
          of: (key) => {
            const member = Object.hasOwn(shape, key) && key !== droppedKey ? shape[key] : undefined;
            return member === undefined ? this.#ofUnknown(key, schema as z.AnyZodObject) : this.#guard(member);
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

  /** For a key that the shape of the object does not name. */
  #ofUnknown(key: string | number, schema: z.AnyZodObject): ChangeGuard | 'refused' | undefined {
    const { catchall, unknownKeys } = schema._def;
    if (catchall._def.typeName !== 'ZodNever') {
      const guard = this.#guard(catchall);
      const accept: ChangeGuard['accept'] = (value, path) =>
        value === undefined ? undefined : guard.accept(value, path);
      return withoutDropped(key, { ...guard, accept });
    }
    if (unknownKeys === 'strict') return this.#strict(key, schema);
    return unknownKeys === 'passthrough' && key !== droppedKey ? undefined : 'refused';
  }

  /** Only the schema has the words for it, and the members that it knows need not be there to hear them. */
  #strict(key: string | number, schema: z.AnyZodObject): ChangeGuard {
    return {
      accept: (value, path) => this.#accept(schema.pick({}), { [key]: value }, path.slice(0, path.lastIndexOf('/'))),
    };
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
