/** What a turn uses, told once: as it is used, or as the whole that the vendor tells in the end. */
import type { Usage } from '../../schemas/index.js';
import type { BackendEvent } from './backend.js';
import { addUsage, counters } from './usage.js';

/** What a turn uses, told as it is used; when the vendor tells the whole, only what is left of it is told again. */
export class UsageLedger {
  #told: Usage | undefined;

  /** What has just been used; undefined where that is nothing. */
  tell(used: Usage | undefined): Usage | undefined {
    if (used === undefined || counters.every((name) => !used[name])) return undefined;
    this.#told = addUsage(this.#told, used);
    return used;
  }

  /** What of the whole was not told yet. A whole that was never told in parts is told as it is, of nothing too. */
  rest(whole: Usage | undefined): Usage | undefined {
    const told = this.#told;
    if (whole === undefined || told === undefined) return whole;
    const left = counters.flatMap((name) => {
      const count = whole[name];
      return count === undefined ? [] : [[name, Math.max(0, count - (told[name] ?? 0))] as const];
    });
    return this.tell(Object.fromEntries(left));
  }
}

/** As events: none where nothing was used. */
export function usageEvents(used: Usage | undefined): BackendEvent[] {
  return used === undefined ? [] : [{ type: 'usage', usage: used }];
}
