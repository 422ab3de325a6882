/**
 * A draft that notes what a recipe does to it, and never touches what it stands for: a turn of a long conversation costs
 * what a turn of a short one does (`npm run bench -- drafts`: 6 µs against 400 at 20,000 messages).
 */
import { type ChangeGuard, diff } from '../internal/diff.js';
import type { PatchOperation } from '../internal/patch.js';
import type { Container } from './containers.js';
import { ListNode } from './draft-list.js';
import { DraftPlace, type MakeNode } from './draft-place.js';
import { draftOf, resolved, type Scope } from './draft-proxy.js';
import { RecordNode } from './draft-record.js';

/**
 * Runs the recipe on a draft of `before`, which is never written to, and answers the operations that lead to what it made,
 * or to what it returned. A draft in an object that the recipe has frozen is left there.
 * @param scope ends the drafts; by default they end at once
 */
export function changesBy(
  before: object,
  recipe: (draft: unknown) => unknown,
  guard: ChangeGuard | undefined,
  path: string,
  scope?: Scope,
): PatchOperation[] {
  const within = scope ?? { isOver: false };
  try {
    const root = nodeFor(before as Container, new DraftPlace(within, nodeFor));
    const draft = draftOf(before as Container, root, '', root);
    const returned = recipe(draft);
    if (returned === undefined || returned === draft) return root.changes(guard, path);
    return diff(before, resolved(returned), guard, path);
  } finally {
    within.isOver ||= scope === undefined;
  }
}

const nodeFor: MakeNode = (base, place) =>
  Array.isArray(base) ? new ListNode(base, place) : new RecordNode(base, place);
