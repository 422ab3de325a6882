/** Random updates against a model that parses the whole state with Zod every time. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { isAgentFlowError } from '../../src/errors.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { openTestSession } from '../support/sessions.js';
import { inputFor, json } from '../support/zod-inputs.js';

interface Tree {
  name: string;
  children: Tree[];
}

const Tree: z.ZodType<Tree> = z.lazy(() => z.object({ name: z.string(), children: z.array(Tree).max(3) }));
const item = z.object({ id: z.number().int(), text: z.string().default('none'), tags: z.array(z.string()).optional() });

const schemas: Record<string, z.ZodTypeAny> = {
  strip: z.object({ item, list: z.array(item), note: z.string().optional() }),
  defaults: z.object({ a: z.number().default(7), b: z.object({ c: z.string().default('x') }).default({}) }),
  strict: z.object({ item: item.strict(), outer: z.object({ inner: z.object({}).strict() }) }).strict(),
  passthrough: z.object({ item: item.passthrough(), list: z.array(z.object({}).passthrough()) }).passthrough(),
  catchall: z.object({ a: z.string(), more: z.object({}).catchall(z.number()) }).catchall(z.array(z.boolean())),
  record: z.record(z.number()),
  'record of records': z.object({ byName: z.record(z.record(item)), loose: z.record(z.unknown()) }),
  'record with keys': z.record(z.string().max(3), z.string()),
  'record of defaults': z.record(z.object({ n: z.number().default(1) }).default({})),
  union: z.object({ value: z.union([z.string(), z.number(), item, z.array(z.boolean())]), rest: z.array(z.unknown()) }),
  'discriminated union': z.object({
    events: z.array(
      z.discriminatedUnion('type', [
        z.object({ type: z.literal('text'), text: z.string() }),
        z.object({ type: z.literal('count'), count: z.number().default(1) }).strict(),
      ]),
    ),
  }),
  tuple: z.object({ pair: z.tuple([z.string(), item]), pairs: z.array(z.tuple([z.number(), z.number()])) }),
  nullable: z.object({ item: item.nullable(), maybe: z.object({ a: z.number().nullable() }).nullish() }),
  lazy: z.object({ tree: Tree }),
  refine: z
    .object({ low: z.number(), high: z.number(), more: z.object({ even: z.number().refine((n) => n % 2 === 0) }) })
    .refine(({ low, high }) => low <= high, { message: 'low is above high', path: ['low'] }),
  lengths: z.object({
    one: z.array(z.number()).nonempty(),
    two: z.array(z.string()).length(2),
    few: z.string().array().max(2),
  }),
  intersection: z.object({ both: z.intersection(z.object({ a: z.number() }), z.object({ b: z.string() })) }),
  wrapped: z.object({
    caught: z.number().catch(0),
    branded: item.brand<'Item'>(),
    readonly: z.object({ list: z.array(z.string()) }).readonly(),
    piped: z.string().pipe(z.enum(['text', ''])),
    trimmed: z.string().trim(),
    fixed: z.enum(['a', 'b']),
  }),
  list: z.array(item),
  scalar: z.number(),
  anything: z.unknown().refine((value) => value !== undefined),
};

/** One step at a random place: replace, remove, append, insert. Applied alike to a draft and to a plain copy. */
interface Edit {
  readonly path: readonly number[];
  readonly kind: 'set' | 'remove' | 'add' | 'insert' | 'swap';
  readonly key: string;
  readonly value: unknown;
}

const edit: fc.Arbitrary<Edit> = fc.record({
  path: fc.array(fc.nat(5), { maxLength: 4 }),
  kind: fc.constantFrom('set', 'remove', 'add', 'insert', 'swap'),
  key: fc.constantFrom('a', 'b', 'note', 'text', 'constructor', 'a/b', '~0', ''),
  value: fc.oneof(json, fc.constantFrom(1, 2, 'text', [], {})),
});

