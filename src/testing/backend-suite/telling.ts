/** Cases: failures, usage and tools, told in one way whatever the vendor. */
import assert from 'node:assert/strict';
import {
  answered,
  answerOf,
  ask,
  type BackendCase,
  isWhole,
  type ModelFailure,
  restful,
  start,
  usageOf,
} from './case.js';

const failures: readonly { kind: ModelFailure; isRetryable: boolean; kinds: readonly string[] }[] = [
  { kind: 'rate_limit', isRetryable: true, kinds: ['rate_limit'] },
  { kind: 'authentication', isRetryable: false, kinds: ['authentication', 'permission'] },
  { kind: 'invalid_request', isRetryable: false, kinds: ['invalid_request'] },
  { kind: 'server', isRetryable: true, kinds: ['server', 'overloaded'] },
];

const failureCases: readonly BackendCase[] = failures.map(({ kind, isRetryable, kinds }) => ({
  name: `a vendor's failure is told in full: ${kind}`,
  async run(given) {
    await given.play({ end: kind });
    const { events, failure, thrown } = await ask(given, await start(given), 'Fail');
    assert.ok(!events.some(({ type }) => type === 'result'), 'expected no result of a turn that failed');
    assert.ok(failure, `expected a failure as the contract has it, got ${String(thrown ?? 'none')}`);
    assert.ok(isWhole(failure), 'expected the failure to say provider, kind, retryable, message and raw');
    assert.ok(kinds.includes(failure.kind), `expected the kind ${kinds.join(' or ')}, got ${failure.kind}`);
    assert.equal(failure.retryable, isRetryable);
    assert.equal(failure.provider, given.backend.name);
    await restful(given);
  },
}));

/** Failures, usage and tools. */
export const tellingCases: readonly BackendCase[] = [
  ...failureCases,
  {
    name: 'usage is what each turn used, whatever the vendor counts',
    async run(given) {
      let session = await start(given);
      for (const usage of [
        { inputTokens: 11, outputTokens: 5 },
        { inputTokens: 20, outputTokens: 7 },
        { inputTokens: 3, outputTokens: 1 },
      ]) {
        await given.play({ text: ['counted'], usage });
        const turn = await answered(given, session, 'count');
        session = turn.session;
        assert.deepEqual(usageOf(turn), usage);
      }
    },
  },
  {
    name: 'a tool call and its result are told, in that order, before the answer',
    async run(given) {
      const tool = { name: 'look_up', input: { word: 'tea' }, output: 'a drink' };
      await given.play({ tool, text: ['It is a drink.'] });
      const turn = await answered(given, await start(given), 'What is tea?');
      assert.equal(answerOf(turn).endsWith('It is a drink.'), true);
      const types = turn.events.map(({ type }) => type);
      const use = turn.events.find((event) => event.type === 'tool_use');
      const result = turn.events.find((event) => event.type === 'tool_result');
      assert.ok(use, 'expected the call to be told');
      assert.ok(result, 'expected its result to be told');
      assert.equal(use.name.endsWith(tool.name), true);
      assert.deepEqual(use.input, tool.input);
      assert.equal(result.id, use.id);
      assert.equal(result.isError, false);
      assert.ok(JSON.stringify(result.output).includes(tool.output));
      assert.ok(types.indexOf('tool_use') < types.indexOf('tool_result'));
      assert.ok(types.indexOf('tool_result') < types.lastIndexOf('text'));
    },
  },
];
