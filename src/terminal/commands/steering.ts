/** Commands that steer an agent. */

import type { Desk } from '../desk.js';
import { firstWord } from '../line.js';
import { MisuseError } from '../misuse.js';
import { oneLine } from '../text.js';
import { agentIn, type Command } from './command.js';

/** A command that does one thing to one agent and says so. */
function steer(
  name: string,
  says: string,
  work: (desk: Desk, agent: string) => Promise<unknown>,
  done: string,
): Command {
  return {
    usage: `${name} NAME`,
    says,
    async run(desk, rest) {
      const agent = agentIn(desk, rest, this.usage);
      await work(desk, agent);
      await desk.screen.print(`${oneLine(agent)} ${done}`);
    },
  };
}

/** Waits for the turn in flight; Ctrl-C cuts it. */
function drain(desk: Desk, agent: string): Promise<void> {
  return desk.interruptible(
    () => void desk.host.interrupt(agent),
    () => desk.host.drain(agent),
  );
}

/** What steers an agent. */
export const steering: Readonly<Record<string, Command>> = {
  interrupt: {
    usage: 'interrupt NAME [NUMBER]',
    says: 'cut the turn in flight, or that of a tell',
    async run(desk, rest) {
      const agent = agentIn(desk, rest, this.usage);
      const which = firstWord(rest)?.rest ?? '';
      const tell = which === '' ? undefined : desk.tells.named(which, this.usage);
      if (tell !== undefined && tell.agent !== agent)
        throw new MisuseError(`${which} was told to ${tell.agent}; usage: ${this.usage}`);
      const wasBusy = await desk.host.interrupt(agent, tell?.ref);
      await desk.screen.print(`${oneLine(agent)} ${wasBusy ? 'is interrupted' : 'has no turn in flight'}`);
    },
  },
  halt: steer('halt', 'take no prompts, after the turn in flight', ({ host }, agent) => host.halt(agent), 'halts'),
  resume: steer('resume', 'take prompts again', ({ host }, agent) => host.resume(agent), 'goes on'),
  reset: steer(
    'reset',
    'give an idle agent a fresh backend session',
    ({ host }, agent) => host.resetSession(agent),
    'has a fresh session',
  ),
  drain: steer('drain', 'finish the turn in flight, then end the agent', drain, 'has ended'),
  stop: steer(
    'stop',
    'end an agent at once, and what it remembers',
    ({ host }, agent) => host.stop(agent),
    'has ended',
  ),
};
