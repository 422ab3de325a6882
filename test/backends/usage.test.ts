import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageMeter } from '../../src/backends/usage.js';

describe('UsageMeter', () => {
  test('turns counters that grow into what was used', () => {
    const used = fc.array(fc.record({ inputTokens: fc.nat(1_000), outputTokens: fc.nat(1_000) }), { maxLength: 20 });
    fc.assert(
      fc.property(used, (turns) => {
        const meter = new UsageMeter();
        let total = { inputTokens: 0, outputTokens: 0 };
        for (const { inputTokens, outputTokens } of turns) {
          total = { inputTokens: total.inputTokens + inputTokens, outputTokens: total.outputTokens + outputTokens };
          expect(meter.read(total)).toEqual({ inputTokens, outputTokens });
        }
      }),
    );
  });

  test('begins where a session that is taken up stands', () => {
    expect(new UsageMeter({ inputTokens: 100 }).read({ inputTokens: 130 })).toEqual({ inputTokens: 30 });
  });

  test('takes a counter that falls for one that begins anew', () => {
    const meter = new UsageMeter({ inputTokens: 100, outputTokens: 50 });
    expect(meter.read({ inputTokens: 20, outputTokens: 60 })).toEqual({ inputTokens: 20, outputTokens: 60 });
    expect(meter.read({ inputTokens: 25, outputTokens: 61 })).toEqual({ inputTokens: 5, outputTokens: 1 });
  });

  test('tells counters that come later from when they came', () => {
    const meter = new UsageMeter();
    expect(meter.read({ outputTokens: 5 })).toEqual({ outputTokens: 5 });
    expect(meter.read({ outputTokens: 9, inputTokens: 3 })).toEqual({ outputTokens: 4, inputTokens: 3 });
  });
});
