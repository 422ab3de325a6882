/** What has been used since the last look, of counters that only grow; and the one shape of usage, from the providers. */
import type { Usage } from '../../schemas/index.js';
import { addUsage, counters, toUsage } from '../providers/usage.js';

export { addUsage, counters, toUsage };

/**
 * Turns counters that only grow (Codex counts per thread, Anthropic per message) into what has been used since the last
 * look. A counter that falls has been started anew: what it shows then is new.
 */
export class UsageMeter {
  #last: Usage;

  /** @param start where the counters stand already, for a session that is taken up */
  constructor(start: Usage = {}) {
    this.#last = start;
  }

  /** What has been used since the last reading. */
  read(cumulative: Usage): Usage {
    const last = this.#last;
    this.#last = { ...last, ...cumulative };
    const used: Usage = {};
    for (const name of counters) {
      const count = cumulative[name];
      if (count === undefined) continue;
      if (count < (last[name] ?? 0)) return cumulative;
      used[name] = count - (last[name] ?? 0);
    }
    return used;
  }
}
