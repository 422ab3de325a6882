/** What a recipe makes of a state. */
import { InvalidValueError } from '../errors.js';
import { type ChangeGuard, diff } from '../internal/diff.js';
import type { PatchOperation } from '../internal/patch.js';
import { changesBy } from './draft.js';
import type { Scope } from './draft-proxy.js';

/** Changes a draft in place, or answers what is to be in its place. */
export type Recipe = (draft: unknown) => unknown;

/**
 * The operations, below `path`, that lead from `before` to what the recipe makes of it. Throws `InvalidValueError` for an
 * async one.
 *
 * @param scope when it is over, so are the drafts: what the recipe has frozen may still hold some
 */
export function byRecipe(
  before: unknown,
  recipe: Recipe,
  guard: ChangeGuard,
  path: string,
  scope: Scope,
): PatchOperation[] {
  const atOnce: Recipe = (draft) => {
    const returned = recipe(draft);
    if (!isThenable(returned)) return returned;
    // Only one that is under way: another kind may begin its work when it is first asked.
    if (returned instanceof Promise) returned.catch(() => {});
    throw new InvalidValueError('state', [
      { path: '', expected: 'a recipe that returns at once', received: 'a promise' },
    ]);
  };
  if (typeof before === 'object' && before !== null) return changesBy(before, atOnce, guard, path, scope);
  const returned = atOnce(before);
  return diff(before, returned === undefined ? before : returned, guard, path);
}

/** Also what is no `Promise`, as a query of a database may be: a schema would read it as a record without members. */
function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
