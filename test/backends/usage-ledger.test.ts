import { describe, expect, test } from 'vitest';
import { UsageLedger } from '../../src/backends/usage-ledger.js';

describe('what is left of the whole', () => {
  test('is what was not told in parts', () => {
    const ledger = new UsageLedger();
    expect(ledger.tell({ inputTokens: 5 })).toEqual({ inputTokens: 5 });
    expect(ledger.tell({ outputTokens: 2, totalTokens: 2 })).toEqual({ outputTokens: 2, totalTokens: 2 });
    expect(ledger.rest({ inputTokens: 9, outputTokens: 3, costUsd: 0.5 })).toEqual({
      inputTokens: 4,
      outputTokens: 1,
      costUsd: 0.5,
    });
  });

  test('is nothing when all was told, or more', () => {
    const ledger = new UsageLedger();
    ledger.tell({ inputTokens: 5, outputTokens: 5 });
    expect(ledger.rest({ inputTokens: 5, outputTokens: 4 })).toBeUndefined();
  });

  test('is all of it when nothing was told, also when that is nothing', () => {
    const ledger = new UsageLedger();
    expect(ledger.tell(undefined)).toBeUndefined();
    expect(ledger.tell({ inputTokens: 0 })).toBeUndefined();
    expect(ledger.rest({ inputTokens: 0, outputTokens: 0 })).toEqual({ inputTokens: 0, outputTokens: 0 });
    expect(ledger.rest(undefined)).toBeUndefined();
  });
});
