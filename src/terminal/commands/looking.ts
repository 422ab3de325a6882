/** Commands that only look. */
import type { AgentHost } from '../../host/host.js';
import type { Desk } from '../desk.js';
import { firstWord } from '../line.js';
import { labelOf } from '../tells.js';
import { oneLine } from '../text.js';
import { costTable, graphTable, historyTable, queueLines, statusDetails, statusTable } from '../views.js';
import { agentIn, type Command } from './command.js';

/** The numbers of the tells that still wait for an agent. */
async function waitingTells({ host, tells }: Desk, agent: string): Promise<string[]> {
  const isPending = async (ref: string) => (await pollQuietly(host, agent, ref)) === 'pending';
  const own = tells.unseen.filter((tell) => tell.agent === agent && tell.state === 'waiting');
  const pending = await Promise.all(own.map(({ ref }) => isPending(ref)));
  return own.filter((_, index) => pending[index]).map(labelOf);
}

async function pollQuietly(host: AgentHost, agent: string, ref: string): Promise<string | undefined> {
  return host.poll(agent, ref).then(
    ({ status }) => status,
    () => undefined,
  );
}

/** What only looks. */
export const looking: Readonly<Record<string, Command>> = {
  list: {
    usage: 'list',
    says: 'the names of all agents',
    async run({ host, screen }) {
      const names = await host.list();
      await screen.print(names.length === 0 ? 'There is no agent any more.' : names.map(oneLine));
    },
  },
  status: {
    usage: 'status [NAME]',
    says: 'how all agents stand, or everything about one',
    async run(desk, rest) {
      const { screen, nameOf } = desk;
      const agent = firstWord(rest)?.word;
      const lines =
        agent === undefined
          ? statusTable(await desk.views(), screen.width, nameOf)
          : statusDetails(await desk.view(agent), screen.width, nameOf);
      await screen.print(lines);
    },
  },
  queue: {
    usage: 'queue NAME',
    says: 'what an agent does, and what waits for it',
    async run(desk, rest) {
      const agent = agentIn(desk, rest, this.usage);
      const view = await desk.view(agent);
      await desk.screen.print(queueLines(view, await waitingTells(desk, agent), desk.screen.width, desk.nameOf));
    },
  },
  cost: {
    usage: 'cost',
    says: 'what the agents cost, and what is left of budgets',
    more: 'Tokens are counted since the terminal was opened; those of all are what the host has counted.',
    async run(desk) {
      await desk.screen.print(costTable(await desk.views(), await desk.host.budget(), desk.screen.width));
    },
  },
  history: {
    usage: 'history NAME',
    says: 'the turns of an agent, one line each',
    async run(desk, rest) {
      const turns = await desk.host.history(agentIn(desk, rest, this.usage));
      await desk.screen.print(historyTable(turns, desk.screen.width, desk.nameOf));
    },
  },
  last: {
    usage: 'last NAME',
    says: 'the whole answer of the newest turn',
    async run(desk, rest) {
      const turn = await desk.host.lastResult(agentIn(desk, rest, this.usage));
      await desk.screen.print(turn === undefined ? 'No turn yet.' : turn.result);
      if (turn?.error !== undefined) await desk.screen.print(`! ${turn.error.message} (${turn.error.code})`, 'bad');
    },
  },
  graph: {
    usage: 'graph',
    says: 'who prompted whom, and how often',
    run: ({ host, screen }) => screen.print(graphTable(host.graph(), screen.width)),
  },
  watch: {
    usage: 'watch [NAME | off]',
    says: 'see events, and what agents say, as it happens',
    more: 'An agent that is called off is watched with "off" in quotes.',
    async run({ host, screen, watcher }, rest) {
      const agent = firstWord(rest)?.word;
      const isOff = rest.trim() === 'off';
      if (agent !== undefined && !isOff) await host.status(agent);
      watcher.watch(isOff ? 'nobody' : agent === undefined ? 'everybody' : { agent });
      const whom = agent === undefined ? 'all agents' : oneLine(agent);
      await screen.print(isOff ? 'No longer watching.' : `Watching ${whom}; "watch off" ends it.`);
    },
  },
};
