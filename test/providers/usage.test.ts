import { describe, expect, test } from 'vitest';
import { addUsage, toUsage } from '../../src/providers/usage.js';

describe('toUsage', () => {
  test.each<[string, object, object | undefined]>([
    ['Anthropic', { input_tokens: 5, output_tokens: 2 }, { inputTokens: 5, outputTokens: 2, totalTokens: 7 }],
    [
      'Anthropic with a cache',
      { input_tokens: 5, cache_read_input_tokens: 10, cache_creation_input_tokens: 20, output_tokens: 2 },
      { inputTokens: 35, outputTokens: 2, totalTokens: 37 },
    ],
    [
      'OpenAI chat',
      { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
      { inputTokens: 5, outputTokens: 2, totalTokens: 7 },
    ],
    [
      'OpenAI responses',
      { input_tokens: 5, output_tokens: 2, total_tokens: 9 },
      { inputTokens: 5, outputTokens: 2, totalTokens: 9 },
    ],
    ['Bedrock', { inputTokens: 5, outputTokens: 2 }, { inputTokens: 5, outputTokens: 2, totalTokens: 7 }],
    [
      'Gemini',
      { promptTokenCount: 5, candidatesTokenCount: 2, totalTokenCount: 8 },
      { inputTokens: 5, outputTokens: 2, totalTokens: 8 },
    ],
    [
      'Bedrock with a cache, which its total leaves out',
      { inputTokens: 5, cacheReadInputTokens: 10, cacheWriteInputTokens: 20, outputTokens: 2, totalTokens: 7 },
      { inputTokens: 35, outputTokens: 2, totalTokens: 37 },
    ],
    ['a cost alone', { total_cost_usd: 0.5 }, { costUsd: 0.5 }],
    ['output alone', { output_tokens: 3 }, { outputTokens: 3, totalTokens: 3 }],
    ['nothing', {}, undefined],
    ['nonsense', { input_tokens: 'many', output_tokens: -1, total_tokens: Number.NaN }, undefined],
  ])('reads the counts of %s', (_, counts, expected) => {
    expect(toUsage(counts)).toEqual(expected);
  });

  test('takes nothing for something', () => {
    for (const nothing of [undefined, null, 5, 'x']) expect(toUsage(nothing)).toBeUndefined();
  });
});

describe('addUsage', () => {
  test('adds what is told, and tells nothing that was not', () => {
    expect(addUsage(undefined, undefined)).toBeUndefined();
    expect(addUsage({ inputTokens: 1 }, undefined)).toEqual({ inputTokens: 1 });
    expect(addUsage({ inputTokens: 1, costUsd: 0.5 }, { inputTokens: 2, outputTokens: 3 })).toEqual({
      inputTokens: 3,
      outputTokens: 3,
      costUsd: 0.5,
    });
  });
});