function apply(root: unknown, { path, kind, key, value }: Edit): void {
  let at = root;
  for (const step of path) {
    // In the order of their names: which was added first is no part of a JSON object.
    const keys = typeof at === 'object' && at !== null ? Object.keys(at).sort() : [];
    const child: unknown = (at as Record<string, unknown> | undefined | null)?.[keys[step % keys.length] ?? ''];
    if (typeof child !== 'object' || child === null || child === Object.prototype) break;
    at = child;
  }
  const fresh = structuredClone(value);
  if (Array.isArray(at)) applyToList(at, kind, path.at(-1) ?? 0, fresh);
  else if (typeof at === 'object' && at !== null) applyToRecord(at as Record<string, unknown>, kind, key, fresh);
}

function applyToList(list: unknown[], kind: Edit['kind'], step: number, value: unknown): void {
  const index = list.length === 0 ? 0 : step % list.length;
  if (kind === 'set') list[index] = value;
  else if (kind === 'remove') list.splice(index, 1);
  else if (kind === 'add') list.push(value);
  else if (kind === 'insert') list.splice(index, 0, value);
  else list.reverse();
}

function applyToRecord(record: Record<string, unknown>, kind: Edit['kind'], key: string, value: unknown): void {
  const existing = Object.keys(record)
    .sort()
    .at(key.length - 1);
  if (kind === 'remove' && existing !== undefined) delete record[existing];
  else if (kind === 'set' && existing !== undefined && existing !== '__proto__') record[existing] = value;
  else if (kind === 'add') record[key] = value;
  else if (kind === 'swap' && existing !== undefined && existing !== '__proto__') record[key] = record[existing];
}

/** What JSON makes of a value: no `undefined` members, no negative zero. */
const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe.each(Object.keys(schemas))('state with %s', (name) => {
  const schema = schemas[name] ?? z.never();
  const run = async (init: unknown, updates: readonly (Edit | { whole: unknown })[]) => {
    const store = new MemorySessionStore();
    const { session } = await openTestSession<unknown>({ schema, init, store });
    let model: unknown = asJson(schema.parse(init));
    for (const update of updates) {
      const before = session.state;
      const next = 'whole' in update ? update.whole : edited(model, update);
      const expected = schema.safeParse(next);
      const made = await session
        .updateState('whole' in update ? update.whole : (draft: unknown) => recipe(draft, update))
        .then(() => true, refusedValue);
      expect(made, JSON.stringify(next)).toBe(expected.success);
      if (expected.success) model = asJson(expected.data);
      else expect(session.state).toBe(before);
      expectSame(session.state, model);
    }
    await session.release();
    const again = await openTestSession<unknown>({ schema, store });
    expectSame(again.session.state, model);
    expect(again.session.version).toBe(session.version);
  };

  it('is after every update what parsing the whole of it gives, and the same when loaded again', async () => {
    const valid = inputFor(schema).filter((value) => schema.safeParse(value).success);
    const whole = inputFor(schema).map((value) => ({ whole: value }));
    const updates = fc.array(fc.oneof(whole, edit), { maxLength: 8 });
    await fc.assert(fc.asyncProperty(valid, updates, run), { numRuns: Number(process.env.RUNS ?? 60) });
  });
});

function edited(model: unknown, change: Edit): unknown {
  const copy = structuredClone(model);
  apply(copy, change);
  return copy;
}

function recipe(draft: unknown, change: Edit): unknown {
  if (typeof draft !== 'object' || draft === null) return draft;
  apply(draft, change);
  return undefined;
}

/** Not the runner's own comparison, which minds a key called `constructor`. */
function expectSame(actual: unknown, expected: unknown): void {
  expect(isDeepStrictEqual(actual, expected), `${JSON.stringify(actual)} is ${JSON.stringify(expected)}`).toBe(true);
}

function refusedValue(error: unknown): false {
  expect(isAgentFlowError(error) && error.code).toBe('INVALID_VALUE');
  return false;
}
