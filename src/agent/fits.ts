/** A quick look before a schema is asked: most of what is checked is fine as it is, and Zod copies all it reads. */
import type { z } from '../../schemas/zod.js';

/** `true`: accepted, and given back as it is. `false`: refused. `undefined`: only the schema itself can tell. */
type Verdict = boolean | undefined;
type Look = (value: unknown) => Verdict;
type Definition = z.ZodTypeAny['_def'];

const looks = new WeakMap<z.ZodTypeAny, Look>();
const undecided: Look = () => undefined;

/**
 * Would the schema certainly accept this JSON value and give back an equal one? False says nothing: ask the schema.
 * Nothing is copied, so a long list costs a fraction of what parsing it does.
 */
export function fits(schema: z.ZodTypeAny, value: unknown): boolean {
  try {
    return lookFor(schema)(value) === true;
  } catch {
    // A schema that throws, or a value too deep: both are told by who asks the schema.
    return false;
  }
}

function lookFor(schema: z.ZodTypeAny): Look {
  const known = looks.get(schema);
  if (known !== undefined) return known;
  let made: Look | undefined;
  const look: Look = (value) => {
    // Made when it is first needed, so that a schema that holds itself comes to an end.
    made ??= makeLook(schema);
    return made(value);
  };
  looks.set(schema, look);
  return look;
}

function makeLook(schema: z.ZodTypeAny): Look {
  const { _def: def } = schema;
  switch (def.typeName) {
    case 'ZodUnknown':
    case 'ZodAny':
      return () => true;
    case 'ZodNever':
      return () => false;
    case 'ZodNull':
      return (value) => value === null;
    case 'ZodLiteral':
      return (value) => value === def.value;
    case 'ZodEnum':
      return (value) => def.values.includes(value);
    case 'ZodString':
    case 'ZodNumber':
    case 'ZodBoolean':
      return lookAtScalar(schema);
    case 'ZodArray':
      return lookAtArray(def);
    case 'ZodObject':
      return lookAtObject(def);
    case 'ZodRecord':
      return lookAtRecord(def);
    case 'ZodUnion':
      return lookAtUnion(def.options.map(lookFor));
    case 'ZodDiscriminatedUnion':
      return lookAtDiscriminatedUnion(def);
    default:
      return lookThrough(def);
  }
}

/** Wrappers that let through what they wrap. What is not named here (effects, catch, pipelines, ...) is undecided. */
function lookThrough(def: Definition): Look {
  const inner: Look = def.innerType === undefined ? undecided : lookFor(def.innerType);
  switch (def.typeName) {
    case 'ZodOptional':
      return (value) => value === undefined || inner(value);
    case 'ZodNullable':
      return (value) => value === null || inner(value);
    case 'ZodDefault':
      return (value) => (value === undefined ? undefined : inner(value));
    case 'ZodReadonly':
      return inner;
    case 'ZodBranded':
      return lookFor(def.type);
    case 'ZodLazy':
      return (value) => lookFor(def.getter())(value);
    default:
      return undecided;
  }
}

function lookAtScalar(schema: z.ZodTypeAny): Look {
  const { _def: def } = schema;
  const type = def.typeName.slice('Zod'.length).toLowerCase();
  const isPlain = def.coerce !== true && (def.checks ?? []).length === 0;
  return (value) => {
    const isOfType = typeof value === type && !Number.isNaN(value);
    if (isPlain) return isOfType;
    // Bounds, formats, coercions: they cost little on a single value, and only the schema knows them all.
    const result = schema.safeParse(value);
    if (!result.success) return false;
    return isOfType && result.data === value ? true : undefined;
  };
}

function lookAtArray(def: z.ZodArrayDef): Look {
  const item = lookFor(def.type);
  const least = Math.max(def.minLength?.value ?? 0, def.exactLength?.value ?? 0);
  const most = Math.min(def.maxLength?.value ?? Infinity, def.exactLength?.value ?? Infinity);
  return (value) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) return false;
    return together(value, item);
  };
}

function lookAtObject(def: z.ZodObjectDef): Look {
  const shape = Object.entries(def.shape());
  // Zod finds these in every object, whether or not they are its own.
  if (shape.some(([key]) => key in Object.prototype)) return undecided;
  const keepsOthers = def.unknownKeys === 'passthrough' && def.catchall._def.typeName === 'ZodNever';
  let members: Members | undefined;
  return (value) => {
    if (!isRecord(value)) return isMaybeRecord(value) ? undefined : false;
    // Made when it is first needed, as a member may hold this object.
    members ??= membersOf(shape);
    let { needed, awaited } = members;
    let verdict: Verdict = true;
    // By the keys that are there: most schemas know many more than a value has.
    for (const key in value) {
      const member = members.byKey.get(key);
      if (member === undefined) {
        if (!keepsOthers || key === droppedKey) verdict = undefined;
        continue;
      }
      const found = member.look(value[key]);
      if (found === false) return false;
      if (found === undefined) verdict = undefined;
      if (member.ifAbsent === false) needed -= 1;
      if (member.ifAbsent === undefined) awaited -= 1;
    }
    if (needed > 0) return false;
    return awaited > 0 ? undefined : verdict;
  };
}

/** A member of an object schema, and what the schema says of an object without it. */
interface Member {
  readonly look: Look;
  readonly ifAbsent: Verdict;
}

interface Members {
  readonly byKey: ReadonlyMap<string, Member>;
  /** How many must be there. */
  readonly needed: number;
  /** Of how many only the schema knows what it makes of an object without them. */
  readonly awaited: number;
}

function membersOf(shape: readonly [string, z.ZodTypeAny][]): Members {
  const byKey = new Map<string, Member>();
  for (const [key, member] of shape) {
    const look = lookFor(member);
    byKey.set(key, { look, ifAbsent: look(undefined) });
  }
  const count = (verdict: Verdict) => [...byKey.values()].filter(({ ifAbsent }) => ifAbsent === verdict).length;
  return { byKey, needed: count(false), awaited: count(undefined) };
}

function lookAtRecord(def: z.ZodRecordDef): Look {
  const key = lookFor(def.keyType);
  const item = lookFor(def.valueType);
  return (value) => {
    if (!isRecord(value)) return isMaybeRecord(value) ? undefined : false;
    if (hasDroppedKey(value)) return undefined;
    const ofKeys = together(Object.keys(value), key);
    return ofKeys === true ? together(Object.values(value), item) : ofKeys;
  };
}

/** One that is refused decides for all; else one that is undecided. */
function together(values: readonly unknown[], look: Look): Verdict {
  let verdict: Verdict = true;
  for (const value of values) {
    const found = look(value);
    if (found === false) return false;
    if (found === undefined) verdict = undefined;
  }
  return verdict;
}

/** The first option that accepts decides, so those before it must certainly refuse. */
function lookAtUnion(options: readonly Look[]): Look {
  return (value) => {
    for (const option of options) {
      const verdict = option(value);
      if (verdict !== false) return verdict;
    }
    return false;
  };
}

function lookAtDiscriminatedUnion({ discriminator, optionsMap }: Definition): Look {
  return (value) => {
    if (!isRecord(value)) return isMaybeRecord(value) ? undefined : false;
    const option = optionsMap.get(value[discriminator]);
    return option === undefined ? false : lookFor(option)(value);
  };
}

/** A record as JSON has them. */
function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Anything but JSON: a Date, a Map, an object of a class. */
function isMaybeRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Zod leaves this key out. */
const droppedKey = '__proto__';

function hasDroppedKey(value: object): boolean {
  return Object.hasOwn(value, droppedKey);
}
