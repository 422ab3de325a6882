/** Tokens and money in one shape, whoever counted them. */
import type { Usage } from '../../schemas/index.js';

const counters = ['inputTokens', 'outputTokens', 'totalTokens', 'costUsd'] as const;

/** Two usages as one; what neither tells stays untold. */
export function addUsage(first: Usage | undefined, second: Usage | undefined): Usage | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return combined(first, second, (a, b) => a + b);
}

/**
 * A vendor's own counts as a {@link Usage}: Anthropic's, OpenAI's (both APIs), Bedrock's, Gemini's and Genkit's names are
 * known. Input includes what was read from or written to a cache; the total is filled in. `undefined` when nothing is told.
 */
export function toUsage(counts: unknown): Usage | undefined {
  if (typeof counts !== 'object' || counts === null) return undefined;
  const of = (...names: string[]) => numberIn(counts as Record<string, unknown>, names);
  const fresh = of('inputTokens', 'input_tokens', 'prompt_tokens', 'promptTokenCount');
  const cached = sum(of('cache_read_input_tokens'), of('cache_creation_input_tokens'));
  const input = sum(fresh, cached);
  const output = of('outputTokens', 'output_tokens', 'completion_tokens', 'candidatesTokenCount');
  const total = of('totalTokens', 'total_tokens', 'totalTokenCount') ?? sum(input, output);
  const cost = of('costUsd', 'cost_usd', 'total_cost_usd');
  return input === undefined && output === undefined && total === undefined && cost === undefined
    ? undefined
    : usageOf({ inputTokens: input, outputTokens: output, totalTokens: total, costUsd: cost });
}

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
    const wasReset = counters.some((name) => (cumulative[name] ?? Infinity) < (last[name] ?? 0));
    return wasReset ? cumulative : combined(cumulative, last, (now, before) => Math.max(0, now - before), cumulative);
  }
}

/** For every counter of `told` (by default of either): both values, absent ones as 0, as one. */
function combined(first: Usage, second: Usage, combine: (a: number, b: number) => number, told?: Usage): Usage {
  return usageOf(
    Object.fromEntries(
      counters
        .filter((name) => (told === undefined ? (first[name] ?? second[name]) : told[name]) !== undefined)
        .map((name) => [name, combine(first[name] ?? 0, second[name] ?? 0)]),
    ),
  );
}

function usageOf(counts: { readonly [Name in (typeof counters)[number]]?: number | undefined }): Usage {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== undefined));
}

function numberIn(counts: Record<string, unknown>, names: readonly string[]): number | undefined {
  const values = names.map((name) => counts[name]);
  return values.find((value): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0);
}

function sum(first: number | undefined, second: number | undefined): number | undefined {
  return first === undefined && second === undefined ? undefined : (first ?? 0) + (second ?? 0);
}
