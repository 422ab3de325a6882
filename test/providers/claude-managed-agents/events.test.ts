/** What a session waits for, and how its outcome was graded. */
import { describe, expect, it } from 'vitest';
import {
  hasArrived,
  type ManagedAgentEvent,
  normalizeManagedAgent,
  peekManagedAgent,
  pendingCalls,
  unconfirmedCalls,
} from '../../../src/providers/claude-managed-agents/events.js';
import { definedOutcome, toolConfirmation } from '../../../src/providers/claude-managed-agents/inputs.js';

const custom = (id: string) => ({ type: 'agent.custom_tool_use', id, name: 'weather', input: {} });
const server = (id: string, permission?: string, type = 'agent.tool_use') => ({
  type,
  id,
  name: 'bash',
  input: { command: id },
  ...(permission === undefined ? {} : { evaluated_permission: permission }),
});
const waits = (...ids: string[]) => ({
  type: 'session.status_idle',
  stop_reason: { type: 'requires_action', event_ids: ids },
});
const waitsUnnamed = { type: 'session.status_idle', stop_reason: { type: 'requires_action' } };
const ends = { type: 'session.status_idle', stop_reason: { type: 'end_turn' } };
const answered = (id: string) => ({ type: 'user.custom_tool_result', custom_tool_use_id: id });
const confirmed = (id: string) => ({ type: 'user.tool_confirmation', tool_use_id: id, result: 'allow' });
const ids = (uses: readonly { readonly id: string }[] = []) => uses.map(({ id }) => id);

describe('a turn that waits', () => {
  it.each<[events: ManagedAgentEvent[], calls: string[], asking: string[]]>([
    [[server('s', 'ask'), waits('s')], [], ['s']],
    [[server('s', 'ask', 'agent.mcp_tool_use'), waits('s')], [], ['s']],
    [[server('s'), waits('s')], [], ['s']],
    [[custom('c'), server('s', 'ask'), waits('c', 's')], ['c'], ['s']],
    [[server('ran', 'allow'), server('s', 'ask'), waits('s')], [], ['s']],
    [[server('ran', 'allow'), server('no', 'deny'), custom('c'), server('s', 'ask'), waitsUnnamed], ['c'], ['s']],
    // It waits for the result of a machine that is somebody else's: nothing to be allowed.
    [[server('theirs', 'allow'), waits('theirs')], [], []],
    [[server('s', 'ask'), ends], [], []],
  ])('for %j', (events, calls, asking) => {
    const turn = normalizeManagedAgent(events);
    expect([ids(turn.toolUses), ids(turn.confirmations)]).toEqual([calls, asking]);
    expect(ids(turn.serverToolUses)).toEqual(ids(events.filter(({ name }) => name === 'bash') as { id: string }[]));
  });
});

describe('a session that waits', () => {
  it.each<[what: string, events: ManagedAgentEvent[], calls: string[], asking: string[]]>([
    ['for all it has asked', [custom('c'), server('s', 'ask'), waits('c', 's')], ['c'], ['s']],
    ['for what is left', [custom('c'), server('s', 'ask'), waits('c', 's'), answered('c'), waits('s')], [], ['s']],
    ['for nothing more', [custom('c'), server('s', 'ask'), waits('c', 's'), answered('c'), confirmed('s')], [], []],
    ['for nothing that an interrupt took back', [custom('c'), server('s', 'ask'), waits('c', 's'), ends], [], []],
    ['for the last turn alone', [custom('a'), waits('a'), ends, custom('b'), waits('b')], ['b'], []],
    ['in spite of an error on the way', [custom('c'), { type: 'session.error' }, waits('c')], ['c'], []],
    ['while a turn goes on', [custom('c')], ['c'], []],
    ['for nobody, when it has ended', [custom('c'), { type: 'session.status_terminated' }], [], []],
  ])('%s', (_, events, calls, asking) => {
    expect(ids(pendingCalls(events))).toEqual(calls);
    expect(ids(unconfirmedCalls(events))).toEqual(asking);
  });
});

describe('an outcome', () => {
  const graded = (result: string, iteration: number, usage?: object) => ({
    type: 'span.outcome_evaluation_end',
    result,
    iteration,
    explanation: `It is ${result}`,
    ...(usage === undefined ? {} : { usage }),
  });

  it('has the grade it got last', () => {
    const { outcome, terminal } = normalizeManagedAgent([graded('needs_revision', 0), graded('satisfied', 1), ends]);
    expect(outcome).toEqual({ verdict: 'satisfied', explanation: 'It is satisfied', iteration: 1 });
    expect(terminal).toBe('end_turn');
    expect(normalizeManagedAgent([ends]).outcome).toBeUndefined();
    expect(normalizeManagedAgent([{ type: 'span.outcome_evaluation_end' }, ends]).outcome).toMatchObject({
      verdict: 'unknown',
    });
  });

  it('costs what grading it costs', () => {
    const usage = { input_tokens: 5, output_tokens: 2, cache_read_input_tokens: 3 };
    expect(peekManagedAgent(graded('satisfied', 0, usage))).toEqual({
      usage: { inputTokens: 8, outputTokens: 2, totalTokens: 10 },
    });
    const asked = { type: 'span.model_request_end', model_usage: { input_tokens: 1, output_tokens: 1 } };
    expect(normalizeManagedAgent([asked, graded('satisfied', 0, usage), ends]).usage).toEqual({
      inputTokens: 9,
      outputTokens: 3,
      totalTokens: 12,
    });
  });
});

it.each([
  [
    true,
    'session.usage',
    'session.updated',
    'session.thread_created',
    'user.interrupt',
    'system.message',
    'unheard.of',
  ],
  [false, 'user.message', 'user.custom_tool_result', 'user.tool_confirmation', 'user.define_outcome', 'agent.thinking'],
  [false, 'session.status_running', 'session.status_rescheduled', 'span.model_request_start', 'session.status_idle'],
])('what may come between two turns is told from what shows that one is going on: %s %s', (isAside, ...types) => {
  for (const type of types) expect([type, peekManagedAgent({ type }).isAside === true]).toEqual([type, isAside]);
});

it('whether an outcome or a decision has arrived is known', () => {
  const outcome = definedOutcome({ description: 'A poem', rubric: 'It rhymes' });
  const echo = { ...outcome[0], id: 'e1', outcome_id: 'outc_1', max_iterations: 3 };
  expect(hasArrived(outcome, [echo])).toBe(true);
  expect(hasArrived(definedOutcome({ description: 'A song', rubric: 'It rhymes' }), [echo])).toBe(false);
  const decision = [toolConfirmation({ toolUseId: 's', isAllowed: false, reason: 'No' })];
  expect(hasArrived(decision, [confirmed('s')])).toBe(true);
  expect(hasArrived(decision, [confirmed('t'), answered('s')])).toBe(false);
});
