import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AgentStatus, BudgetStatus, RuntimeSnapshot, TurnResult } from '../../src/host/host.js';
import { widthOf } from '../../src/terminal/text.js';
import {
  type AgentView,
  costTable,
  graphTable,
  historyTable,
  queueLines,
  statusDetails,
  statusTable,
} from '../../src/terminal/views.js';

const ref = 'f988e4b8-baba-4060-b167-a3ccd6436a8e';
const nameOf = (full: string) => full.slice(0, 8);
const noBudget: BudgetStatus = {
  limitUsd: undefined,
  spentUsd: 1.5,
  reservedUsd: 0,
  remainingUsd: undefined,
  limitTokens: undefined,
  spentTokens: 900,
  reservedTokens: 0,
  remainingTokens: undefined,
};

function view(name: string, more: Partial<AgentView> = {}, snapshot: Partial<RuntimeSnapshot> = {}): AgentView {
  const status: AgentStatus = {
    name,
    state: 'idle',
    halted: false,
    queued: 0,
    currentRequest: undefined,
    agentState: { notes: ['one', 'two'] },
  };
  return {
    status,
    snapshot: {
      phase: 'idle',
      halted: false,
      haltPending: false,
      draining: false,
      pendingPrompts: 0,
      pendingNotifications: 0,
      selfChainPending: false,
      currentRequest: undefined,
      ...snapshot,
    },
    turns: 3,
    costUsd: 0.0123,
    tokens: 150,
    budget: noBudget,
    sessionId: 'session-1',
    ...more,
  };
}

const current = { ref, origin: 'ask', attempt: 2, elapsedMs: 12_345, watchdogMs: 600_000 } as const;
const working = { phase: 'processing', currentRequest: current, pendingPrompts: 2 } as const;

describe('what a host says, on 80 columns', () => {
  it('status: a line for each agent', () => {
    const agents = [
      view('writer', {}, working),
      view('the one with a long name that tells what it is for', {}, { halted: true }),
      view('日本', { turns: 0, costUsd: 0 }, { draining: true }),
      view('late', {}, { ...working, haltPending: true }),
    ];
    expect(`\n${statusTable(agents, 80, nameOf).join('\n')}\n`).toBe(`
NAME                     STATE           QUEUE  TURNS     COST  NOW
writer                   working             2      3  $0.0123  f988e4b8, 12.3 s
the one with a long na…  halted              0      3  $0.0123
日本                     draining            0      0    $0.00
late                     working, halts      2      3  $0.0123  f988e4b8, 12.3 s
`);
  });

  it('status of one: everything', () => {
    const budget = { ...noBudget, limitUsd: 2, limitTokens: 1_000, spentTokens: 150, remainingUsd: 0.5 };
    expect(`\n${statusDetails(view('writer', { budget }, working), 80, nameOf).join('\n')}\n`).toBe(`
agent    writer
state    working
now      f988e4b8 (ask) for 12.3 s, attempt 2
waiting  2 prompts, 0 notifications
turns    3 answered
cost     $0.0123, 150 tokens since the start
budget   $1.50 of $2.00, 150 of 1000 tokens
session  session-1
knows    { notes: [ 'one', 'two' ] }
`);
  });

  it('queue: what goes on, and what waits', () => {
    const lines = queueLines(view('writer', {}, { ...working, selfChainPending: true }), ['#2', '#3'], 80, nameOf);
    expect(`\n${lines.join('\n')}\n`).toBe(`
agent      writer, working
now        f988e4b8 (ask) for 12.3 s, attempt 2
next       a prompt of its own
waiting    2 prompts, 0 notifications
from here  #2, #3
`);
    expect(queueLines(view('idle'), [], 80, nameOf)).toEqual([
      'agent    idle, idle',
      'now      nothing',
      'waiting  0 prompts, 0 notifications',
    ]);
  });

  it('cost: each, and all', () => {
    const inUsd = { ...noBudget, remainingUsd: 0.5 };
    const inTokens = { ...noBudget, remainingTokens: 1 };
    const agents = [view('writer', { budget: inUsd }), view('critic', { budget: inTokens, tokens: 0, costUsd: 12 })];
    expect(`\n${costTable(agents, noBudget, 80).join('\n')}\n`).toBe(`
NAME    TURNS  TOKENS     COST      LEFT
writer      3     150  $0.0123   $0.5000
critic      3       0   $12.00   1 token
all               900    $1.50  no limit
`);
  });

  it('history: a line for each turn', () => {
    const turn: TurnResult = {
      ref,
      result: 'A poem.\nOf two lines, of which the second is far too long to be shown on one line.',
      sessionId: undefined,
      costUsd: 0.0123,
      isError: false,
      durationMs: 1_234,
      numTurns: 1,
    };
    const failed = { code: 'TURN_TIMEOUT', status: 'DEADLINE_EXCEEDED', message: 'too long' } as const;
    const turns = [turn, { ...turn, isError: true, costUsd: undefined, error: failed }];
    expect(`\n${historyTable(turns, 80, nameOf).join('\n')}\n`).toBe(`
REF        TIME     COST  ANSWER
f988e4b8  1.2 s  $0.0123  A poem. Of two lines, of which the second is far too …
f988e4b8  1.2 s           ! TURN_TIMEOUT: too long
`);
    expect(historyTable([], 80, nameOf)).toEqual(['No turn yet.']);
  });

  it('graph: who prompted whom', () => {
    const edges = [
      { from: undefined, to: 'writer', kind: 'ask', count: 1 },
      { from: 'writer', to: 'critic', kind: 'tell', count: 12 },
    ] as const;
    expect(`\n${graphTable(edges, 80).join('\n')}\n`).toBe(`
FROM          TO      BY    TIMES
(outside)  →  writer  ask       1
writer     →  critic  tell     12
`);
    expect(graphTable([], 80)).toEqual(['Nobody has prompted anybody yet.']);
  });

  it('fits and does not steer the terminal, whatever the agents are called and know', () => {
    const hostile = fc.string({ unit: 'binary', maxLength: 150 });
    const anything = fc.anything({ withBigInt: true, withMap: true, withNullPrototype: true });
    fc.assert(
      fc.property(hostile, anything, fc.integer({ min: 20, max: 100 }), (text, agentState, width) => {
        const plain = view(text, { sessionId: text }, { ...working, currentRequest: { ...current, ref: text } });
        const agent = { ...plain, status: { ...plain.status, agentState } };
        const same = (one: string) => one;
        const turn = {
          ref: text,
          result: text,
          sessionId: text,
          costUsd: 1,
          isError: false,
          durationMs: 1,
          numTurns: 1,
        };
        const lines = [
          statusTable([agent], width, same),
          statusDetails(agent, width, same),
          queueLines(agent, [text], width, same),
          costTable([agent], noBudget, width),
          historyTable([turn], width, same),
          graphTable([{ from: text, to: text, kind: 'ask', count: 1 }], width),
        ].flat();
        expect(lines.filter((line) => widthOf(line) > width)).toEqual([]);
        expect(lines.filter((line) => /\p{Cc}|[\u202a-\u202e]/u.test(line))).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });
});
