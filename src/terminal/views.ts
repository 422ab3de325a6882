/** What a host can be asked, as lines that fit: pure functions of its answers. */
import type { AgentStatus, BudgetStatus, GraphEdge, RuntimeSnapshot, TurnResult } from '../host/host.js';
import { count, dollars, duration, shownOnLines } from './figures.js';
import { pairs, table } from './table.js';
import { cut, oneLine } from './text.js';

/** All that is shown of one agent. */
export interface AgentView {
  readonly status: AgentStatus;
  readonly snapshot: RuntimeSnapshot;
  readonly turns: number;
  readonly costUsd: number;
  /** Since the terminal was opened. */
  readonly tokens: number;
  readonly budget: BudgetStatus;
  readonly sessionId: string | undefined;
}

/** What to call a ref. */
export type NameOf = (ref: string) => string;

/** One line for each agent. */
export function statusTable(agents: readonly AgentView[], width: number, nameOf: NameOf): string[] {
  const columns = [
    { head: 'NAME' },
    { head: 'STATE' },
    { head: 'QUEUE', side: 'right' },
    { head: 'TURNS', side: 'right' },
    { head: 'COST', side: 'right' },
    { head: 'NOW' },
  ] as const;
  const rows = agents.map(({ status, snapshot, turns, costUsd }) => [
    status.name,
    stateOf(snapshot),
    String(snapshot.pendingPrompts),
    String(turns),
    dollars(costUsd),
    nowOf(snapshot, nameOf),
  ]);
  return table(columns, rows, width);
}

/** Everything about one agent. */
export function statusDetails(agent: AgentView, width: number, nameOf: NameOf): string[] {
  const { status, snapshot, turns, costUsd, tokens, budget, sessionId } = agent;
  const rows: (readonly [string, string])[] = [
    ['agent', status.name],
    ['state', stateOf(snapshot)],
    ['now', currentOf(snapshot, nameOf) ?? 'nothing'],
    ['waiting', waitingOf(snapshot)],
    ['turns', `${turns} answered`],
    ['cost', [dollars(costUsd), ...(tokens === 0 ? [] : [`${tokens} tokens since the start`])].join(', ')],
    ['budget', budgetOf(budget)],
    ['session', sessionId ?? 'not told by the backend'],
  ];
  const [first = '', ...more] = shownOnLines(status.agentState, width - 12);
  return [...pairs([...rows, ['knows', first]], width), ...more.map((line) => cut(`         ${line}`, width))];
}

/** What an agent does and what waits for it; of the prompts, those that were told from here by their numbers. */
export function queueLines(agent: AgentView, told: readonly string[], width: number, nameOf: NameOf): string[] {
  const { status, snapshot } = agent;
  return pairs(
    [
      ['agent', `${status.name}, ${stateOf(snapshot)}`],
      ['now', currentOf(snapshot, nameOf) ?? 'nothing'],
      ...(snapshot.selfChainPending ? [['next', 'a prompt of its own'] as const] : []),
      ['waiting', waitingOf(snapshot)],
      ...(told.length === 0 ? [] : [['from here', told.join(', ')] as const]),
    ],
    width,
  );
}

/** What the agents have cost, and what is left of the budgets. */
export function costTable(agents: readonly AgentView[], host: BudgetStatus, width: number): string[] {
  const columns = [
    { head: 'NAME' },
    { head: 'TURNS', side: 'right' },
    { head: 'TOKENS', side: 'right' },
    { head: 'COST', side: 'right' },
    { head: 'LEFT', side: 'right' },
  ] as const;
  const rows = agents.map(({ status, turns, tokens, costUsd, budget }) => [
    status.name,
    String(turns),
    String(tokens),
    dollars(costUsd),
    leftOf(budget),
  ]);
  const sums = ['all', '', String(host.spentTokens), dollars(host.spentUsd), leftOf(host)];
  return table(columns, [...rows, sums], width);
}

/** The turns of an agent, one line each, oldest first. */
export function historyTable(turns: readonly TurnResult[], width: number, nameOf: NameOf): string[] {
  if (turns.length === 0) return ['No turn yet.'];
  const columns = [
    { head: 'REF' },
    { head: 'TIME', side: 'right' },
    { head: 'COST', side: 'right' },
    { head: 'ANSWER' },
  ] as const;
  const rows = turns.map(({ ref, durationMs, costUsd, result, error }) => [
    nameOf(ref),
    duration(durationMs),
    costUsd === undefined ? '' : dollars(costUsd),
    error === undefined ? result : `! ${error.code}: ${error.message}`,
  ]);
  return table(columns, rows, width);
}

/** Who prompted whom, and how often. */
export function graphTable(edges: readonly GraphEdge[], width: number): string[] {
  if (edges.length === 0) return ['Nobody has prompted anybody yet.'];
  const rows = edges.map(({ from, to, kind, count: times }) => [from ?? '(outside)', '→', to, kind, String(times)]);
  return table(
    [{ head: 'FROM' }, { head: '' }, { head: 'TO' }, { head: 'BY' }, { head: 'TIMES', side: 'right' }],
    rows,
    width,
  );
}

function stateOf({ phase, halted, haltPending, draining }: RuntimeSnapshot): string {
  if (draining) return 'draining';
  if (halted) return 'halted';
  return `${phase === 'processing' ? 'working' : 'idle'}${haltPending ? ', halts' : ''}`;
}

function nowOf({ currentRequest: current }: RuntimeSnapshot, nameOf: NameOf): string {
  return current === undefined ? '' : `${nameOf(current.ref)}, ${duration(current.elapsedMs)}`;
}

function currentOf({ currentRequest: current }: RuntimeSnapshot, nameOf: NameOf): string | undefined {
  if (current === undefined) return undefined;
  const { ref, origin, attempt, elapsedMs } = current;
  const again = attempt === 1 ? '' : `, attempt ${attempt}`;
  return oneLine(`${nameOf(ref)} (${origin}) for ${duration(elapsedMs)}${again}`);
}

function waitingOf({ pendingPrompts, pendingNotifications }: RuntimeSnapshot): string {
  return `${count(pendingPrompts, 'prompt')}, ${count(pendingNotifications, 'notification')}`;
}

function budgetOf({ limitUsd, limitTokens, spentUsd, spentTokens }: BudgetStatus): string {
  const parts = [
    ...(limitUsd === undefined ? [] : [`${dollars(spentUsd)} of ${dollars(limitUsd)}`]),
    ...(limitTokens === undefined ? [] : [`${spentTokens} of ${limitTokens} tokens`]),
  ];
  return parts.length === 0 ? 'no limit' : parts.join(', ');
}

function leftOf({ remainingUsd, remainingTokens }: BudgetStatus): string {
  if (remainingUsd !== undefined) return dollars(remainingUsd);
  return remainingTokens === undefined ? 'no limit' : count(remainingTokens, 'token');
}
