/** Those who hold a session for a moment and are no run: a fork, a look at whether it is free. */

/** No run's id begins like this. */
const mark = 'passing-';

/** The owner of a lease that is let go at once, so that nobody takes it for a run. `id` is unique to this holder. */
export function passingOwner(id: string): string {
  return `${mark}${id}`;
}

/** Is this the owner of no run? */
export function isPassingOwner(owner: string): boolean {
  return owner.startsWith(mark);
}
