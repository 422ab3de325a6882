/** Tokens and money in one shape, whoever counted them. */
import type { Usage } from '../../schemas/index.js';

/** Everything a usage may count. */
export const counters = ['inputTokens', 'outputTokens', 'totalTokens', 'costUsd'] as const;

/** Two usages as one; what neither tells stays untold. */
export function addUsage(first: Usage | undefined, second: Usage | undefined): Usage | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return told(Object.fromEntries(counters.map((name) => [name, sum(first[name], second[name])])));
}

/**
 * A vendor's own counts as a {@link Usage}: Anthropic's, OpenAI's (both APIs), Bedrock's, Gemini's and Genkit's names are
 * known. Input includes what was read from or written to a cache; the total is filled in. `undefined` when nothing is told.
 */
export function toUsage(counts: unknown): Usage | undefined {
  if (typeof counts !== 'object' || counts === null) return undefined;
  const of = (...names: string[]) => numberIn(counts as Record<string, unknown>, names);
  const fresh = of('inputTokens', 'input_tokens', 'prompt_tokens', 'promptTokenCount');
  const read = of('cache_read_input_tokens', 'cacheReadInputTokens');
  const written = of('cache_creation_input_tokens', 'cacheWriteInputTokens');
  const input = sum(fresh, sum(read, written));
  const output = of('outputTokens', 'output_tokens', 'completion_tokens', 'candidatesTokenCount');
  const total = larger(of('totalTokens', 'total_tokens', 'totalTokenCount'), sum(input, output));
  const cost = of('costUsd', 'cost_usd', 'total_cost_usd');
  const usage = told({ inputTokens: input, outputTokens: output, totalTokens: total, costUsd: cost });
  return Object.keys(usage).length === 0 ? undefined : usage;
}

function told(counts: { readonly [Name in (typeof counters)[number]]?: number | undefined }): Usage {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== undefined));
}

function numberIn(counts: Record<string, unknown>, names: readonly string[]): number | undefined {
  const values = names.map((name) => counts[name]);
  return values.find((value): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0);
}

function sum(first: number | undefined, second: number | undefined): number | undefined {
  return first === undefined && second === undefined ? undefined : (first ?? 0) + (second ?? 0);
}

/** A total that is told may leave out the cache, or count what neither input nor output is: thoughts. */
function larger(first: number | undefined, second: number | undefined): number | undefined {
  return first === undefined || second === undefined ? (first ?? second) : Math.max(first, second);
}
